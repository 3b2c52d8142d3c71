import type { ClusterStore } from '@cluster/core';
import { failureOf, type Beginning, type Reply, type Request } from './messages.js';
import { callsOn, lacksOf, type StoreCalls } from './remote-store.js';
import { StandInManager } from './stand-in-manager.js';

// The program of a process with one store in it: it does what its parent asks for, and ends with it.

let store: ClusterStore | undefined;
let calls: StoreCalls | undefined;

const reply = (message: Reply): void => { process.send?.(message); };

function isFactory(value: unknown): value is (options: { instanceId: string; config: unknown }) => ClusterStore | Promise<ClusterStore> {
  return typeof value === 'function';
}

async function begin({ module, context, instanceId, config }: Beginning): Promise<void> {
  const loaded = await import(module) as Record<string, unknown>; // a module is an object
  const { createStore } = loaded;
  if (!isFactory(createStore)) throw new TypeError(`${module}: expected an export createStore({ instanceId, config })`);
  store = await createStore({ instanceId, config });
  await store.start(new StandInManager(context, store));
  calls = callsOn(store);
  reply({ kind: 'begun', lacks: lacksOf(store) });
}

async function call({ n, method, args }: Request & { kind: 'call' }): Promise<void> {
  try {
    if (calls === undefined) throw new Error('the store has not been started');
    // The parent sends what the method of that name takes.
    const value: unknown = await Reflect.apply(calls[method], calls, args);
    reply({ kind: 'answer', n, value });
  } catch (error) {
    reply({ kind: 'rejected', n, failure: failureOf(error) });
  }
}

async function stop(): Promise<void> {
  await store?.stop();
  process.off('disconnect', orphaned);
  // From here on only what the store left behind can keep this process alive.
  process.send?.({ kind: 'stopped' } satisfies Reply, () => { process.disconnect(); });
}

const orphaned = (): never => process.exit(1);

process.on('disconnect', orphaned);
process.on('message', (request: Request) => {
  if (request.kind === 'call') void call(request);
  else (request.kind === 'begin' ? begin(request) : stop()).catch((error: unknown) => { reply({ kind: 'failed', failure: failureOf(error) }); });
});
