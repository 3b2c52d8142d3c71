import { describe, expect, it } from '@jest/globals';
import { testProcesses, type ProcessHarness } from '../src/index.js';
import { keptAt } from './reference-map.js';
import { CollectingRunner } from './collecting-runner.js';
import { MapHost } from './served/map-host.js';

const execArgv = ['--conditions=@cluster/source', '--import', new URL('../../../scripts/ts-register.mjs', import.meta.url).href];

/** What the clause of that title says about the store; its processes have ended by then. */
async function verdict(host: MapHost, clause: string, harness: Partial<ProcessHarness> = {}): Promise<unknown> {
  const { server } = host;
  await server.open();
  const runner = new CollectingRunner();
  testProcesses(runner.functions, {
    module: new URL('./served/served-map.ts', import.meta.url), execArgv, ...harness,
    server: { address: () => ({ host: '127.0.0.1', port: server.port }), config: (address) => ({ ...address }) },
  });
  const outcomes = await runner.run((title) => title.startsWith(clause));
  server.close();
  expect(outcomes).toHaveLength(1);
  return outcomes[0]?.error;
}

const noHistory = { message: expect.stringMatching(/^with seed 1:\ns\d+: [^]*\nThe history of s\d+:\n\{"client":/) };

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

  it('that loses what it has acknowledged', async () => {
    const host = new MapHost();
    let rollBack = (): void => undefined;
    const faults = [{
      title: 'the server is restarted',
      begin: async () => {
        rollBack = host.saved();
        await new Promise((resolve) => { setTimeout(resolve, 300); });
        host.server.close();
      },
      end: () => { rollBack(); return host.server.open(); },
    }];
    expect(await verdict(host, 'while the server is restarted', { faults })).toMatchObject(noHistory);
  }, 60_000);
});
