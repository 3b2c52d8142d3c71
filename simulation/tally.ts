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
      seeds: 1, requests, operations: operations.length, events: storeEvents, rolledBack: (faults['rollback table'] ?? 0) + (faults['rollback map'] ?? 0), lost, faults,
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
const byCount = (a: readonly [string, number], b: readonly [string, number]): number => b[1] - a[1];

/** One line per kind, and what it hit. */
function faultLines(faults: Readonly<Record<string, number>>): string[] {
  const kinds = new Map<string, [string, number][]>();
  for (const [name, count] of Object.entries(faults)) {
    const space = name.indexOf(' ');
    const kind = name.slice(0, space);
    kinds.set(kind, [...kinds.get(kind) ?? [], [name.slice(space + 1), count]]);
  }
  const sums = [...kinds].map(([kind, hits]) => [kind, hits.reduce((sum, [, count]) => sum + count, 0)] as const).sort(byCount);
  return sums.map(([kind, sum]) => `  ${kind} ${number(sum)}: ${(kinds.get(kind) ?? []).sort(byCount).map(([what, count]) => `${what} ${number(count)}`).join(', ')}`);
}

export function describeTally(summary: Summary, seconds: number): string {
  const bad = new Set(summary.violations.map(({ seed }) => seed));
  return [
    `${number(summary.seeds)} seeds, ${number(summary.requests)} requests, ${number(summary.operations)} operations in the histories, ${number(summary.events)} events, ${seconds.toFixed(1)} s`,
    'faults injected:',
    ...faultLines(summary.faults),
    `acknowledged changes lost to ${number(summary.rolledBack)} rollbacks of the store: ${number(summary.lost)}`,
    `violations: ${number(summary.violations.length)}${bad.size === 0 ? '' : `, in seeds ${[...bad].join(' ')}; replay one with --seed`}`,
  ].join('\n');
}
