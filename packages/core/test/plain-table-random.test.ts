import { afterEach, expect, it } from '@jest/globals';
import type { DistributedManager, FindOptions, SessionSnapshot } from '../src/index.js';
import { clock, created, HandWritten, make, managers, Shared, WithRead, within } from './hand-written.js';
import { random as randomOf } from './random.js';

type SendOptions = Parameters<HandWritten['sendSession']>[1];

const SEEDS = 25;
const after = (ms: number): Promise<void> => new Promise((resolve) => { clock.timer(resolve, ms); });

/** Between an instance and its store: one way in seven takes longer than the instance waits, and if `fails` one call in ten says that it failed. */
class Road {
  isOpen = false;
  constructor(private readonly random: () => number, private readonly fails: boolean) {}

  async call<T>(run: () => Promise<T>): Promise<T> {
    await this.#way();
    try {
      return await run();
    } finally {
      await this.#way();
    }
  }

  async #way(): Promise<void> {
    if (this.isOpen) return;
    await after(this.random() * (this.random() < 0.15 ? 1_500 : 20));
    if (this.fails && this.random() < 0.05) throw new Error('connection lost');
  }
}

const far = (Store: typeof HandWritten, road: Road, name: string, shared: Shared): HandWritten => {
  class Far extends Store {
    override findSession(id: string, options: FindOptions): Promise<SessionSnapshot | undefined> { return road.call(() => super.findSession(id, options)); }
    override sendSession(session: SessionSnapshot, options: SendOptions): Promise<void> { return road.call(() => super.sendSession(session, options)); }
  }
  return new Far(name, shared);
};

afterEach(async () => {
  for (const manager of managers.splice(0)) await within(10_000, manager.stop());
});

it.each([
  ['with readSession', WithRead, false],
  ['with readSession, and calls that fail', WithRead, true],
  ['without readSession', HandWritten, false],
  ['without readSession, and calls that fail', HandWritten, true],
] as const)('two instances far from a hand-written store %s lose no acknowledged change and leave no lock', async (_store, Store, fails) => {
  let acknowledgements = 0;
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const random = randomOf(seed);
    const shared = new Shared();
    const road = new Road(random, fails);
    road.isOpen = true;
    const instances = ['a', 'b'].map((name) => make(far(Store, road, name, shared), { lockTimeoutMs: 3_000 }));
    const id = await created(instances[0]!);
    road.isOpen = false;
    const acknowledged: string[] = [];
    /** Sets one attribute per save, of which there are one or two; some clients leave before they have the session. */
    const request = async (manager: DistributedManager, name: string): Promise<void> => {
      const leaves = new AbortController();
      if (random() < 0.2) void after(random() * 600).then(() => { leaves.abort(new Error('the client has gone')); });
      const access = random() < 0.5 ? 'exclusive' : random() < 0.5 ? 'shared' : 'snapshot';
      const session = await manager.findSession(id, { signal: leaves.signal, access });
      if (session === undefined) throw new Error('the session is not there');
      for (let saves = random() < 0.5 ? 2 : 1; saves > 0; saves -= 1) {
        session.set(`${name}.${saves}`, 1);
        await manager.sendSession(session, { release: saves === 1 });
        acknowledged.push(`${name}.${saves}`);
        await after(random() * 200);
      }
    };
    const client = async (name: string): Promise<void> => {
      for (let count = 0; count < 12; count += 1) {
        await after(random() * 300);
        // What failed is not acknowledged.
        await request(instances[random() < 0.7 ? 0 : 1]!, `${name}${count}`).catch(() => undefined);
      }
    };
    await within(400_000, Promise.all(['p', 'q', 'r', 's'].map(client)));
    road.isOpen = true;
    await clock.advance(30_000);
    const [row] = shared.rows.values();
    const missing = acknowledged.filter((name) => row?.snapshot.attributes.has(name) !== true);
    expect({ seed, missing, holder: row?.holder }).toEqual({ seed, missing: [], holder: undefined });
    acknowledgements += acknowledged.length;
    for (const manager of managers.splice(0)) await within(10_000, manager.stop());
  }
  expect(acknowledgements).toBeGreaterThan(10 * SEEDS);
});
