import { createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { LEASE_MS } from './lease.js';

// A key-value process with locks, of the kind that a company has anyway. One JSON object per line, each way. A lock belongs to
// a connection: it is free again when the connection ends, or says nothing for LEASE_MS.

const TOMBSTONE_MS = 60_000;
const SWEEP_MS = 1_000;

export interface Question {
  readonly n: number;
  readonly op: 'ping' | 'lock' | 'get' | 'add' | 'put' | 'end' | 'touch';
  readonly key: string;
  readonly value?: string;
  readonly lifetimeMs?: number;
  readonly keep?: boolean;
  readonly why?: string;
}
export interface Answer {
  readonly n: number;
  readonly status: 'done' | 'absent' | 'locked' | 'refused' | 'gone';
  readonly why?: string;
  readonly value?: string;
  readonly ageMs?: number;
  readonly idleMs?: number;
  readonly lifetimeMs?: number;
}

interface Entry { value: string; madeMs: number; usedMs: number; lifetimeMs: number; owner?: Socket | undefined; gone?: string }

const entries = new Map<string, Entry>();
const expired = ({ usedMs, lifetimeMs }: Entry) => performance.now() - usedMs >= lifetimeMs;

function answer(socket: Socket, { n, op, key, value = '', lifetimeMs = 0, keep = false, why = '' }: Question): Answer {
  const nowMs = performance.now();
  const kept = entries.get(key);
  const entry = kept === undefined || expired(kept) ? undefined : kept;
  const owner = keep ? socket : undefined;
  if (op === 'ping') return { n, status: 'done' };
  if (op === 'add') {
    if (entry !== undefined) return { n, status: 'refused' };
    entries.set(key, { value, madeMs: nowMs, usedMs: nowMs, lifetimeMs, owner });
    return { n, status: 'done' };
  }
  if (entry === undefined) return { n, status: op === 'put' ? 'refused' : 'absent' };
  if (entry.gone !== undefined) return { n, status: op === 'put' ? 'refused' : 'gone', why: entry.gone };
  if (op === 'end' && why === 'moved' && entry.owner !== socket) return { n, status: 'refused' };
  if (op === 'put') {
    if (entry.owner !== socket) return { n, status: 'refused' };
    Object.assign(entry, { value, lifetimeMs, usedMs: nowMs, owner });
  } else if (op === 'end') {
    entries.set(key, { value: '', madeMs: nowMs, usedMs: nowMs, lifetimeMs: TOMBSTONE_MS, gone: why });
  } else if (op === 'touch') {
    Object.assign(entry, { lifetimeMs: Math.max(lifetimeMs, entry.lifetimeMs - (nowMs - entry.usedMs)), usedMs: nowMs });
  } else {
    if (op === 'lock' && entry.owner !== undefined && entry.owner !== socket) return { n, status: 'locked' };
    if (op === 'lock') entry.owner = socket;
    const { value: found, madeMs, usedMs } = entry;
    return { n, status: 'done', value: found, ageMs: nowMs - madeMs, idleMs: nowMs - usedMs, lifetimeMs: entry.lifetimeMs };
  }
  return { n, status: 'done' };
}

const server = createServer((socket) => {
  socket.setNoDelay();
  socket.setTimeout(LEASE_MS, () => { socket.destroy(); });
  socket.on('error', () => { socket.destroy(); });
  socket.on('close', () => { for (const entry of entries.values()) if (entry.owner === socket) entry.owner = undefined; });
  // What arrives is what kv-client.ts writes.
  createInterface({ input: socket }).on('error', () => undefined).on('line', (line) => {
    socket.write(`${JSON.stringify(answer(socket, JSON.parse(line) as Question))}\n`);
  });
});

setInterval(() => { for (const [key, entry] of entries) if (expired(entry)) entries.delete(key); }, SWEEP_MS).unref();
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : address;
  if (process.send === undefined) console.log(`listening on 127.0.0.1:${port}`);
  else process.send({ port });
});
process.once('disconnect', () => process.exit());
