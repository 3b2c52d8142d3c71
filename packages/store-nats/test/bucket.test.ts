import { describe, expect, it } from '@jest/globals';
import { natsReleases, NatsServer } from '../../../scripts/services/nats.js';
import { until } from '../../../scripts/services/server-process.js';
import { messageOf } from '../src/failures.js';
import { entry, mapAt, nobody, OneServer } from './set-up.js';

const place = new OneServer();
/** Less than a bucket is waited for. */
const AT_ONCE_MS = 5_000;
const ROUNDING_MS = 2;

describe('a bucket', () => {
  it('with replicas is refused on a server whose replicas accept two puts of the same revision', async () => {
    await using old = await NatsServer.start({ release: 'installed' });
    const map = mapAt(old.url, { replicas: 3 });
    await expect(map.start(nobody)).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE',
      message: expect.stringMatching(/^NATS: with replicas expected servers of 2\.11 or later, found '2\.(9|10)\.\d+': older ones may accept two changes of the same state\. /),
    });
  });

  it('with replicas is refused at once on a server that is in no cluster', async () => {
    const map = mapAt(place.server.url, { bucket: 'three', replicas: 3 });
    await expect(map.start(nobody)).rejects.toThrow("NATS: the bucket 'three' cannot be used: NATS refused: replicas > 1 not supported in non-clustered mode; nothing was changed");
  }, AT_ONCE_MS);

  it('is refused at once by a server without JetStream', async () => {
    await using own = await NatsServer.start({ hasJetStream: false });
    await expect(mapAt(own.url).start(nobody)).rejects.toThrow(
      `NATS: the bucket 'cluster' cannot be used: expected a server with JetStream, found ${own.host}:${own.port} without; add 'jetstream {}' to its configuration`);
  }, AT_ONCE_MS);

  it('with one replica is refused in a cluster of servers, where a client on another one does not notice that it went back', async () => {
    // One node of them; its configuration says that it belongs to a cluster.
    await using node = await NatsServer.start();
    await node.join([1]);
    await node.restart();
    await expect(mapAt(node.url).start(nobody)).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE',
      message: "NATS: in a cluster of servers ('sessions') expected replicas: 3, or 5, found 1: what is lost with the one server that keeps the bucket would not be "
        + 'noticed on the others. Give replicas: 3, or connect to a server that is in no cluster',
    });
  });

  it('that is found further back by a put raises the generation, and puts at once do not', async () => {
    const map = place.mapIn('back');
    await map.start(nobody);
    const put = (key: string) => map.compareAndSet(`shop.s.${key}`, undefined, entry('x'));
    const generation = map.generation();
    await Promise.all(Array.from({ length: 64 }, (_each, at) => put(`a${at}`)));
    expect(map.generation()).toBe(generation);
    const { config } = await place.server.ask('$JS.API.STREAM.INFO.KV_back') as { config: object };
    await place.server.ask('$JS.API.STREAM.DELETE.KV_back');
    await place.server.ask('$JS.API.STREAM.CREATE.KV_back', config);
    await map.get('shop.s.a');
    // The server has said by now that the bucket was made anew, which in a cluster it may not.
    const told = map.generation();
    await put('b');
    const found = map.generation();
    expect(found).not.toBe(told);
    await put('c');
    expect(map.generation()).toBe(found);
    await map.stop();
  });

  it('that differs from the options is refused, and each difference named', async () => {
    await place.server.ask('$JS.API.STREAM.CREATE.KV_other', { name: 'KV_other', subjects: ['$KV.other.>'], storage: 'memory', max_msgs_per_subject: 5, discard: 'new' });
    await expect(place.mapIn('other').start(nobody)).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE',
      message: "NATS: the bucket 'other' is not as it must be: max_msgs_per_subject: expected 1, found 5; storage: expected \"file\", found \"memory\". "
        + 'Name another bucket, give the options it was made with, or edit its stream',
    });
  });

  it.each(['discard_new_per_subject', 'no_ack'])('whose stream would refuse or not answer what is put (%s) is refused at once', async (field) => {
    const made = { name: 'KV_unfit', subjects: ['$KV.unfit.>'], storage: 'file', max_msgs_per_subject: 1, discard: 'new' };
    await place.server.ask('$JS.API.STREAM.CREATE.KV_unfit', { ...made, [field]: true });
    await expect(place.mapIn('unfit').start(nobody)).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: expect.stringContaining(`the bucket 'unfit' is not as it must be: ${field}: expected false, found true. `),
    });
    await place.server.ask('$JS.API.STREAM.DELETE.KV_unfit');
  }, AT_ONCE_MS);

  it('that is full is said to be, and changes nothing', async () => {
    const map = place.mapIn('full');
    await map.start(nobody);
    const { config } = await place.server.ask('$JS.API.STREAM.INFO.KV_full') as { config: object };
    await place.server.ask('$JS.API.STREAM.UPDATE.KV_full', { ...config, max_bytes: 1 });
    await expect(map.compareAndSet('shop.s.a', undefined, entry('x'))).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: 'NATS refused: maximum bytes exceeded; nothing was changed',
    });
    await map.stop();
  });

  it('that is found unfit after a reconnection takes no puts until it is mended', async () => {
    await using own = await NatsServer.start();
    const map = mapAt(own.url);
    await map.start(nobody);
    const put = () => map.compareAndSet('shop.s.a', undefined, entry('x')).then(() => 'done', messageOf);
    const { config } = await own.ask('$JS.API.STREAM.INFO.KV_cluster') as { config: object };
    await own.ask('$JS.API.STREAM.UPDATE.KV_cluster', { ...config, discard: 'old' });
    await own.restart();
    await until('it is found', async () => (await put()).startsWith('NATS: the bucket \'cluster\' is not as it must be: discard: expected "new", found "old"'));
    await own.ask('$JS.API.STREAM.UPDATE.KV_cluster', config);
    await until('it is taken again', async () => (await map.compareAndSet(`shop.s.${Math.random()}`, undefined, entry('x'))
      .catch(() => undefined)) !== undefined);
    await map.stop();
  });

  it('that is deleted and made anew does not take an old revision for one of its own', async () => {
    const map = place.mapIn('again');
    await map.start(nobody);
    await map.compareAndSet('shop.s.a', undefined, entry('x'));
    const generation = map.generation();
    const { config } = await place.server.ask('$JS.API.STREAM.INFO.KV_again') as { config: object };
    await place.server.ask('$JS.API.STREAM.DELETE.KV_again');
    await place.server.ask('$JS.API.STREAM.CREATE.KV_again', config);
    expect(await map.get('shop.s.a')).toBeUndefined();
    expect(map.generation()).not.toBe(generation);
    await map.stop();
  });

  it('whose keys others delete or let expire with a marker has those as absent, and takes them again', async () => {
    const map = place.mapIn('marked');
    await map.start(nobody);
    const kv = await place.client.jetstream().views.kv('marked', { bindOnly: true });
    const first = await map.compareAndSet('shop.s.a', undefined, entry('x'));
    await kv.delete('shop.s/a');
    expect(await map.get('shop.s.a')).toBeUndefined();
    expect(await map.compareAndSet('shop.s.a', first, entry('y'))).toBeUndefined();
    expect(await map.compareAndSet('shop.s.a', undefined, entry('z'))).toBeDefined();
    expect(await map.get('shop.s.a')).toMatchObject({ value: 'z' });
    await map.stop();
  });
});

