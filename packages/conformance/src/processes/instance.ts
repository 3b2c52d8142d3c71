import { setTimeout as sleep } from 'node:timers/promises';
import { ClusterError, DistributedManager, type Manager, type Session } from '@cluster/core';
import { createStore } from './create-store.js';
import { NAMES, type Content, type InstanceBeginning, type InstanceCalls } from './instance-calls.js';
import { notify, serve } from './serve.js';
import { dyingAt, step } from './steps.js';
import { watched } from './watched-store.js';

// The program of a process with one instance in it: it serves the requests that its parent sends, and ends with it.

let running: Manager | undefined;
const sessions = new Map<number, { readonly session: Session; readonly label: string }>();
/** By label: what became of a snapshot request's change. */
const conflicts = new Map<string, 'merged' | 'dropped'>();
let handles = 0;

function manager(): Manager {
  if (running === undefined) throw new Error('the instance has not been started');
  return running;
}

function foundOf(handle: number) {
  const found = sessions.get(handle);
  if (found === undefined) throw new Error(`there is no handle ${handle}`);
  return found;
}

function contentOf(session: Session): Content {
  return Object.fromEntries(NAMES.map((name) => {
    const value = session.get(name);
    return [name, typeof value === 'number' ? value : null];
  }));
}

function apply(change: Content, session: Session): void {
  for (const [name, value] of Object.entries(change)) {
    if (value === null) session.delete(name);
    else session.set(name, value);
  }
}

const START_MS = 10_000;
const AGAIN_MS = 100;

/** A store may be late once, on a busy disk for instance; an application would be started again, or start with its next request. */
async function started(starting: Manager): Promise<void> {
  const endMs = performance.now() + START_MS;
  for (;;) {
    try {
      await starting.start();
      return;
    } catch (error) {
      if (!ClusterError.is(error, 'CLUSTER_UNAVAILABLE') || performance.now() >= endMs) throw error;
      await sleep(AGAIN_MS);
    }
  }
}

const calls: InstanceCalls = {
  async begin(beginning: InstanceBeginning) {
    const { store, capabilities } = watched(await createStore(beginning, step), notify);
    const { context, settings, affinity } = beginning;
    running = new DistributedManager(store, { context, affinity, ...settings });
    running.on('conflict', ({ label, outcome }) => { if (label !== undefined && outcome !== 'refused') conflicts.set(label, outcome); });
    await started(running);
    return capabilities;
  },
  async create(content) {
    const session = manager().createSession();
    apply(content, session);
    await manager().sendSession(session);
    return session.id;
  },
  async find(id, access, label) {
    const session = await manager().findSession(id, { access, label });
    if (session === undefined) return undefined;
    const content = contentOf(session);
    const handle = (handles += 1);
    sessions.set(handle, { session, label });
    return { handle, content };
  },
  async send(handle, change, goesOn) {
    const { session, label } = foundOf(handle);
    sessions.delete(handle);
    apply(change, session);
    await manager().sendSession(session, { release: !goesOn });
    if (goesOn) sessions.set(handle, { session, label });
    const outcome = conflicts.get(label);
    conflicts.delete(label);
    return outcome;
  },
  async release(handle) {
    const { session } = foundOf(handle);
    sessions.delete(handle);
    await manager().releaseSession(session);
  },
  async changeId(handle, change) {
    const { session, label } = foundOf(handle);
    // Whatever becomes of it, the old handle has ended.
    sessions.delete(handle);
    apply(change, session);
    const moved = await manager().changeSessionId(session);
    sessions.set(handle, { session: moved, label });
    return moved.id;
  },
  remove: (id) => manager().removeSession(id),
  block(ms) { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms); },
  dying: (atStep, method, args) => dyingAt(atStep, () => {
    const call: (...given: never[]) => unknown = calls[method].bind(calls);
    return call(...args as never[]); // the parent sends what the method of that name takes
  }),
  async stop() { await running?.stop(); },
};

serve({ ...calls });
