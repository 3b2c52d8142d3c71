import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { deserialize, serialize } from 'node:v8';
import { whenGone, type StoreBreakage } from '../broken/stores.js';
import { memoryStore, newCluster, type FullStore } from '../memory-cluster.js';

export interface Wanted { readonly n: number; readonly method: string; readonly args: readonly unknown[] }
export interface Failed { readonly name: string; readonly message: string; readonly code: unknown }
export interface Served { readonly n: number; readonly value?: unknown; readonly failed?: Failed }

const failedBy = (error: unknown): Failed =>
  (error instanceof Error ? { name: error.name, message: error.message, code: Reflect.get(error, 'code') } : { name: 'Error', message: String(error), code: undefined });

/** Serves a cluster in memory to stores of other processes; what an instance has locked is freed when its connection ends. */
export async function host(breakage?: StoreBreakage): Promise<{ port: number; close: () => void }> {
  const cluster = newCluster();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let store: FullStore | undefined;
    socket.on('error', () => undefined);
    socket.on('close', () => { if (store !== undefined) whenGone(breakage, cluster, store.instanceId); });
    createInterface({ input: socket }).on('error', () => undefined).on('line', (line) => {
      const { n, method, args } = deserialize(Buffer.from(line, 'base64')) as Wanted; // what ServedStore writes
      const answer = async (): Promise<unknown> => {
        if (method === 'hello') {
          const correct = memoryStore(cluster, String(args[0]));
          store = { ...correct, ...breakage?.methods(correct, cluster) };
          return undefined;
        }
        return Reflect.apply(Reflect.get(store ?? {}, method) as (...given: unknown[]) => unknown, undefined, [...args]); // a name of ClusterStore
      };
      const reply = (served: Served) => socket.write(`${serialize(served).toString('base64')}\n`);
      answer().then((value) => reply({ n, value }), (error: unknown) => reply({ n, failed: failedBy(error) }));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a server on a port has an address');
  return { port: address.port, close: () => { server.close(); for (const socket of sockets) socket.destroy(); } };
}
