import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
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

// What a loaded machine may take for something that is due at once.
const SLACK_MS = 10_000;
jest.setTimeout(3 * SLACK_MS);

/** Expects that soon `look` gives `expected`. A signal is true after 50 ms without a receipt, so what it tells can come later. */
async function soon<T>(look: () => T | Promise<T>, expected: T): Promise<void> {
  const deadline = performance.now() + SLACK_MS;
  let seen = await look();
  while (JSON.stringify(seen) !== JSON.stringify(expected) && performance.now() < deadline) {
    await new Promise((resolve) => { setTimeout(resolve, 10); });
    seen = await look();
  }
  expect(seen).toEqual(expected);
}

/** Expects that signals to the instance are false, as soon as one is answered within the 50 ms. */
const isGone = (from: FilesystemMap, instanceId: string) => soon(() => from.signal(instanceId, 'hello'), false);

const socketNames = () => readdir(join(directory, 'shop/sockets'));

describe('a signal', () => {
  it('arrives at the named instance, any text of it, in order, also at the sender itself', async () => {
    const received: string[] = [];
    const own: string[] = [];
    const a = await open('a', { received: own });
    await open('b', { received });
    const messages = ['one', '', 'two\nlines', '"quoted" \\ \u2028 €', 'x'.repeat(7_500), '\u0001'.repeat(7_500)];
    for (const message of messages) expect(await a.signal('b', message)).toBe(true);
    await soon(() => received, messages);
    expect(await a.signal('a', 'test')).toBe(true);
    await soon(() => own, ['test']);
  });

  it('many at once arrive in order', async () => {
    const received: string[] = [];
    const a = await open('a');
    await open('b', { received });
    const messages = Array.from({ length: 500 }, (_, index) => String(index));
    const answers = await Promise.all(messages.map((message) => a.signal('b', message)));
    expect(new Set(answers)).toEqual(new Set([true]));
    await soon(() => received, messages);
  });

  it('is false for an instance that never was, or has stopped', async () => {
    const a = await open('a');
    const b = await open('b');
    expect(await a.signal('b', 'hello')).toBe(true);
    await b.stop();
    await isGone(a, 'b');
    await isGone(a, 'nobody');
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
    await isGone(a, 'known');
    await isGone(a, 'unknown');
    expect((await socketNames()).filter((name) => name.includes('known'))).toEqual([]);
    await isGone(a, 'known');
  });

  it('is true for a paused process, soon, and arrives when it goes on', async () => {
    const a = await open('a');
    const paused = await child('paused');
    paused.kill('SIGSTOP');
    const began = performance.now();
    expect(await a.signal('paused', 'first')).toBe(true);
    expect(await a.signal('paused', 'second')).toBe(true);
    // It was not waited for: two bounds of 50 ms.
    expect(performance.now() - began).toBeLessThan(2 * 50 + SLACK_MS);
    paused.kill('SIGCONT');
    await paused.line('message second');
    expect(paused.lines.slice(1)).toEqual(['message first', 'message second']);
    paused.kill('SIGKILL');
    await paused.ended;
    await isGone(a, 'paused');
  });

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
    await isGone(a, 'paused');
  }, 60_000);

  it('is false for a killed worker of node:cluster, though its primary lives', async () => {
    const a = await open('a');
    const primary = await child('worker', 'worker');
    expect(await a.signal('worker', 'hello')).toBe(true);
    const worker = Number((await primary.line('ready')).slice('ready '.length));
    process.kill(worker, 'SIGKILL');
    await isGone(a, 'worker');
    primary.kill('SIGKILL');
    await primary.ended;
  });

  it('waits for nobody who took the connection and says nothing', async () => {
    const a = await open('a');
    const taken: Socket[] = [];
    const mute = createServer((socket) => { taken.push(socket); });
    await new Promise<void>((resolve) => { mute.listen(join(directory, 'shop/sockets/mute.0.0'), resolve); });
    expect(await a.signal('mute', 'hello')).toBe(true);
    await soon(() => taken.length, 1);
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
    await soon(() => received, ['hello']);
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
  });

  it('of an instance whose id begins like another one is told apart', async () => {
    const a = await open('a');
    await open('ab');
    expect(await a.signal('ab', 'x')).toBe(true);
    await isGone(a, 'abc');
  });

  it('is made again when somebody removed it', async () => {
    const heard: boolean[] = [];
    const received: string[] = [];
    const a = await open('a', { heard, received });
    const b = await open('b');
    for (const name of await socketNames()) if (name.startsWith('a.')) await rm(join(directory, 'shop/sockets', name));
    await isGone(b, 'a');
    expect(await a.signal('a', 'test')).toBe(true);
    await soon(() => received, ['test']);
    expect(await b.signal('a', 'found')).toBe(true);
    await soon(() => received, ['test', 'found']);
    await a.stop();
    await soon(() => heard, [true, false]);
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
    await isGone(a, 'before');
    expect(existsSync(join(sockets, 'before.00000000.abc'))).toBe(false);
  });

  it('survives what is no socket in its folder, and lines that are no message', async () => {
    const received: string[] = [];
    const a = await open('a', { received });
    await mkdir(join(directory, 'shop/sockets/b.x.y'));
    // Refused, too: nobody listens on a folder.
    await isGone(a, 'b');
    const own = join(directory, 'shop/sockets', (await socketNames()).find((name) => name.startsWith('a.')) ?? '');
    for (const nonsense of ['{\n', '7\n', 'x'.repeat(70_000)]) {
      const closed = new Promise((resolve) => { connect(own).on('close', resolve).on('error', () => undefined).end(nonsense); });
      await closed;
    }
    expect(await a.signal('a', 'test')).toBe(true);
    await soon(() => received, ['test']);
  });
});
