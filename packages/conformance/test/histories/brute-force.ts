import type { Attributes, HistoryOperation, Value } from '../../src/history/operation.js';

const isAttributes = (value: Value | undefined): value is Attributes => typeof value === 'object' && value !== null;

/** Whether somebody who looks at the session can see this. */
function isSeen(session: Value, seen: Value | undefined): boolean {
  if (!isAttributes(seen)) return session === (seen ?? null);
  return isAttributes(session) && Object.entries(seen).every(([name, value]) => (session[name] ?? null) === value);
}

/** The sessions that the operation can leave behind: one or none. */
function outcomes(session: Value, { op, value, expect }: HistoryOperation): Value[] {
  if (op === 'read') return isSeen(session, value) ? [session] : [];
  if (op === 'cas' && !isSeen(session, expect)) return [];
  if (!isAttributes(value)) return [value];
  if (isAttributes(session)) return [{ ...session, ...value }];
  return op === 'cas' && session === null ? [value] : [];
}

const endsNs = ({ result, return_ns: returnNs }: HistoryOperation): number => (result === 'unknown' ? Infinity : returnNs ?? Infinity);

/**
 * Whether there is an order, found by trying them all: a second checker, written from the description of a history alone, that
 * shares nothing with the first.
 */
export function isLinearizableByForce(history: readonly HistoryOperation[], initial: Value = null): boolean {
  const happened = history.filter(({ op, result }) => result === 'ok' || (result === 'unknown' && op !== 'read'));
  const canGoOn = (session: Value, left: readonly HistoryOperation[]): boolean => {
    if (left.every(({ result }) => result === 'unknown')) return true;
    return left.some((operation) => {
      const others = left.filter((other) => other !== operation);
      if (others.some((other) => endsNs(other) < operation.call_ns)) return false;
      return outcomes(session, operation).some((next) => canGoOn(next, others));
    });
  };
  return canGoOn(initial, happened);
}
