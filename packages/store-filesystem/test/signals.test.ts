import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { FilesystemMap } from '../src/filesystem-map.js';
import { Child, removeFolder, temporaryFolder } from './processes.js';

let directory: string;
let maps: FilesystemMap[];

beforeEach(async () => { directory = await temporaryFolder(); maps = []; });
afterEach(async () => {
  await Child.killAll();
  await Promise.all(maps.map((map) => map.stop()));
  await removeFolder(directory);
});

async function open(instanceId: string, { received = [] as string[], heard = [] as boolean[], allowNetworkMounts = false, at = directory } = {}) {
  const map = new FilesystemMap({ directory: at, allowNetworkMounts });
  maps.push(map);
  await map.start({
    context: 'shop', instanceId, receive: (message) => { received.push(message); }, listening: (up) => { heard.push(up); },
  });
  return map;
}

async function child(instanceId: string, ...more: string[]) {
  const process = new Child('instance.ts', directory, instanceId, ...more);
  await process.line('ready');
  return process;
}

const socketNames = () => readdir(join(directory, 'shop/sockets'));

describe('a signal', () => {
  it('arrives at the named instance, any text of it, in order, also at the sender itself', async () => {
    const received: string[] = [];
    const own: string[] = [];
    const a = await open('a', { received: own });
    await open('b', { received });
    const messages = ['one', '', 'two\nlines', '"quoted" \\ \u2028 €', 'x'.repeat(7_500), '\u0001'.repeat(7_500)];
    for (const message of messages) expect(await a.signal('b', message)).toBe(true);
    expect(received).toEqual(messages);
    expect(await a.signal('a', 'test')).toBe(true);
    expect(own).toEqual(['test']);
  });

  it('many at once arrive in order', async () => {
    const received: string[] = [];
    const a = await open('a');
    await open('b', { received });
    const messages = Array.from({ length: 500 }, (_, index) => String(index));
    const answers = await Promise.all(messages.map((message) => a.signal('b', message)));
    expect(new Set(answers)).toEqual(new Set([true]));
    expect(received).toEqual(messages);
  });

  it('is false for an instance that never was, or has stopped', async () => {
    const a = await open('a');
    const b = await open('b');
    expect(await a.signal('b', 'hello')).toBe(true);
    await b.stop();
    expect(await a.signal('b', 'hello')).toBe(false);
    expect(await a.signal('nobody', 'hello')).toBe(false);
  });

  it('is false after kill -9, whether the two had spoken before or not; what is left of the process is cleared away', async () => {
    const a = await open('a');
    const [known, unknown] = await Promise.all([child('known'), child('unknown')]);
    expect(await a.signal('known', 'hello')).toBe(true);
    await known.line('message hello');
    known.kill('SIGKILL');
    unknown.kill('SIGKILL');
    await Promise.all([known.ended, unknown.ended]);
    expect((await socketNames()).filter((name) => name.includes('known'))).toHaveLength(2);
    expect(await a.signal('known', 'hello')).toBe(false);
    expect(await a.signal('unknown', 'hello')).toBe(false);
    expect((await socketNames()).filter((name) => name.includes('known'))).toEqual([]);
    expect(await a.signal('known', 'hello')).toBe(false);
  }, 30_000);

  it('is true for a paused process, soon, and arrives when it goes on', async () => {
    const a = await open('a');
    const paused = await child('paused');
    paused.kill('SIGSTOP');
    const began = performance.now();
    expect(await a.signal('paused', 'first')).toBe(true);
    expect(await a.signal('paused', 'second')).toBe(true);
    // Two bounds of 50 ms; the rest is for a busy machine.
    expect(performance.now() - began).toBeLessThan(2_000);
    paused.kill('SIGCONT');
    await paused.line('message second');
    expect(paused.lines.slice(1)).toEqual(['message first', 'message second']);
    paused.kill('SIGKILL');
    await paused.ended;
    expect(await a.signal('paused', 'third')).toBe(false);
  }, 30_000);

  it('is true for a paused process whose backlog is full', async () => {
    const a = await open('a');
    const paused = await child('paused');
    paused.kill('SIGSTOP');
    const path = join(directory, 'shop/sockets', (await socketNames()).find((name) => name.startsWith('paused.')) ?? '');
    const sockets: Socket[] = [];
    let refusal = '';
    while (refusal === '' && sockets.length < 10_000) {
      refusal = await new Promise<string>((resolve) => {
        const socket = connect(path);
        sockets.push(socket);
        socket.once('connect', () => { resolve(''); }).once('error', (error) => { resolve((error as NodeJS.ErrnoException).code ?? ''); }); // connect fails with system errors
      });
    }
    expect(refusal).toBe('EAGAIN');
    expect(await a.signal('paused', 'hello')).toBe(true);
    for (const socket of sockets) socket.destroy();
    paused.kill('SIGKILL');
    await paused.ended;
    expect(await a.signal('paused', 'hello')).toBe(false);
  }, 60_000);

  it('is false for a killed worker of node:cluster, though its primary lives', async () => {
    const a = await open('a');
    const primary = await child('worker', 'worker');
    expect(await a.signal('worker', 'hello')).toBe(true);
    const worker = Number((await primary.line('ready')).slice('ready '.length));
    process.kill(worker, 'SIGKILL');
    const deadline = performance.now() + 5_000;
    while (await a.signal('worker', 'hello') && performance.now() < deadline);
    expect(await a.signal('worker', 'hello')).toBe(false);
    primary.kill('SIGKILL');
    await primary.ended;
  }, 30_000);

  it('waits for nobody who took the connection and says nothing', async () => {
    const a = await open('a');
    const taken: Socket[] = [];
    const mute = createServer((socket) => { taken.push(socket); });
    await new Promise<void>((resolve) => { mute.listen(join(directory, 'shop/sockets/mute.0.0'), resolve); });
    expect(await a.signal('mute', 'hello')).toBe(true);
    for (const socket of taken) socket.destroy();
    await new Promise((resolve) => { mute.close(resolve); });
  });
});