describe.each(natsReleases())('a lifetime (%s)', (release) => {
  it('ends an entry for readers and writers, and leaves nothing of it', async () => {
    await using own = await NatsServer.start({ release });
    const map = mapAt(own.url);
    await map.start(nobody);
    const revision = await map.compareAndSet('shop.s.a', undefined, entry('x', 1_000));
    await new Promise((resolve) => { setTimeout(resolve, 1_500); });
    expect(await map.get('shop.s.a')).toBeUndefined();
    expect(await map.compareAndSet('shop.s.a', revision, entry('late'))).toBeUndefined();
    await map.sweep(10);
    expect(await own.ask('$JS.API.STREAM.INFO.KV_cluster')).toMatchObject({ state: { messages: 0 } });
    await map.stop();
  });
});

describe('entries that are over, where instances clear them away', () => {
  it('are swept by two at once, each of them by one', async () => {
    await using own = await NatsServer.start({ release: 'installed' });
    const maps = [mapAt(own.url), mapAt(own.url)];
    for (const map of maps) await map.start(nobody);
    for (let made = 0; made < 30; made += 1) await maps[0]?.compareAndSet(`shop.s.${made}`, undefined, entry('x', 1));
    const swept = await Promise.all(maps.map((map) => map.sweep(100)));
    expect(swept.reduce((sum, each) => sum + each, 0)).toBe(30);
    await Promise.all(maps.map((map) => map.stop()));
  });
});

describe('a lease', () => {
  it.each(natsReleases())('is dated by a single server that says what time it is (%s)', async (release) => {
    await using own = await NatsServer.start({ release });
    const map = mapAt(own.url);
    await map.start(nobody);
    const beforeMs = performance.now();
    await map.compareAndSet('shop.l.one.0123456789abcdef', undefined, entry('0'));
    const putMs = performance.now();
    await new Promise((resolve) => { setTimeout(resolve, 60); });
    const leastMs = performance.now() - putMs;
    const { ageMs } = await map.get('shop.l.one.0123456789abcdef') ?? {};
    if (release === 'built') {
      expect(ageMs).toBeGreaterThanOrEqual(leastMs - ROUNDING_MS);
      expect(ageMs).toBeLessThanOrEqual(performance.now() - beforeMs + ROUNDING_MS);
      // While the server was away nobody could beat.
      await own.kill();
      const goneMs = performance.now();
      await own.restart();
      await until('it is back', async () => await map.get('shop.l.one.0123456789abcdef').catch(() => undefined) !== undefined);
      expect((await map.get('shop.l.one.0123456789abcdef'))?.ageMs).toBeLessThanOrEqual(performance.now() - goneMs);
    } else {
      expect(ageMs).toBeUndefined();
    }
    await map.stop();
  });
});
