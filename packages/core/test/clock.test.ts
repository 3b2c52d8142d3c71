import { describe, it, expect, jest } from '@jest/globals';
import { Clock, manualClock, systemClock } from '../src/clock.js';

describe('manualClock', () => {
  it('moves only when told, both clocks alike', async () => {
    const clock = manualClock(1000);
    expect([clock.monotonicMs(), clock.wallMs()]).toEqual([0, 1000]);
    await clock.advance(250);
    expect([clock.monotonicMs(), clock.wallMs()]).toEqual([250, 1250]);
    clock.jumpWall(-500);
    expect([clock.monotonicMs(), clock.wallMs()]).toEqual([250, 750]);
  });

  it('fires what falls due in order of time, then of making, each at its own time', async () => {
    const clock = manualClock();
    const fired: string[] = [];
    const note = (name: string) => () => { fired.push(`${name}@${clock.monotonicMs()}`); };
    clock.timer(note('late'), 30);
    clock.timer(note('first'), 10);
    clock.timer(note('second'), 10);
    clock.timer(note('never yet'), 31);
    await clock.advance(30);
    expect(fired).toEqual(['first@10', 'second@10', 'late@30']);
  });

  it('fires timers that others make on the way, and promises settle in between', async () => {
    const clock = manualClock();
    const fired: number[] = [];
    clock.timer(() => {
      void Promise.resolve().then(() => Promise.resolve()).then(() => clock.timer(() => { fired.push(clock.monotonicMs()); }, 5));
    }, 10);
    await clock.advance(20);
    expect(fired).toEqual([15]);
  });

  it('fires no cancelled timer, none twice, and one of a negative time at once', async () => {
    const clock = manualClock();
    const callback = jest.fn();
    clock.timer(callback, 10)();
    clock.timer(callback, -5);
    await clock.advance(0);
    await clock.advance(100);
    expect(callback).toHaveBeenCalledTimes(1);
  });

  it('draws numbers that differ and repeat from run to run', () => {
    const [a, b] = [manualClock(), manualClock()];
    const drawn = [a.randomHex(16), a.randomHex(16)];
    expect(new Set(drawn).size).toBe(2);
    expect([b.randomHex(16), b.randomHex(16)]).toEqual(drawn);
    expect(drawn[0]).toMatch(/^[0-9a-f]{32}$/);
  });
});

describe('systemClock', () => {
  it('rises, tells the time of day, and is what Clock.system names', () => {
    const before = systemClock.monotonicMs();
    expect(systemClock.monotonicMs()).toBeGreaterThanOrEqual(before);
    expect(Math.abs(systemClock.wallMs() - Date.now())).toBeLessThan(1000);
    expect(Clock.system).toBe(systemClock);
    expect(Clock.manual).toBe(manualClock);
  });

  it.each([1, 16, 24, 5000])('draws %i random bytes as hex, new each time', (bytes) => {
    const drawn = Array.from({ length: 200 }, () => systemClock.randomHex(bytes));
    for (const hex of drawn) expect(hex).toMatch(new RegExp(`^[0-9a-f]{${bytes * 2}}$`));
    if (bytes >= 16) expect(new Set(drawn).size).toBe(200);
  });

  it('fires a timer once; a cancelled one never; none keeps the process alive', async () => {
    const fired: string[] = [];
    const spy = jest.spyOn(globalThis, 'setTimeout');
    systemClock.timer(() => { fired.push('cancelled'); }, 1)();
    await new Promise<void>((resolve) => {
      systemClock.timer(() => { fired.push('fired'); resolve(); }, 1);
      // Something has to keep the process alive meanwhile.
      setTimeout(() => undefined, 50);
    });
    const timers = spy.mock.results.map((result) => result.value as NodeJS.Timeout); // what setTimeout returns here
    spy.mockRestore();
    expect(fired).toEqual(['fired']);
    expect(timers.map((timer) => timer.hasRef())).toEqual([false, false, true]);
    clearTimeout(timers[2]);
  });
});
