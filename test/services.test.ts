import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { KafkaServer, pingKafka } from '../scripts/services/kafka.js';
import { NatsCluster } from '../scripts/services/nats-cluster.js';
import { natsReleases, NatsServer } from '../scripts/services/nats.js';
import { pingRabbit, RabbitServer } from '../scripts/services/rabbitmq.js';
import { RedisCluster } from '../scripts/services/redis-cluster.js';
import { RedisSentinel } from '../scripts/services/redis-sentinel.js';
import { RedisServer } from '../scripts/services/redis.js';
import { ask } from '../scripts/services/redis-wire.js';
import { until } from '../scripts/services/server-process.js';

const repository = dirname(import.meta.dirname);

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
const isGone = (pid: number) => until(`process ${pid} has ended`, async () => !isAlive(pid), 10_000);

describe('a Redis', () => {
  const servers: RedisServer[] = [];
  const start = async (...settings: Parameters<typeof RedisServer.start>) => {
    const server = await RedisServer.start(...settings);
    servers.push(server);
    return server;
  };
  afterEach(async () => { await Promise.all(servers.splice(0).map((server) => server.stop())); });

  it('answers when it is started, and leaves nothing when it is stopped', async () => {
    const server = await start();
    expect(server.url).toBe(`redis://127.0.0.1:${server.port}`);
    expect(await server.send('SET', 'key', 'ä\r\n')).toBe('OK');
    expect(await server.send('MGET', 'key', 'absent')).toEqual(['ä\r\n', null]);
    const { pid, folder } = server;
    expect(existsSync(folder)).toBe(true);
    await server.stop();
    expect({ isAlive: isAlive(pid!), folder: existsSync(folder), pid: server.pid }).toEqual({ isAlive: false, folder: false, pid: undefined });
  });

  it('has a port and a folder of its own', async () => {
    const [one, another] = await Promise.all([start(), start()]);
    expect(one.port).not.toBe(another.port);
    expect(one.folder).not.toBe(another.folder);
    await one.send('SET', 'key', '1');
    expect(await another.send('GET', 'key')).toBeNull();
  });

  it('forgets everything when it is killed', async () => {
    const server = await start();
    await server.send('SET', 'key', '1');
    const { pid, port } = server;
    await server.kill();
    expect(isAlive(pid!)).toBe(false);
    await expect(server.send('PING')).rejects.toThrow('ECONNREFUSED');
    await server.restart();
    expect(server.port).toBe(port);
    expect(await server.send('GET', 'key')).toBeNull();
  });

  it('keeps what it acknowledged, with an append-only file', async () => {
    const server = await start({ aof: true });
    await server.send('SET', 'key', '1');
    await server.restart();
    expect(await server.send('GET', 'key')).toBe('1');
    expect(await server.send('CONFIG', 'GET', 'appendfsync')).toEqual(['appendfsync', 'always']);
  });

  it('answers nothing while it is frozen', async () => {
    const server = await start();
    await server.freeze();
    let isAnswered = false;
    const answer = server.send('PING').then((reply) => { isAnswered = true; return reply; });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(isAnswered).toBe(false);
    await server.thaw();
    expect(await answer).toBe('PONG');
  });

  it('is killed and stopped while it is frozen', async () => {
    const server = await start();
    await server.freeze();
    await server.restart();
    expect(await server.send('PING')).toBe('PONG');
    await server.freeze();
    await server.stop();
    await expect(server.freeze()).rejects.toThrow(`SIGSTOP: expected a server that runs on port ${server.port}, found none`);
  });

  it('refuses writes when it is told to', async () => {
    const server = await start({ config: { 'maxmemory-policy': 'noeviction' } });
    await server.config('maxmemory', '1');
    await expect(server.send('SET', 'key', '1')).rejects.toThrow('OOM');
    await server.config('maxmemory', '0');
    expect(await server.send('SET', 'key', '1')).toBe('OK');
    expect(await server.info('maxmemory_policy')).toBe('noeviction');
  });

  it('that does not start says why', async () => {
    await expect(RedisServer.start({ config: { 'no-such-setting': '1' } })).rejects.toThrow(/ended with status 1 before it was ready[^]*no-such-setting/);
  });
});

