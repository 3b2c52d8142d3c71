import type { NamedMutation } from './mutations.js';
import { simulate } from './simulate.js';

export interface Found { readonly seeds: number; readonly check: string; readonly message: string }

/** Runs seeds until the mutation is found; undefined: it was not. */
export async function huntMutation({ mutation, change, requests }: NamedMutation, from: number, seeds: number): Promise<Found | undefined> {
  for (let tried = 1; tried <= seeds; tried += 1) {
    const [violation] = (await simulate(from + tried - 1, { requests, mutation, change })).violations;
    if (violation !== undefined) return { seeds: tried, ...violation };
  }
  return undefined;
}
