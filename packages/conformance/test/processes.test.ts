import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { testStore } from '../src/index.js';
import { brokenStores } from './broken/stores.js';
import { CollectingRunner } from './collecting-runner.js';
import { host } from './served/host.js';

const module = new URL('./served/served-store.ts', import.meta.url);
const execArgv = ['--conditions=@cluster/source', '--import', new URL('../../../scripts/ts-register.mjs', import.meta.url).href];

describe('a correct store in two processes', () => {
  let served: Awaited<ReturnType<typeof host>>;
  beforeAll(async () => { served = await host(); });
  afterAll(() => { served.close(); });
  testStore({ describe, it }, { module, execArgv, config: () => ({ port: served.port }), takeOverMs: 1_000, lateMs: 60 });
});

describe('a broken store in two processes', () => {
  it('is caught, and no process stays', async () => {
    const breakage = brokenStores.find(({ broken }) => broken === 'there is no fence');
    const served = await host(breakage);
    const runner = new CollectingRunner();
    testStore(runner.functions, { module, execArgv, config: { port: served.port }, takeOverMs: 1_000 });
    const outcomes = await runner.run((title) => title === breakage?.clause || title.startsWith('stop frees'));
    served.close();
    expect(outcomes.map(({ title, error }) => [title, error !== undefined])).toEqual([
      [breakage?.clause, true], ['stop frees what the instance had locked, and leaves nothing that keeps its process alive', false],
    ]);
  }, 30_000);

  it.each([
    [{ module: new URL('./collecting-runner.ts', import.meta.url) }, 'expected an export createStore'],
    [{ module: new URL('./not-there.ts', import.meta.url) }, 'not-there'],
    [{ module: new URL('./served/own-name.ts', import.meta.url) }, 'expected createStore to make a store with the instanceId'],
    [{ module, lacks: ['readSession'] as const }, 'the harness names readSession in lacks'],
  ])('is named if the harness is wrong: %#', async (wrong, message) => {
    const served = await host();
    const runner = new CollectingRunner();
    testStore(runner.functions, { execArgv, config: { port: served.port }, takeOverMs: 1_000, ...wrong });
    const [outcome] = await runner.run((title) => title.startsWith('find of an unknown'));
    served.close();
    expect(outcome?.error).toHaveProperty('message', expect.stringContaining(message));
  }, 30_000);
});