describe('a Redis with a replica and a Sentinel', () => {
  let redis: RedisSentinel;
  beforeAll(async () => { redis = await RedisSentinel.start(); });
  afterAll(async () => { await redis.stop(); });

  const replicated = async (key: string, value: string) => {
    const [primary, replica] = [await redis.primary(), await redis.replica()];
    await primary.send('SET', key, value);
    await until(`the replica has ${key}`, async () => await replica.send('GET', key) === value);
  };

  it('loses what the replica did not hear of, when the replica takes over', async () => {
    const former = await redis.primary();
    await replicated('key', 'heard of');
    await redis.cutReplica();
    expect(await former.send('SET', 'key', 'acknowledged')).toBe('OK');
    const next = await redis.failOver();
    expect(next).not.toBe(former);
    expect(await redis.primary()).toBe(next);
    expect(await next.send('GET', 'key')).toBe('heard of');
    expect(await next.send('SET', 'key', 'goes on')).toBe('OK');
  }, 90_000);

  it('takes the former primary back as a replica', async () => {
    await redis.heal();
    await replicated('key', 'both');
    await expect((await redis.replica()).send('SET', 'key', '1')).rejects.toThrow('READONLY');
  }, 90_000);

  it('lets both change places', async () => {
    const former = await redis.primary();
    const next = await redis.switchOver();
    expect(next).not.toBe(former);
    expect(await redis.primary()).toBe(next);
    await expect(former.send('SET', 'key', '1')).rejects.toThrow('READONLY');
    expect(await next.send('SET', 'key', '1')).toBe('OK');
  }, 90_000);
});

describe('a Redis of three nodes', () => {
  let redis: RedisCluster;
  beforeAll(async () => { redis = await RedisCluster.start(); });
  afterAll(async () => { await redis.stop(); });

  it('gives each node a third of the slots', async () => {
    const nodes = await Promise.all([0, 5460, 5461, 10_921, 10_922, 16_383].map((slot) => redis.nodeOf(slot)));
    const [one, two, three] = redis.nodes;
    expect(nodes.map((node) => redis.nodes.indexOf(node))).toEqual([one, one, two, two, three, three].map((node) => redis.nodes.indexOf(node!)));
  });

  it('moves a slot, key by key', async () => {
    const slot = await redis.slotOf('key');
    const from = await redis.nodeOf(slot);
    await from.send('SET', 'key', '1');
    await from.send('SET', '{key}.2', '2');
    const migration = await redis.migrate(slot);
    expect(await from.send('GET', 'key')).toBe('1');
    expect(await migration.moveKeys(1)).toBe(1);
    const answers = await Promise.all(['key', '{key}.2'].map((key) => from.send('GET', key).catch((error: unknown) => String(error))));
    expect(answers.sort()).toEqual([expect.stringMatching(/^[12]$/), `Error: ASK ${slot} 127.0.0.1:${migration.to.port}`]);
    await migration.finish();
    await expect(from.send('GET', 'key')).rejects.toThrow(`MOVED ${slot} 127.0.0.1:${migration.to.port}`);
    expect(await redis.nodeOf(slot)).toBe(migration.to);
    expect(await migration.to.send('MGET', 'key', '{key}.2')).toEqual(['1', '2']);
  });

  it('is whole again when a node that was killed is started', async () => {
    const node = redis.nodes[1]!;
    await node.kill();
    await node.restart();
    await redis.ready();
    expect(await redis.nodeOf(8000)).toBe(node);
  });
});

