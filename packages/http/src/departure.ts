import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Who wants to hear when a client leaves. */
export interface Waiter { left(): void }

// One listener per connection: it may carry many requests one after the other, and several at once. No Set: of one that empties
// with each request all that ever waited would stay until a full collection.
const waiting = new WeakMap<Socket, Waiter[]>();

function waitersOn(socket: Socket): Waiter[] {
  const known = waiting.get(socket);
  if (known !== undefined) return known;
  const waiters: Waiter[] = [];
  waiting.set(socket, waiters);
  socket.once('close', () => { for (const waiter of [...waiters]) waiter.left(); });
  return waiters;
}

function drop(waiters: Waiter[], waiter: Waiter): void {
  const at = waiters.indexOf(waiter);
  if (at >= 0) waiters.splice(at, 1);
}

/** Whether this is a request of HTTP/2 whose stream has ended: its response says nothing more. */
function hasStreamEnded(req: IncomingMessage): boolean {
  const { stream } = req as { readonly stream?: { readonly closed: boolean; readonly destroyed: boolean } };
  return stream !== undefined && (stream.closed || stream.destroyed);
}

/**
 * Tells the waiter that the client has left, or that the response has ended; at once if it has left already. The response
 * of a pipelined request has no connection before its turn, and never closes if the connection does before: so both are heard.
 */
export function hearDeparture(req: IncomingMessage, res: ServerResponse | undefined, waiter: Waiter): void {
  // HTTP/2 has a stream per request, whose end the response reports. Its `socket` is no connection.
  const socket = req.httpVersionMajor === 1 ? req.socket as Socket | undefined : undefined;
  if (res?.closed === true || res?.destroyed === true || socket?.destroyed === true || hasStreamEnded(req)) {
    waiter.left();
    return;
  }
  const waiters = socket === undefined ? undefined : waitersOn(socket);
  waiters?.push(waiter);
  res?.on('close', () => {
    if (waiters !== undefined) drop(waiters, waiter);
    waiter.left();
  });
}

// Making a controller costs more than finding a held session does, and it is hardly ever needed.
const spare: AbortController[] = [];
const MOST_SPARE = 64;

export const spareController = (): AbortController => spare.pop() ?? new AbortController();

/** For a later request, unless it has been used. */
export function takeBack(controller: AbortController | undefined): void {
  if (controller?.signal.aborted === false && spare.length < MOST_SPARE) spare.push(controller);
}