describe('the address of an instance', () => {
  it('may stand in a folder whose path is longer than socket paths can be', async () => {
    const deep = join(directory, 'd'.repeat(120), 'e'.repeat(120));
    const received: string[] = [];
    const a = await open('a'.repeat(64), { at: deep });
    await open('b'.repeat(64), { at: deep, received });
    expect(await a.signal('b'.repeat(64), 'hello')).toBe(true);
    expect(received).toEqual(['hello']);
  });

  it('is taken while an instance with that id lives, and free when it was killed', async () => {
    const living = await child('same');
    await expect(open('same')).rejects.toMatchObject({ code: 'CLUSTER_BAD_OPTION', message: expect.stringContaining("'same' in use") });
    living.kill('SIGKILL');
    await living.ended;
    const received: string[] = [];
    const same = await open('same', { received });
    expect(await same.signal('same', 'hello')).toBe(true);
    expect(await socketNames()).toHaveLength(1);
  }, 30_000);

  it('of an instance whose id begins like another one is told apart', async () => {
    const a = await open('a');
    await open('ab');
    expect(await a.signal('ab', 'x')).toBe(true);
    expect(await a.signal('abc', 'x')).toBe(false);
  });

  it('is made again when somebody removed it', async () => {
    const heard: boolean[] = [];
    const received: string[] = [];
    const a = await open('a', { heard, received });
    const b = await open('b');
    for (const name of await socketNames()) if (name.startsWith('a.')) await rm(join(directory, 'shop/sockets', name));
    expect(await b.signal('a', 'lost')).toBe(false);
    expect(await a.signal('a', 'test')).toBe(true);
    expect(await b.signal('a', 'found')).toBe(true);
    expect(received).toEqual(['test', 'found']);
    await a.stop();
    expect(heard).toEqual([true, false]);
    expect((await socketNames()).filter((name) => name.startsWith('a.'))).toEqual([]);
  });

  it('of an earlier boot is that of a dead process, unless other hosts could share the folder', async () => {
    const sockets = join(directory, 'shop/sockets');
    const a = await open('a');
    // A socket that nobody listens to any more, as a crash of the machine leaves it.
    const dead = await child('before');
    dead.kill('SIGKILL');
    await dead.ended;
    const name = (await socketNames()).find((each) => each.startsWith('before.')) ?? '';
    await rename(join(sockets, name), join(sockets, 'before.00000000.abc'));
    const sharing = await open('sharing', { allowNetworkMounts: true });
    expect(sharing.capabilities.gone).toBe('unknown');
    expect(await sharing.signal('before', 'x')).toBe(true);
    expect(existsSync(join(sockets, 'before.00000000.abc'))).toBe(true);
    expect(a.capabilities.gone).toBe('dead');
    expect(await a.signal('before', 'x')).toBe(false);
    expect(existsSync(join(sockets, 'before.00000000.abc'))).toBe(false);
  }, 30_000);

  it('survives what is no socket in its folder, and lines that are no message', async () => {
    const received: string[] = [];
    const a = await open('a', { received });
    await mkdir(join(directory, 'shop/sockets/b.x.y'));
    // Refused, too: nobody listens on a folder.
    expect(await a.signal('b', 'x')).toBe(false);
    const own = join(directory, 'shop/sockets', (await socketNames()).find((name) => name.startsWith('a.')) ?? '');
    for (const nonsense of ['{\n', '7\n', 'x'.repeat(70_000)]) {
      const closed = new Promise((resolve) => { connect(own).on('close', resolve).on('error', () => undefined).end(nonsense); });
      await closed;
    }
    expect(await a.signal('a', 'test')).toBe(true);
    expect(received).toEqual(['test']);
  });
});
