import { describe, expect, it } from '@jest/globals';
import { testProcesses, type ProcessHarness } from '../src/index.js';
import { keptAt } from './reference-map.js';
import { CollectingRunner } from './collecting-runner.js';
import type { StoreServer } from '../src/processes/store-server.js';
import type { Address } from '../src/processes/tcp-proxy.js';
import { MapHost } from './served/map-host.js';
import type { Mistake } from './served/mistaken-map.js';

const execArgv = ['--conditions=@cluster/source', '--import', new URL('../../../scripts/ts-register.mjs', import.meta.url).href];

type Broken = Omit<Partial<ProcessHarness>, 'server'> & { readonly server?: Partial<StoreServer> };

/** What the clause of that title says about the store; its processes have ended by then. */
async function verdict(host: MapHost, clause: string, harness: Broken = {}): Promise<unknown> {
  const { server } = host;
  await server.open();
  const runner = new CollectingRunner();
  testProcesses(runner.functions, {
    module: new URL('./served/served-map.ts', import.meta.url), execArgv, ...harness,
    server: { ...host.asServer, ...harness.server },
  });
  const outcomes = await runner.run((title) => title.startsWith(clause));
  server.close();
  expect(outcomes).toHaveLength(1);
  return outcomes[0]?.error;
}

const noHistory = { message: expect.stringMatching(/^with seed \d:\ns\d+: [^]*\nThe history of s\d+:\n\{"client":/) };

describe('a broken store is caught in processes', () => {
  it('that ignores the fence', async () => {
    const host = new MapHost((map, space) => ({
      compareAndSet: (key, expected, entry) =>
        map.compareAndSet(key, expected === undefined || !key.includes('.s.') ? expected : keptAt(space, key)?.revision, entry),
    }));
    expect(await verdict(host, 'SIGSTOP beyond its lease')).toMatchObject(noHistory);
  }, 60_000);

  it('that ends a lease which was quiet for less than its instance reads from memory', async () => {
    const module = new URL('./served/hasty-map.ts', import.meta.url);
    expect(await verdict(new MapHost(), 'a process that stands still for less than its read lease', { module })).toMatchObject(noHistory);
  }, 60_000);

  it('that loses what it has acknowledged, though it declares that this survives the end of its server', async () => {
    const host = new MapHost();
    let rollBack = (): void => undefined;
    const server = {
      async kill() {
        rollBack = host.saved();
        await new Promise((resolve) => { setTimeout(resolve, 300); });
        host.server.close();
      },
      start() { rollBack(); return host.server.open(); },
    };
    expect(await verdict(host, 'a server that is killed', { server })).toMatchObject(noHistory);
  }, 60_000);

  it.each<[Mistake, string]>([
    ['no answer is a refusal', 'a server that stands still'],
    ['a refusal is an answer', 'while a server refuses writes'],
    ['a lost connection is a refusal', 'a network that loses answers'],
  ])('to which %s', async (mistake, clause) => {
    const module = new URL('./served/mistaken-map.ts', import.meta.url);
    const server = { config: (address: Address) => ({ ...address, mistake }), frozenMs: 4_000 };
    expect(await verdict(new MapHost(), clause, { module, server })).toMatchObject(noHistory);
  }, 180_000);

  it.each([
    ['without a word of it', { tellsGenerations: false }, /, which was held, on i\d-/],
    ['though nobody could tell', { saved: () => () => undefined }, /at least one change of a session that nobody held is lost/],
  ])('that comes back as it was %s', async (_how, differs, message) => {
    const host = Object.assign(new MapHost(), differs);
    let rollBack = (): void => undefined;
    const faults = [{
      title: 'a rollback',
      lag: () => { rollBack = host.saved(); },
      begin: () => { host.server.close(); },
      end: () => { rollBack(); return host.server.open(); },
    }];
    expect(await verdict(host, 'after a rollback', { faults })).toHaveProperty('message', expect.stringMatching(message));
  }, 60_000);

  it('that comes back late', async () => {
    const server = { config: (address: Address) => ({ ...address, reconnectMs: 6_000 }) };
    expect(await verdict(new MapHost(), 'a server that is killed', { server }))
      .toHaveProperty('message', expect.stringMatching(/^with seed 1:\ni\d-\S+ answers again \d+ ms after nothing is wrong any more/));
  }, 60_000);

  it('that is late for ever at a start, and not if that is once', async () => {
    const module = new URL('./served/late-map.ts', import.meta.url);
    const late = (isAlwaysLate: boolean) => ({ module, server: { config: (address: Address) => ({ ...address, isAlwaysLate }) } });
    expect(await verdict(new MapHost(), 'while nothing goes wrong', late(false))).toBeUndefined();
    expect(await verdict(new MapHost(), 'while nothing goes wrong', late(true))).toHaveProperty('message', expect.stringContaining('check that it can be reached'));
  }, 120_000);

  it('that nothing is done to, though its harness says so', async () => {
    const server = { refuseWrites: () => undefined };
    expect(await verdict(new MapHost(), 'while a server refuses writes', { server }))
      .toHaveProperty('message', expect.stringContaining('at least one request cannot be served meanwhile'));
  }, 60_000);
});