describe('servers whose starter is killed', () => {
  it.each(['SIGKILL', 'SIGTERM'] as const)('end, and their folders with them (%s)', async (signal) => {
    const folder = await mkdtemp(join(tmpdir(), 'cluster-starter-'));
    const program = join(folder, 'starter.mts');
    await writeFile(program, `
      import { RedisServer } from ${JSON.stringify(join(repository, 'scripts/services/redis.ts'))};
      const [one, another] = await Promise.all([RedisServer.start({ aof: true }), RedisServer.start()]);
      await another.freeze();
      console.log(JSON.stringify([one, another].map(({ pid, folder }) => ({ pid, folder }))));
      setInterval(() => undefined, 1000);`);
    const starter = spawn(process.execPath, ['--import', join(repository, 'scripts/ts-register.mjs'), program], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = await once(starter.stdout, 'data') as [Buffer];
    // The program above prints this.
    const started = JSON.parse(line.toString()) as { pid: number; folder: string }[];
    expect(started.map(({ pid }) => isAlive(pid))).toEqual([true, true]);
    starter.kill(signal);
    for (const { pid } of started) await isGone(pid);
    await until('the folders are removed', async () => !existsSync(dirname(started[0]!.folder)), 10_000);
    await rm(folder, { recursive: true });
  });
});

const bucket = (replicas: number) => ({ name: 'KV_x', subjects: ['$KV.x.>'], storage: 'file', num_replicas: replicas });

describe.each(natsReleases())('a NATS server (%s)', (release) => {
  it('keeps its streams when it is killed and started again, and leaves nothing when it is stopped', async () => {
    const server = await NatsServer.start({ release });
    expect(await server.ask('$JS.API.STREAM.CREATE.KV_x', bucket(1))).toMatchObject({ did_create: true });
    const { pid, folder } = server;
    await server.kill();
    await expect(server.ask('$JS.API.INFO')).rejects.toThrow('ECONNREFUSED');
    await server.restart();
    expect(await server.ask('$JS.API.STREAM.INFO.KV_x')).toMatchObject({ config: { name: 'KV_x' } });
    await server.stop();
    expect({ isAlive: isAlive(pid!), folder: existsSync(folder), pid: server.pid }).toEqual({ isAlive: false, folder: false, pid: undefined });
  });
});

describe('three NATS servers', () => {
  it('have a stream together, and one that comes back learns what it missed', async () => {
    await using cluster = await NatsCluster.start();
    await cluster.make(bucket(3));
    const leader = await cluster.settled('KV_x');
    const other = cluster.nodes.find((node) => node !== leader)!;
    await other.kill();
    await until('two nodes have a leader', async () => await cluster.leaderOf('KV_x') !== undefined);
    await other.restart();
    // Rejects while a node lacks something.
    expect(await cluster.settled('KV_x')).toBeInstanceOf(NatsServer);
  });
});

describe('a Kafka', () => {
  it('is there again when it is killed and started, and leaves nothing when it is stopped', async () => {
    const server = await KafkaServer.start();
    await pingKafka(server.port);
    const { pid, folder } = server;
    await server.kill();
    await expect(pingKafka(server.port)).rejects.toThrow('ECONNREFUSED');
    await server.restart();
    await server.freeze();
    await expect(pingKafka(server.port, 200)).rejects.toThrow('aborted');
    await server.stop();
    expect({ isAlive: isAlive(pid!), folder: existsSync(folder), pid: server.pid }).toEqual({ isAlive: false, folder: false, pid: undefined });
  });

  it('is started with others as one cluster', async () => {
    const nodes = await KafkaServer.together(3);
    for (const { port } of nodes) await pingKafka(port);
    await Promise.all(nodes.map((node) => node.stop()));
  });
});

describe('a RabbitMQ', () => {
  it('is there again when it is killed and started, and leaves nothing when it is stopped, nor do three', async () => {
    const server = await RabbitServer.start();
    const { pid, mapperPid, folder } = server;
    await server.kill();
    await expect(pingRabbit(server.port)).rejects.toThrow('ECONNREFUSED');
    await server.restart();
    await server.freeze();
    await expect(pingRabbit(server.port, 200)).rejects.toThrow('aborted');
    await server.stop();
    expect({ isAlive: isAlive(pid!), folder: existsSync(folder), pid: server.pid }).toEqual({ isAlive: false, folder: false, pid: undefined });
    const nodes = await RabbitServer.together(3);
    for (const { port } of nodes) await pingRabbit(port);
    const mappers = nodes.flatMap((node) => node.mapperPid ?? []);
    await Promise.all(nodes.map((node) => node.stop()));
    expect([mapperPid!, ...mappers].map(isAlive)).toEqual([false, false]);
  }, 120_000);
});

describe('npm run services -- up', () => {
  const command = (...args: string[]) => spawn(process.execPath, ['scripts/services.mjs', ...args], { cwd: repository, stdio: ['ignore', 'pipe', 'pipe'] });
  /** Resolves when it has said how it is ended. */
  const printed = async ({ stdout }: ReturnType<typeof command>) => {
    let text = '';
    for await (const part of stdout) if ((text += String(part)).includes('Ctrl-C')) break;
    return text;
  };
  const portsIn = (text: string) => [...text.matchAll(/redis:\/\/127\.0\.0\.1:(\d+)/g)].map((match) => Number(match[1]));
  const portIn = (text: string) => portsIn(text)[0]!;

  it.each([
    ['Ctrl-C', async (up: ReturnType<typeof command>) => { up.kill('SIGINT'); }],
    ['down', async (_up: unknown, port: number) => {
      await once(command('down'), 'exit');
      await expect(ask(port, ['PING'])).rejects.toThrow('ECONNREFUSED');
    }],
  ])('runs until %s', async (_what, end) => {
    const up = command('up', 'redis');
    const port = portIn(await printed(up));
    expect(await ask(port, ['PING'])).toBe('PONG');
    const exit = once(up, 'exit');
    await end(up, port);
    expect(await exit).toEqual([0, null]);
    await expect(ask(port, ['PING'])).rejects.toThrow('ECONNREFUSED');
  });

  it.each([
    ['its server', ['redis'], 1, ''],
    ['one of its servers', ['redis', '--cluster'], 3, ' The others were ended as well.'],
  ])('ends with status 1 when %s is killed, and says so', async (_what, args, count, besides) => {
    const up = command('up', ...args);
    let complaint = '';
    up.stderr.on('data', (part: Buffer) => { complaint += part.toString(); });
    const ports = portsIn(await printed(up));
    expect(ports).toHaveLength(count);
    const killed = ports.at(-1)!;
    const closed = once(up, 'close');
    process.kill(Number(/process_id:(\d+)/.exec(String(await ask(killed, ['INFO', 'server'])))![1]), 'SIGKILL');
    expect(await closed).toEqual([1, null]);
    expect(complaint).toBe(`The server on port ${killed} has ended: SIGKILL.${besides}\n`);
    for (const port of ports) await expect(ask(port, ['PING'])).rejects.toThrow('ECONNREFUSED');
  });

  it('prints a Kafka as the shop takes it, and as a store does', async () => {
    const up = command('up', 'kafka');
    const closed = once(up, 'close');
    const [url, options] = (await printed(up)).split('\n');
    up.kill('SIGINT');
    const { host } = new URL(url!);
    expect({ url, options }).toEqual({ url: `kafka://${host}`, options: `connect: { brokers: ['${host}'] }, replicas: 1` });
    expect(await closed).toEqual([0, null]);
  });
});

describe('npm run services -- ensure', () => {
  let folder: string;
  beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'cluster-path-')); });
  afterAll(async () => { await rm(folder, { recursive: true }); });

  const ensure = (path: string) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/services.mjs', 'ensure', '--no-install'], {
      cwd: repository, encoding: 'utf8', env: { ...process.env, PATH: path, XDG_CACHE_HOME: folder },
    });
    return { status, printed: stdout + stderr };
  };
  const pretendToBe = async (name: string, answer: string) => {
    const file = join(folder, name);
    // Java says it on stderr.
    await writeFile(file, `#!/bin/sh\necho '${answer}'\necho '${answer}' >&2\n`);
    await chmod(file, 0o755);
  };
  const pretend = (version: string) => pretendToBe('redis-server', `Redis server v=${version} sha=00000000:0 malloc=libc bits=64`);
  beforeAll(async () => {
    await pretendToBe('nats-server', 'nats-server: v2.9.10');
    await pretendToBe('java', 'openjdk version "17.0.15" 2025-04-15');
  });

  it('names the command that installs what is missing', () => {
    expect(ensure(join(folder, 'empty'))).toEqual({ status: 1, printed: 'To start a Redis takes redis-server on the PATH, and --no-install was given. '
      + 'Run as root: apt-get install -y --no-install-recommends redis-server\n' });
  });

  it('says that a server is too old', async () => {
    await pretend('6.2.14');
    expect(ensure(folder)).toEqual({ status: 1, printed: 'redis-server: expected version 7.0 or newer, found 6.2.14. Put a newer one first on the PATH\n' });
  });

  it('says where the jars of a Kafka are missing, and that a Java is too old', async () => {
    await pretend('7.0.15');
    expect(ensure(folder)).toEqual({ status: 1, printed: expect.stringMatching(/\nTo start a Kafka takes its jars in \S+, and --no-install was given\. Run: npm run services -- ensure\n$/) });
    await pretendToBe('java', 'openjdk version "11.0.2" 2019-01-15');
    expect(ensure(folder)).toEqual({ status: 1, printed: expect.stringMatching(/\nTo start a Kafka takes Java 17 or newer on the PATH, found "openjdk version \\"11/) });
    await pretendToBe('java', 'openjdk version "17.0.15" 2025-04-15');
  });

  it.each(['7.0.0', '7.0.15', '10.0.1'])('is content with %s', async (version) => {
    await pretend(version);
    await mkdir(join(folder, 'cluster-services/kafka-4.4.0/libs'), { recursive: true });
    const { status, printed } = ensure(folder);
    // RabbitMQ is looked for where Debian has it, whatever the PATH.
    expect({ status, printed: printed.replace(/\nrabbitmq-server \d[\d.]*\n$/, '') }).toEqual({ status: 0, printed: `redis-server ${version}\nnats-server 2.9.10\nkafka 4.4.0` });
  });
});
