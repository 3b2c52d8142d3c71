import type { Outcome } from './simulate.js';

export interface Summary {
  seeds: number;
  requests: number;
  operations: number;
  events: number;
  rolledBack: number;
  lost: number;
  readonly faults: Record<string, number>;
  readonly violations: { readonly seed: number; readonly check: string; readonly message: string }[];
}

const MOST_PER_SEED = 3;

/** What many runs came to. */
export class Tally {
  readonly summary: Summary = { seeds: 0, requests: 0, operations: 0, events: 0, rolledBack: 0, lost: 0, faults: {}, violations: [] };

  add({ seed, requests, operations, storeEvents, faults, violations, lost }: Outcome): void {
    this.join({
      seeds: 1, requests, operations: operations.length, events: storeEvents, rolledBack: faults.rollback ?? 0, lost, faults,
      violations: violations.slice(0, MOST_PER_SEED).map((violation) => ({ seed, ...violation })),
    });
  }

  join(other: Summary): void {
    for (const name of ['seeds', 'requests', 'operations', 'events', 'rolledBack', 'lost'] as const) this.summary[name] += other[name];
    for (const [kind, count] of Object.entries(other.faults)) this.summary.faults[kind] = (this.summary.faults[kind] ?? 0) + count;
    this.summary.violations.push(...other.violations);
    this.summary.violations.sort((a, b) => a.seed - b.seed);
  }
}

const number = (count: number): string => count.toLocaleString('en-US');

export function describeTally(summary: Summary, seconds: number): string {
  const faults = Object.entries(summary.faults).sort(([, a], [, b]) => b - a).map(([kind, count]) => `${kind} ${number(count)}`);
  const bad = new Set(summary.violations.map(({ seed }) => seed));
  return [
    `${number(summary.seeds)} seeds, ${number(summary.requests)} requests, ${number(summary.operations)} operations in the histories, ${number(summary.events)} events, ${seconds.toFixed(1)} s`,
    `faults injected: ${faults.length === 0 ? 'none' : faults.join(', ')}`,
    `acknowledged changes lost to ${number(summary.rolledBack)} rollbacks of the store: ${number(summary.lost)}`,
    `violations: ${number(summary.violations.length)}${bad.size === 0 ? '' : `, in seeds ${[...bad].join(' ')}; replay one with --seed`}`,
  ].join('\n');
}
