import { describe, expect, it } from '@jest/globals';
import { Clock, ClusterStoreBase } from '../src/driver.js';
import { MemoryTable } from '../src/drivers/memory-table.js';
import { DistributedManager } from '../src/index.js';
import { ScriptedLog } from './scripted-log.js';

describe('a beat that gets lost without a word', () => {
  it('is sent again while the lease holds, also where others are waited for much longer', async () => {
    const clock = Clock.manual();
    const log = new ScriptedLog(clock);
    let loses = false;
    const over = (instanceId: string) => {
      const own = log.opened(instanceId);
      const append: typeof own.append = (partition, key, value) => {
        if (instanceId !== 'a' || !loses || !key.includes('.l.')) return own.append(partition, key, value);
        loses = false;
        return new Promise<void>(() => undefined);
      };
      return new DistributedManager(new ClusterStoreBase({ ...own, append }, { clock, instanceId }), { clock, leaseMs: 10_000, storeTimeoutMs: 10_000, lockTimeoutMs: 40_000 });
    };
    const [a, b] = [over('a'), over('b')];
    await Promise.all([a.start(), b.start()]);
    const seen: string[] = [];
    a.on('lapsed', () => { seen.push('lapsed'); });
    b.on('takeover', () => { seen.push('takeover'); });
    const session = a.createSession();
    session.set('n', 1);
    await a.sendSession(session);
    const held = await a.findSession(session.id);
    const waiting = b.findSession(session.id);
    waiting.catch(() => undefined);
    loses = true;
    await clock.advance(20_000);
    expect(loses).toBe(false);
    expect(seen).toEqual([]);
    expect(a.health().store).toBe('up');
    held?.set('n', 2);
    await a.sendSession(held!);
    await clock.advance(1_000);
    const next = await waiting;
    expect(next?.get('n')).toBe(2);
    await b.sendSession(next!);
    await Promise.all([a.stop(), b.stop()]);
  });
});

describe('beats that are answered late', () => {
  it('count, also where the next one is sent before', async () => {
    const clock = Clock.manual();
    let lateMs = 0;
    const numbers = new Set<number>();
    class LateBeats extends MemoryTable {
      override async beat(incarnation: string, n: number, leaseMs: number) {
        numbers.add(n);
        const answer = await super.beat(incarnation, n, leaseMs);
        if (lateMs > 0) await new Promise<void>((resolve) => { clock.timer(resolve, lateMs); });
        return answer;
      }
    }
    const manager = new DistributedManager(new ClusterStoreBase(new LateBeats({ clock }), { clock, instanceId: 'a' }), { clock, leaseMs: 3_000, storeTimeoutMs: 2_000 });
    await manager.start();
    lateMs = 1_200;
    for (let second = 0; second < 30; second += 1) {
      await clock.advance(1_000);
      expect(manager.health().store).toBe('up');
    }
    expect(numbers.size).toBeGreaterThan(20);
    lateMs = 0;
    await clock.advance(2_000);
    await manager.stop();
  });
});
