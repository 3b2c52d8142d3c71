import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { connect as connectTo } from 'nats';
import { NatsCluster } from '../../../scripts/services/nats-cluster.js';
import type { NatsServer } from '../../../scripts/services/nats.js';
import { until } from '../../../scripts/services/server-process.js';
import { Unanswered } from '../src/failures.js';
import type { NatsMap } from '../src/nats-map.js';
import { entry, mapAt, nobody } from './set-up.js';

const BUCKETS = 8;
/** With all that is around it. */
const ELECTION_MS = 40_000;
/** Half a second, and as long again and a second more on a busy machine. */
const AFTER_ELECTION_MS = 2_000;
/** One second; where nothing is recognized it takes three. */
const LEFT_MS = 2_500;
/** For longer than a put says who leads. */
const LATE_MS = 3_200;
const LATE_LOOKS_MS = 30_000;

let cluster: NatsCluster;
beforeAll(async () => { cluster = await NatsCluster.start(); });
afterAll(() => cluster.stop());

const open: { stop(): unknown }[] = [];
afterEach(async () => { for (const each of open.splice(0)) await each.stop(); });

/** A map of its own, over one or more of the servers. */
async function started(servers: string | string[], bucket: string): Promise<NatsMap> {
  const map = mapAt(servers, { source: { connect: { servers, ignoreClusterUpdates: true, noRandomize: true } }, bucket, replicas: 3 });
  open.push(map);
  await map.start(nobody);
  return map;
}

function firstNode(): NatsServer {
  const [first] = cluster.nodes;
  if (first === undefined) throw new Error('there are three');
  return first;
}

async function ledBy(node: NatsServer, bucket: string): Promise<void> {
  await cluster.settled(`KV_${bucket}`);
  await node.ask(`$JS.API.STREAM.LEADER.STEPDOWN.KV_${bucket}`, { placement: { preferred: node.name } });
  await until('it leads', async () => await cluster.leaderOf(`KV_${bucket}`) === node);
}

describe('a bucket that was just made in a cluster', () => {
  it('takes puts through each server as soon as start has resolved there', async () => {
    const putAtOnce = async (servers: string, bucket: string, at: number) =>
      (await started(servers, bucket)).compareAndSet(`shop.s.${at}`, undefined, entry('x'));
    for (let made = 0; made < BUCKETS; made += 1) {
      const puts = await Promise.allSettled(cluster.urls.map((url, at) => putAtOnce(url, `b${made}`, at)));
      expect(puts).toEqual(cluster.urls.map(() => ({ status: 'fulfilled', value: expect.any(String) })));
    }
  });
});

