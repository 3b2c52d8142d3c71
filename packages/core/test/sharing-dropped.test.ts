import { afterEach, expect, it } from '@jest/globals';
import { MemoryStore, type ClusterStore, type SessionSnapshot } from '../src/index.js';
import { found } from './cluster.js';
import { clock, created, make, managers, Shared, WithRead, within } from './hand-written.js';

/** Whose first save of a session takes a while. */
class SlowNew extends WithRead {
  override async sendSession(session: SessionSnapshot, options: Parameters<WithRead['sendSession']>[1]): Promise<void> {
    if (options.isNew) await new Promise<void>((resolve) => { clock.timer(resolve, 30); });
    await super.sendSession(session, options);
  }
}

const stores: readonly (readonly [string, () => ClusterStore])[] = [['a hand-written store', () => new SlowNew('a', new Shared())], ['a memory store', () => new MemoryStore()]];
const turns = async (count: number): Promise<void> => { for (let n = 0; n < count; n += 1) await Promise.resolve(); };

afterEach(async () => {
  for (const manager of managers.splice(0)) await within(10_000, manager.stop());
});

it.each(stores)('over %s a request that joins those who share a session as one of them changes its id is not acknowledged what the new id lacks', async (_store, open) => {
  for (let before = 0; before < 5; before += 1) {
    for (let between = 0; between < 9; between += 1) {
      const manager = make(open(), { affinity: 'release' });
      const id = await created(manager);
      const changing = found(manager.findSession(id, { access: 'shared' })).then(async (session) => {
        await turns(before);
        return manager.changeSessionId(session);
      });
      const joining = found(manager.findSession(id, { access: 'shared' })).then(async (session) => {
        await turns(between);
        session.set('late', 1);
        await manager.sendSession(session);
        return 'acknowledged';
      }).catch(String);
      const moved = await within(1_000, changing);
      const said = await within(1_000, joining);
      expect({ before, between, said, late: moved.get('late') }).not.toMatchObject({ said: 'acknowledged', late: undefined });
      await within(100, manager.sendSession(moved));
    }
  }
});
