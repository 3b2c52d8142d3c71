import { createServer, type Server } from 'node:http';
import { Cluster } from './cluster.js';
import { Control } from './control.js';
import { Moves } from './moves.js';
import type { Place } from './place.js';
import { RoundRobinProxy } from './proxy.js';

const PORTS_TRIED = 20;

/** Listens on the first free port from `port` up; resolves to that port. */
async function listen(server: Server, port: number): Promise<number> {
  for (let offset = 0; ; offset++) {
    const inUse = await new Promise<boolean>((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException) => {
        if (error.code === 'EADDRINUSE' && offset + 1 < PORTS_TRIED) resolve(true);
        else reject(error);
      };
      server.once('error', failed);
      server.listen(port === 0 ? 0 : port + offset, '127.0.0.1', () => { server.off('error', failed); resolve(false); });
    });
    const address = server.address();
    if (!inUse && typeof address === 'object' && address !== null) return address.port;
  }
}

/** Everything that runs, with one way to end it. */
export interface Stage {
  readonly cluster: Cluster;
  readonly proxy: RoundRobinProxy;
  readonly moves: Moves;
  readonly port: number;
  readonly url: string;
  /** Ends every process, by kill -9 after `withinMs`; resolves to the number of sessions that they left locked, if that is known. */
  readonly close: (withinMs?: number) => Promise<number | undefined>;
}

/**
 * The proxy on the first free port from `port` up, and a cluster that has not been started, with its sessions in `place`.
 * @param entry what each process runs; the shop unless a test has something else in mind
 */
export async function openStage(port: number, place: Place, entry?: string): Promise<Stage> {
  const cluster: Cluster = new Cluster(place.address, (from, report) => { moves.take(from, report); }, entry);
  const moves = new Moves(() => cluster);
  const proxy = new RoundRobinProxy(() => cluster.members);
  let hosts: string[] = [];
  const control = new Control(cluster, moves, () => hosts);
  const server = createServer((request, response) => {
    void control.handle(request, response)
      .then((mine) => (mine ? undefined : proxy.handle(request, response)))
      .catch(() => { response.destroy(); }); // the client left, or its request cannot be read
  });
  const listening = await listen(server, port);
  hosts = [`127.0.0.1:${listening}`, `localhost:${listening}`];
  const close = async (withinMs?: number) => {
    control.close();
    const locked = await cluster.stop(withinMs);
    proxy.close();
    server.close();
    server.closeAllConnections();
    await place.remove();
    return locked;
  };
  return { cluster, moves, proxy, port: listening, url: `http://127.0.0.1:${listening}`, close };
}
