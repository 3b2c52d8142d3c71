import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';

/** Ends a timer that has not fired. */
export type CancelTimer = () => void;

/** What the engine takes from outside: two clocks, timers and chance. A simulation puts in its own. */
export interface Clock {
  /** Milliseconds that only rise; no relation to the time of day. */
  monotonicMs(): number;
  /** Milliseconds since 1970; may jump. */
  wallMs(): number;
  /** Calls back once after `ms`. Keeps the process alive only if `isAwaited`: somebody waits for what it ends. */
  timer(callback: () => void, ms: number, isAwaited?: boolean): CancelTimer;
  /** `bytes` random bytes as lower-case hex, unpredictable. */
  randomHex(bytes: number): string;
}

const POOL_BYTES = 4096;
let pool = Buffer.alloc(0);
let used = 0;

// From bytes: pieces of one long text would each keep all of it in memory, for as long as a session is held.
function pooledHex(bytes: number): string {
  if (bytes > POOL_BYTES) return randomBytes(bytes).toString('hex');
  if (used + bytes > pool.length) {
    pool = randomBytes(POOL_BYTES);
    used = 0;
  }
  used += bytes;
  return pool.toString('hex', used - bytes, used);
}

/** The clocks, timers and chance of this process. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  timer(callback, ms, isAwaited = false) {
    const timeout = setTimeout(callback, ms);
    if (!isAwaited) timeout.unref();
    return () => { clearTimeout(timeout); };
  },
  randomHex: pooledHex,
};

/** A clock that moves only when it is told to. */
export interface ManualClock extends Clock {
  /** Moves both clocks on by `ms`, firing what falls due in order and letting promises settle in between. */
  advance(ms: number): Promise<void>;
  /** Makes the wall clock jump without moving the monotonic one. */
  jumpWall(ms: number): void;
}

interface Due { readonly at: number; readonly order: number; readonly callback: () => void }

// Promise chains in the engine are several links long; a macrotask settles all of them.
const settle = () => new Promise<void>((resolve) => { setImmediate(resolve); });

/** A {@link ManualClock} at monotonic time 0 whose random numbers are a counter: instances of one cluster need the same one, else they draw the same ids and grants. */
export function manualClock(wallMs = 1_700_000_000_000): ManualClock {
  let now = 0;
  let wallOffset = wallMs;
  let order = 0;
  let drawn = 0;
  const due = new Set<Due>();
  const next = () => [...due].sort((a, b) => a.at - b.at || a.order - b.order)[0];
  return {
    monotonicMs: () => now,
    wallMs: () => now + wallOffset,
    timer(callback, ms) {
      const entry = { at: now + Math.max(0, ms), order: order++, callback };
      due.add(entry);
      return () => { due.delete(entry); };
    },
    randomHex: (bytes) => (++drawn).toString(16).padStart(bytes * 2, '0'),
    async advance(ms) {
      const end = now + ms;
      await settle();
      for (let entry = next(); entry !== undefined && entry.at <= end; entry = next()) {
        due.delete(entry);
        now = Math.max(now, entry.at);
        entry.callback();
        await settle();
      }
      now = end;
      await settle();
    },
    jumpWall(ms) { wallOffset += ms; },
  };
}

/** `Clock.system` is this process's; `Clock.manual()` makes one for tests. */
export const Clock = { system: systemClock, manual: manualClock } as const;
