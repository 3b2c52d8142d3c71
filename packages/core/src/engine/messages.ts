import type { Claim, Message } from '../drivers/session-table.js';

/** What instances tell each other. Every one is a hint that may be lost; durations travel, never times. */
export type Signal =
  /**
   * Please give this session on: `holder` is who the store names, `claim` who asks. `onlyAsks`: if it is in use, take no place
   * in its queue, since the request may go elsewhere.
   */
  | { readonly type: 'revoke'; readonly key: string; readonly holder: Claim; readonly claim: Claim; readonly waitedMs: number; readonly onlyAsks?: true }
  /** The answer to a revoke: who is using it, on the incarnation `holder`, which browsers reach at `publicUrl`. */
  | { readonly type: 'held'; readonly key: string; readonly claim: Claim; readonly holder: string; readonly label?: string; readonly heldMs: number; readonly publicUrl?: string }
  /** The session was committed on to `claim`; `queue` are the others that wait for it. */
  | { readonly type: 'handover'; readonly key: string; readonly claim: Claim; readonly queue: readonly (readonly [claim: Claim, waitedMs: number])[] }
  /** The session was removed by force; drop it and confirm to `from`. */
  | { readonly type: 'removed'; readonly key: string; readonly holder: Claim; readonly from: string }
  | { readonly type: 'confirmed'; readonly key: string; readonly holder: Claim }
  /** The addressed incarnation was never one of this process. */
  | { readonly type: 'not-me'; readonly incarnation: string }
  /** An instance's message to itself, to learn whether it hears. */
  | { readonly type: 'test'; readonly n: number };

const TYPES: ReadonlySet<unknown> = new Set<Signal['type']>(['revoke', 'held', 'handover', 'removed', 'confirmed', 'not-me', 'test']);

export const instanceOf = (incarnation: string): string => incarnation.slice(0, incarnation.lastIndexOf('.'));

const MAX_BYTES = 7_500;

export const encodeSignal = (signal: Signal): Message => JSON.stringify(signal);

/** A hand-over with as many of the waiting claims, oldest first, as fit into a message. */
export function encodeHandover(key: string, claim: Claim, queue: readonly (readonly [claim: Claim, waitedMs: number])[]): Message {
  for (let length = queue.length; ; length -= 1) {
    const message = encodeSignal({ type: 'handover', key, claim, queue: queue.slice(0, length) });
    if (length === 0 || message.length <= MAX_BYTES) return message;
  }
}

/** Undefined for anything that is no signal of this version. */
export function decodeSignal(message: Message): Signal | undefined {
  try {
    const parsed: unknown = JSON.parse(message);
    // Written by encodeSignal of another instance, whose version the settings record has checked.
    return typeof parsed === 'object' && parsed !== null && TYPES.has(Reflect.get(parsed, 'type')) ? parsed as Signal : undefined;
  } catch {
    return undefined;
  }
}
