import type { ClusterStore } from '@cluster/core';
import { createStore } from './create-store.js';
import type { Beginning } from './messages.js';
import { callsOn, lacksOf, type OptionalMethod, type StoreCalls } from './remote-store.js';
import { serve } from './serve.js';
import { StandInManager } from './stand-in-manager.js';

// The program of a process with one store in it: it does what its parent asks for, and ends with it.

let store: ClusterStore | undefined;
let calls: StoreCalls | undefined;

async function begin(beginning: Beginning): Promise<readonly OptionalMethod[]> {
  store = await createStore(beginning);
  await store.start(new StandInManager(beginning.context, store));
  calls = callsOn(store);
  return lacksOf(store);
}

function call(method: keyof StoreCalls, args: readonly unknown[]): unknown {
  if (calls === undefined) throw new Error('the store has not been started');
  // The parent sends what the method of that name takes.
  return Reflect.apply(calls[method], calls, args);
}

serve({ begin, call, stop: () => store?.stop() });
