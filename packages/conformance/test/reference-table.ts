import type { Claim, Clock, DriverContext, Encoded, Gone, Message, SessionRecord, SessionTable, Stamp, Then, Write } from '@cluster/core/driver';

export interface RecordCell {
  kind: 'record';
  stamp: Stamp;
  holder: Claim | undefined;
  last: string | undefined;
  madeMs: number;
  usedMs: number;
  lifetimeMs: number;
  attributes: ReadonlyMap<string, Encoded>;
}

export interface TombstoneCell { kind: 'tombstone'; why: Gone; grant: string | undefined; holder: Claim | undefined; usedMs: number; lifetimeMs: number }

export type Cell = RecordCell | TombstoneCell;

export interface Lease { n: number; beatMs: number; ended: boolean }

/** What the driver objects of one store share. */
export interface Space {
  readonly clock: Clock;
  readonly cells: Map<string, Cell>;
  readonly leases: Map<string, Lease>;
  readonly listeners: Map<string, (message: Message) => void>;
}

export const newSpace = (clock: Clock): Space => ({ clock, cells: new Map(), leases: new Map(), listeners: new Map() });

/** What is there; expired is absent. */
export function present(space: Space, key: string): Cell | undefined {
  const cell = space.cells.get(key);
  return cell !== undefined && space.clock.monotonicMs() - cell.usedMs < cell.lifetimeMs ? cell : undefined;
}

export function recordAt(space: Space, key: string): RecordCell | undefined {
  const cell = present(space, key);
  return cell?.kind === 'record' ? cell : undefined;
}

const absent = (cell: Cell | undefined) => (cell?.kind === 'tombstone' ? { kind: 'absent', gone: cell.why } as const : { kind: 'absent' } as const);
const fenced = (cell: Cell | undefined) => (cell?.kind === 'tombstone' ? { kind: 'fenced', gone: cell.why } as const : { kind: 'fenced' } as const);

export const isSame = (a: Stamp, b: Stamp | undefined): boolean => a.grant === b?.grant && a.version === b.version;

function shown(space: Space, cell: RecordCell, have: Stamp | undefined): SessionRecord {
  const nowMs = space.clock.monotonicMs();
  const { kind, stamp, holder, last, lifetimeMs, attributes } = cell;
  return {
    kind, format: 1, stamp, holder, last, ageMs: nowMs - cell.madeMs, idleMs: nowMs - cell.usedMs, lifetimeMs, attributes: isSame(stamp, have) ? undefined : attributes,
  };
}

function unlock(cell: RecordCell, holder: Claim, then: Then): void {
  if (then === 'keep') return;
  cell.last = holder.incarnation;
  cell.holder = then === 'release' ? undefined : then;
}

function apply(cell: RecordCell, change: NonNullable<Write['change']>): void {
  const attributes = new Map(change.whole ? [] : cell.attributes);
  for (const name of change.remove) attributes.delete(name);
  for (const [name, encoded] of change.set) attributes.set(name, encoded);
  cell.attributes = attributes;
}

type Steps = Pick<SessionTable, 'acquire' | 'create' | 'commit' | 'remove' | 'read' | 'touch'>;

