import { afterEach, describe, expect, it } from '@jest/globals';
import { answerLost, Cluster, found, Gate, type Instance } from './cluster.js';

let cluster: Cluster;
afterEach(() => cluster.stop());

async function holder(): Promise<{ readonly a: Instance; readonly id: string }> {
  cluster = new Cluster();
  const a = await cluster.add('a', { readLeaseMs: 200 });
  const id = await cluster.session(a);
  await look(a, id);
  return { a, id };
}

/** The calls that one read of the session costs. */
async function look(a: Instance, id: string): Promise<string> {
  a.table.took();
  const session = await found(cluster.within(100, a.manager.findSession(id, { access: 'snapshot' })));
  await cluster.within(100, a.manager.sendSession(session));
  return a.table.took();
}

async function until(condition: () => boolean): Promise<void> {
  for (let ms = 0; !condition(); ms += 1) {
    if (ms > 5_000) throw new Error('it never happened');
    await cluster.clock.advance(1);
  }
}

describe('memory is served', () => {
  it('without a call after a beat', async () => {
    const { a, id } = await holder();
    await until(() => a.table.count('beat') > 0);
    expect(await look(a, id)).toBe('');
  });

  it('again after a pause without requests, as soon as one has come', async () => {
    const { a, id } = await holder();
    await cluster.clock.advance(5_000);
    expect(await look(a, id)).toBe('read');
    await cluster.clock.advance(10);
    expect(await look(a, id)).toBe('');
  });

  it('no longer than from the first try of a beat: the repeated one may say only that the first arrived', async () => {
    const { a, id } = await holder();
    a.table.next('beat', answerLost);
    await until(() => a.table.count('beat') === 2);
    expect(await look(a, id)).toBe('read');
    await cluster.clock.advance(100);
    expect(await look(a, id)).toBe('');
  });

  it('not after a suspend while the beat was on its way', async () => {
    const { a, id } = await holder();
    const gate = new Gate();
    a.table.next('beat', gate.afterwards);
    await until(() => gate.arrived);
    cluster.clock.jumpWall(60_000);
    gate.open();
    await cluster.clock.advance(0);
    expect(await look(a, id)).toBe('read');
  });

  it('not after a suspend that is shorter than the window', async () => {
    const { a, id } = await holder();
    await until(() => a.table.count('beat') > 0);
    cluster.clock.jumpWall(150);
    expect(await look(a, id)).toBe('read');
  });
});
