import type { Clock, DriverContext, SessionMap } from '@cluster/core/driver';

interface Kept { value: string; revision: string; putMs: number; endMs: number }

/** What the driver objects of one store share. */
export interface MapSpace { readonly clock: Clock; readonly kept: Map<string, Kept>; revisions: number }

export const newMapSpace = (clock: Clock): MapSpace => ({ clock, kept: new Map(), revisions: 0 });

export function keptAt(space: MapSpace, key: string): Kept | undefined {
  const kept = space.kept.get(key);
  return kept !== undefined && space.clock.monotonicMs() < kept.endMs ? kept : undefined;
}

export type OpenMap = Required<Pick<SessionMap, 'get' | 'compareAndSet' | 'keys' | 'sweep' | 'start' | 'stop'>> & Pick<SessionMap, 'capabilities'>;

/** A session map in memory, as the contract has it; without signals. */
export function referenceMap(space: MapSpace): OpenMap {
  let context: DriverContext | undefined;
  let stopped = false;
  const check = () => { if (stopped) throw new Error('stopped'); };
  return {
    capabilities: { durability: 'process', gone: 'unknown', rollback: false },
    async start(given) { context = given; },
    async stop() { stopped = true; },
    async get(key) {
      check();
      const kept = keptAt(space, key);
      return kept && { value: kept.value, revision: kept.revision, ageMs: space.clock.monotonicMs() - kept.putMs };
    },
    async compareAndSet(key, expected, { value, lifetimeMs }) {
      check();
      if (keptAt(space, key)?.revision !== expected) return undefined;
      const [revision, putMs] = [String(++space.revisions), space.clock.monotonicMs()];
      space.kept.set(key, { value, revision, putMs, endMs: putMs + lifetimeMs });
      return revision;
    },
    async sweep(limit) {
      const expired = [...space.kept.keys()].filter((key) => keptAt(space, key) === undefined).slice(0, limit);
      for (const key of expired) space.kept.delete(key);
      return expired.length;
    },
    async *keys() {
      for (const key of space.kept.keys()) if (key.startsWith(`${context?.context ?? ''}.`) && keptAt(space, key) !== undefined) yield key;
    },
  };
}