/** The way to the first server, on which answers can be lost, or come late. */
async function way() {
  const { host, port } = firstNode();
  let isLost = false;
  let late: string | undefined;
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(port, host);
    for (const [from, to] of [[near, far], [far, near]] as const) {
      sockets.add(from);
      from.on('error', () => undefined);
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      let freeMs = 0;
      from.on('data', (bytes: Buffer) => {
        if (from === far && isLost) return;
        const nowMs = performance.now();
        if (from === far && late !== undefined && bytes.includes(late)) freeMs = nowMs + LATE_MS;
        // What follows stays behind it.
        if (freeMs > nowMs) setTimeout(() => { to.write(bytes); }, freeMs - nowMs).unref();
        else to.write(bytes);
      });
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    // It listens on a port.
    url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`,
    lose: () => { isLost = true; },
    /** Answers that have this in them come late from now on; with undefined none. */
    delay: (text: string | undefined) => { late = text; },
    isUsed: () => sockets.size > 0,
    cut: () => {
      isLost = false;
      for (const socket of sockets) socket.destroy();
    },
    close: () => { server.close(); },
  };
}

describe('a put whose answer is lost with the connection', () => {
  let road: Awaited<ReturnType<typeof way>>;
  let other: NatsMap;
  beforeAll(async () => { road = await way(); });
  afterAll(() => { road.close(); });
  /** Puts through the road, the answer of which is lost, and resolves when it is done. */
  const putInVain = async (key: string) => {
    const map = await started(road.url, 'lost');
    other = await started(cluster.urls[1] ?? '', 'lost');
    const revision = await map.compareAndSet(key, undefined, entry('first'));
    road.lose();
    const outcome = map.compareAndSet(key, revision, entry('second')).catch((error: unknown) => error);
    await until('it is there', async () => (await other.get(key))?.value === 'second');
    // Not the promise itself, which would be waited for.
    return { outcome };
  };

  it('is asked again, and found to be done', async () => {
    const key = 'shop.s.done';
    const { outcome } = await putInVain(key);
    road.cut();
    expect(await outcome).toBe((await other.get(key))?.revision);
  });

  it('is not known to be undone when somebody else has put there since', async () => {
    const key = 'shop.s.strange';
    const { outcome } = await putInVain(key);
    const there = (await other.get(key))?.revision;
    expect(await other.compareAndSet(key, there, entry('third'))).toBeDefined();
    road.cut();
    expect(await outcome).toBeInstanceOf(Unanswered);
  });
});

describe('what is asked while the leader', () => {
  /** Over the first server as long as that is there, and it leads. */
  const overTheLeader = async (bucket: string) => {
    const first = firstNode();
    const map = await started([...cluster.urls], bucket);
    await ledBy(first, bucket);
    return { first, map, revision: await map.compareAndSet('shop.s.a', undefined, entry('before')) };
  };
  /** A look-up and a put are answered soon after another one leads. */
  const answered = async (bucket: string, { first, map, revision }: Awaited<ReturnType<typeof overTheLeader>>) => {
    const asked = Promise.all([map.get('shop.s.a'), map.compareAndSet('shop.s.a', revision, entry('after'))]);
    await until('another one leads', async () => ![undefined, first].includes(await cluster.leaderOf(`KV_${bucket}`)));
    const electedMs = performance.now();
    const [found, put] = await asked;
    expect(performance.now() - electedMs).toBeLessThan(AFTER_ELECTION_MS);
    expect(['before', 'after']).toContain(found?.value);
    expect(await map.get('shop.s.a')).toEqual({ value: 'after', revision: put });
  };

  it('dies, to which the instance is connected, is answered by another one', async () => {
    const over = await overTheLeader('moved');
    await over.first.kill();
    await answered('moved', over);
    await over.first.restart();
  }, ELECTION_MS);

  it('hears the others no more, to which the instance is connected, is answered by another one', async () => {
    const over = await overTheLeader('left');
    cluster.isolate(over.first);
    await answered('left', over);
    cluster.rejoin();
  }, ELECTION_MS);
});

describe('a look-up through a leader that is cut off', () => {
  it('has no answer from there, and the present one when it can be had', async () => {
    const first = firstNode();
    // The application's own connection, which nobody moves.
    const client = await connectTo({ servers: first.url, ignoreClusterUpdates: true });
    const map = mapAt(first.url, { source: { client }, bucket: 'old', replicas: 3 });
    await map.start(nobody);
    await ledBy(first, 'old');
    const revision = await map.compareAndSet('shop.s.a', undefined, entry('before'));
    cluster.isolate(first);
    await until('another one leads', async () => ![undefined, first].includes(await cluster.leaderOf('KV_old')));
    const other = await started(cluster.urls.slice(1), 'old');
    const changed = await other.compareAndSet('shop.s.a', revision, entry('after'));
    expect(changed).toBeDefined();
    const found = map.get('shop.s.a');
    expect(await Promise.race([found, sleep(1_000, 'no answer')])).toBe('no answer');
    cluster.rejoin();
    expect(await found).toEqual({ value: 'after', revision: changed });
    await map.stop();
    await client.close();
  }, ELECTION_MS);
});

describe('a server that was cut off while it led', () => {
  it('is left a second after one came there, as it takes no put', async () => {
    const first = firstNode();
    await started([...cluster.urls], 'former');
    await ledBy(first, 'former');
    const road = await way();
    open.push({ stop: road.close }, { stop: () => { cluster.rejoin(); } });
    cluster.isolate(first);
    const starting = started([road.url, ...cluster.urls.slice(1)], 'former');
    await until('it came', () => Promise.resolve(road.isUsed()));
    const cameMs = performance.now();
    await until('it is left', () => Promise.resolve(!road.isUsed()));
    expect(performance.now() - cameMs).toBeLessThan(LEFT_MS);
    expect(await (await starting).compareAndSet('shop.s.a', undefined, entry('x'))).toBeDefined();
  }, ELECTION_MS);
});

describe('a look-up that cannot be believed in time', () => {
  /** Answers that have this in them come late. */
  const refused = async (late: string) => {
    const road = await way();
    // Which nobody moves to another server.
    const client = await connectTo({ servers: road.url, ignoreClusterUpdates: true });
    const map = mapAt(road.url, { source: { client }, bucket: 'late', replicas: 3 });
    open.push(map, { stop: () => client.close() }, { stop: road.close });
    await map.start(nobody);
    await map.compareAndSet('shop.s.a', undefined, entry('x'));
    road.delay(late);
    await expect(map.get('shop.s.a')).rejects.toEqual(new Unanswered('NATS: what is put and looked up takes longer than 3000 ms'));
    road.delay(undefined);
    expect(await map.get('shop.s.a')).toMatchObject({ value: 'x' });
  };

  it('rejects after some of them, whether look-ups take too long or puts as well', async () => {
    await Promise.all(['stream_msg_get_response', ''].map(refused));
  }, LATE_LOOKS_MS);
});
