import type { Claim } from '../drivers/session-table.js';
import { ClusterError } from '../errors.js';
import { RECORD_FORMAT } from '../record.js';
import type { StoreCalls } from './store-calls.js';

export interface SharedSettings { readonly leaseMs: number; readonly readLeaseMs: number; readonly codec: string }

/** How long the record outlives the last instance. */
const lifetimeOf = (leaseMs: number): number => 3 * leaseMs;

export const settingsKey = (context: string): string => `${context}.c.settings`;

/**
 * Makes the record of the settings in which all instances of a context must agree, or compares them with it.
 * @throws ClusterError CLUSTER_BAD_OPTION naming each that differs
 */
export async function agreeOnSettings(calls: StoreCalls, context: string, claim: Claim, settings: SharedSettings): Promise<void> {
  const own = new Map(Object.entries({ ...settings, format: RECORD_FORMAT }).map(([name, value]) => [name, JSON.stringify(value)]));
  const key = settingsKey(context);
  for (let round = 0; round < 3; round += 1) {
    const write = { change: { set: own, remove: [], whole: true }, lifetimeMs: lifetimeOf(settings.leaseMs), of: 'settings' } as const;
    if (await calls.create(key, claim, write, 'release') === 'created') return;
    const record = await calls.read(key);
    if (record.kind === 'absent') continue;
    const theirs = record.attributes ?? new Map<string, string>();
    const differing = [...new Set([...own.keys(), ...theirs.keys()])].filter((name) => theirs.get(name) !== own.get(name))
      .map((name) => `${name}: here ${own.get(name) ?? 'none'}, in the cluster ${String(theirs.get(name) ?? 'none')}`);
    if (differing.length === 0) return;
    const theirLeaseMs = Number(theirs.get('leaseMs') ?? settings.leaseMs);
    throw new ClusterError('CLUSTER_BAD_OPTION', `context '${context}': instances that run must agree on ${differing.join('; ')}; `
      + `use the same values, or stop all instances and wait ${Math.ceil(lifetimeOf(theirLeaseMs) / 1000)} s`);
  }
  throw new ClusterError('CLUSTER_UNAVAILABLE', `context '${context}': the record of its settings comes and goes; check the store`);
}
