import { newSpace, referenceTable } from '../reference-table.js';
import { writing, type TableBreakage } from './breakage.js';

const base64 = (value: string | Uint8Array) => (typeof value === 'string' ? value : Buffer.from(value).toString('base64'));

export const brokenContents: readonly TableBreakage[] = [
  {
    clause: 'attributes of text come back as they were', broken: 'texts are normalised',
    methods: (table) => writing(table, (given) => new Map([...given].map(([name, value]) => [name, typeof value === 'string' ? value.normalize('NFC') : value]))),
  },
  {
    clause: 'attributes of bytes come back as bytes, and texts beside them as texts', broken: 'bytes become text',
    methods: (table) => writing(table, (given) => new Map([...given].map(([name, value]) => [name, base64(value)]))),
  },
  {
    clause: 'attributes of any name come back under that name', broken: 'names are members of an object',
    methods: (table) => writing(table, (given) => {
      const object: Record<string, string | Uint8Array> = {};
      for (const [name, value] of given) object[name] = value;
      return new Map(Object.entries(object));
    }),
  },
  {
    clause: 'attributes of any name can be removed', broken: 'a dot is a path',
    methods: (table) => ({
      commit: (key, grant, base, write, then) => table.commit(key, grant, base,
        { ...write, change: write.change && { ...write.change, remove: write.change.remove.filter((name) => !name.includes('.')) } }, then),
    }),
  },
  {
    clause: 'a session without attributes stays one', broken: 'an empty session is not stored',
    methods: (table) => ({
      create: async (key, claim, write, then) => (write.change?.set.size === 0 ? 'created' : table.create(key, claim, write, then)),
    }),
  },
  {
    clause: 'a thousand attributes and one large one come back', broken: 'values are cut off at 64 KiB',
    methods: (table) => writing(table, (given) => new Map([...given].map(([name, value]) => [name, value.slice(0, 65_536)]))),
  },
  {
    clause: 'keys of the whole alphabet and of 200 characters are keys of their own', broken: 'keys do not differ by case',
    methods: (table) => ({
      create: (key, claim, write, then) => table.create(key.toLowerCase(), claim, write, then),
      read: (key, have) => table.read(key.toLowerCase(), have),
    }),
  },
  {
    clause: 'keys lists every key of its context once, and none of another context', broken: 'it lists those of all contexts',
    methods: (_table, space) => ({ async *keys() { yield* space.cells.keys(); } }),
  },
  {
    clause: 'keys lists every key of its context once, and none of another context', broken: 'it lists nothing',
    methods: () => ({ async *keys() { /* nothing */ } }),
  },
  {
    clause: 'sweep clears away what has expired, at most as many as it is asked for, and nothing that lives', broken: 'it knows no limit',
    methods: (table) => ({ sweep: () => table.sweep(1_000) }),
  },
  {
    clause: 'sweep clears away what has expired, at most as many as it is asked for, and nothing that lives', broken: 'it clears the living',
    methods: (table, space) => ({ sweep: (limit) => { space.cells.clear(); return table.sweep(limit); } }),
  },
];

export const brokenLifeCycles: readonly TableBreakage[] = [
  {
    clause: 'what one driver object stores the others see, also one that starts after the first has stopped', broken: 'each object has a storage of its own',
    methods: (_table, space) => referenceTable(newSpace(space.clock)),
  },
  {
    clause: 'stop made twice resolves twice', broken: 'the second stop rejects',
    methods(table) {
      let stopped = false;
      return { stop: () => { if (stopped) return Promise.reject(new Error('not running')); stopped = true; return table.stop(); } };
    },
  },
  {
    clause: 'stop without a start resolves', broken: 'it needs a start',
    methods(table) {
      let started = false;
      return {
        start: (context) => { started = true; return table.start(context); },
        stop: () => (started ? table.stop() : Promise.reject(new Error('not running'))),
      };
    },
  },
  {
    clause: 'start made twice is refused or changes nothing: the driver goes on working', broken: 'the second start ends the driver',
    methods(table) {
      let started = false;
      return { start: (context) => { if (started) return table.stop(); started = true; return table.start(context); } };
    },
  },
  {
    clause: 'calls made late, after stop, reject', broken: 'stop stops nothing',
    methods: () => ({ stop: () => Promise.resolve() }),
  },
  {
    clause: 'stop leaves no timer that keeps the process alive', broken: 'a timer goes on',
    methods: (table) => ({ start: (context) => { setTimeout(() => undefined, 3_000); return table.start(context); } }),
  },
];

export const brokenSignals: readonly TableBreakage[] = [
  {
    clause: 'signal reaches the instance that it names, whole, and no other', broken: 'everybody receives it',
    methods: (_table, space) => ({
      signal: (_instanceId, message) => { for (const receive of space.listeners.values()) receive(message); return Promise.resolve(true); },
    }),
  },
  {
    clause: 'signal reaches the instance that it names, whole, and no other', broken: 'messages are cut off at 4 KiB',
    methods: (table) => ({ signal: (instanceId, message) => table.signal(instanceId, message.slice(0, 4_096)) }),
  },
  {
    clause: 'signal reaches its own instance', broken: 'own messages are dropped',
    methods(table) {
      let own = '';
      return {
        start: (context) => { own = context.instanceId; return table.start(context); },
        signal: (instanceId, message) => (instanceId === own ? Promise.resolve(true) : table.signal(instanceId, message)),
      };
    },
  },
  {
    clause: 'signal made twice arrives, and is answered true twice', broken: 'the same message again is refused',
    methods(table) {
      const sent = new Set<string>();
      return { signal: (instanceId, message) => { const again = sent.has(message); sent.add(message); return again ? Promise.resolve(false) : table.signal(instanceId, message); } };
    },
  },
  {
    clause: 'an instance that receives signals is not told that it hears nothing', broken: 'listening is called with false',
    methods: (table) => ({ start: async (context) => { await table.start(context); context.listening(false); } }),
  },
  {
    clause: 'signal to an instance that never started is false', broken: 'it is always true',
    methods: (table) => ({ signal: async (instanceId, message) => { await table.signal(instanceId, message); return true; } }),
  },
  {
    clause: 'signal made late, after the instance stopped, is false and arrives nowhere', broken: 'stop goes on listening',
    methods: (table, space) => ({ stop: async () => { const listeners = [...space.listeners]; await table.stop(); for (const [address, receive] of listeners) space.listeners.set(address, receive); } }),
  },
  {
    clause: 'an instance started anew under the same name is reached again', broken: 'the first of a name stays its address',
    methods: (table, space) => ({ start: async (context) => { const listeners = [...space.listeners]; await table.start(context); for (const [address, receive] of listeners) space.listeners.set(address, receive); },
      stop: () => Promise.resolve() }),
  },
];