const steps = (space: Space): Steps => ({
  async acquire(key, claim, from, have) {
    const cell = present(space, key);
    if (cell?.kind !== 'record') return absent(cell);
    const { holder } = cell;
    if (holder !== undefined && holder.grant !== claim.grant && holder.grant !== from) return { kind: 'busy', holder };
    if (holder?.grant !== claim.grant) [cell.holder, cell.last] = [claim, holder?.incarnation ?? cell.last];
    return { kind: 'granted', record: shown(space, cell, have) };
  },
  async create(key, claim, { change, lifetimeMs }, then) {
    const cell = present(space, key);
    if (cell !== undefined) return cell.kind === 'record' && cell.stamp.grant === claim.grant ? 'created' : 'exists';
    const nowMs = space.clock.monotonicMs();
    const made: RecordCell = {
      kind: 'record', stamp: { grant: claim.grant, version: 1 }, holder: claim, last: undefined, madeMs: nowMs, usedMs: nowMs, lifetimeMs,
      attributes: new Map(change?.set),
    };
    unlock(made, claim, then);
    space.cells.set(key, made);
    return 'created';
  },
  async commit(key, grant, base, { change, lifetimeMs }, then) {
    const cell = present(space, key);
    if (cell?.kind !== 'record') return fenced(cell);
    const { stamp, holder } = cell;
    const next = base && { grant, version: base.version + 1 };
    if (change !== undefined && next !== undefined && isSame(stamp, next)) return { kind: 'done', version: next.version };
    if (holder?.grant !== grant) return { kind: 'fenced' };
    if (change !== undefined) {
      if (next === undefined || !isSame(stamp, base)) return { kind: 'behind' };
      apply(cell, change);
      cell.stamp = next;
    }
    if (lifetimeMs > 0) [cell.usedMs, cell.lifetimeMs] = [space.clock.monotonicMs(), lifetimeMs];
    unlock(cell, holder, then);
    return { kind: 'done', version: cell.stamp.version };
  },
  async remove(key, grant, base, why, keepMs) {
    const cell = present(space, key);
    if (cell === undefined) return grant === undefined ? { kind: 'removed' } : { kind: 'fenced' };
    const removed = { kind: 'removed', ...(grant === undefined && cell.holder !== undefined ? { holder: cell.holder } : {}) } as const;
    if (cell.kind === 'tombstone') return (grant === undefined ? cell.why === 'removed' : cell.grant === grant) ? removed : fenced(cell);
    if (grant !== undefined && cell.holder?.grant !== grant) return { kind: 'fenced' };
    if (grant !== undefined && base !== undefined && !isSame(cell.stamp, base)) return { kind: 'behind' };
    space.cells.set(key, { kind: 'tombstone', why, grant, holder: cell.holder, usedMs: space.clock.monotonicMs(), lifetimeMs: keepMs });
    return removed;
  },
  async read(key, have) {
    const cell = present(space, key);
    return cell?.kind === 'record' ? shown(space, cell, have) : absent(cell);
  },
  async touch(lifetimes) {
    const gone = new Set<string>();
    const nowMs = space.clock.monotonicMs();
    for (const [key, lifetimeMs] of lifetimes) {
      const cell = recordAt(space, key);
      if (cell === undefined) gone.add(key);
      else [cell.lifetimeMs, cell.usedMs] = [Math.max(lifetimeMs, cell.lifetimeMs - (nowMs - cell.usedMs)), nowMs];
    }
    return gone;
  },
});

const leases = (space: Space): Pick<SessionTable, 'beat' | 'lapse'> => ({
  async beat(incarnation, n) {
    const lease = space.leases.get(incarnation);
    if (lease === undefined ? n > 0 : lease.ended) return 'lapsed';
    if (lease === undefined || n > lease.n) space.leases.set(incarnation, { n, beatMs: space.clock.monotonicMs(), ended: false });
    return { generation: 'first' };
  },
  async lapse(incarnation, quietMs) {
    const lease = space.leases.get(incarnation);
    if (lease === undefined || lease.ended) return 0;
    const waitMs = quietMs - (space.clock.monotonicMs() - lease.beatMs);
    if (waitMs > 0) return waitMs;
    lease.ended = true;
    return 0;
  },
});

const listing = (space: Space, context: () => string): Required<Pick<SessionTable, 'sweep' | 'keys'>> => ({
  async sweep(limit) {
    let swept = 0;
    for (const key of space.cells.keys()) {
      if (swept === limit) break;
      if (present(space, key) === undefined && space.cells.delete(key)) swept += 1;
    }
    return swept;
  },
  async *keys() {
    for (const key of space.cells.keys()) if (key.startsWith(`${context()}.`) && present(space, key) !== undefined) yield key;
  },
});

export type Open = Required<Omit<SessionTable, 'stored'>>;

/** Every call fails once the table has been stopped. */
function whileStarted(table: Open, stopped: () => boolean): Open {
  const guarded = Object.entries(table).map(([name, method]: [string, unknown]) => {
    if (typeof method !== 'function' || ['start', 'stop', 'keys'].includes(name)) return [name, method];
    return [name, (...args: unknown[]): unknown => (stopped() ? Promise.reject(new Error('stopped')) : Reflect.apply(method, undefined, args))];
  });
  return Object.fromEntries(guarded) as Open; // the same names and signatures
}

/** A session table in memory, as the contract has it: each step is one synchronous block. */
export function referenceTable(space: Space): Open {
  let context: DriverContext | undefined;
  let stopped = false;
  const address = (instanceId: string) => `${context?.context ?? ''}.${instanceId}`;
  return whileStarted({
    capabilities: { delta: true, rollback: false, gone: 'dead', durability: 'process' },
    async start(given) {
      context = given;
      space.listeners.set(address(given.instanceId), given.receive);
      given.listening(true);
    },
    async stop() {
      stopped = true;
      if (context !== undefined) space.listeners.delete(address(context.instanceId));
    },
    ...steps(space), ...leases(space), ...listing(space, () => context?.context ?? ''),
    async signal(instanceId, message) {
      const receive = space.listeners.get(address(instanceId));
      receive?.(message);
      return receive !== undefined;
    },
  }, () => stopped);
}
