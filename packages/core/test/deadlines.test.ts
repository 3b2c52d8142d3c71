import { beforeEach, expect, it } from '@jest/globals';
import { manualClock, type Clock, type ManualClock } from '../src/clock.js';
import { Deadlines } from '../src/engine/deadlines.js';

let clock: ManualClock;
let timers = 0;
let open = 0;
let deadlines: Deadlines;
const passed: string[] = [];

beforeEach(() => {
  clock = manualClock();
  timers = open = passed.length = 0;
  const counting: Clock = {
    ...clock,
    timer(callback, ms) {
      timers += 1;
      open += 1;
      let isOpen = true;
      const close = () => { if (isOpen) open -= 1; isOpen = false; };
      const cancel = clock.timer(() => { close(); callback(); }, ms);
      return () => { close(); cancel(); };
    },
  };
  deadlines = new Deadlines(counting);
});

const add = (name: string, ms: number) => deadlines.add(() => passed.push(name), ms);

it('calls back once each, when it is due', async () => {
  add('second', 20);
  add('first', 10);
  add('third', 30);
  await clock.advance(9);
  expect(passed).toEqual([]);
  await clock.advance(1);
  expect(passed).toEqual(['first']);
  await clock.advance(10);
  expect(passed).toEqual(['first', 'second']);
  await clock.advance(100);
  expect(passed).toEqual(['first', 'second', 'third']);
  expect(open).toBe(0);
});

it('makes one timer for many that are cancelled before they are due', async () => {
  for (let call = 0; call < 1_000; call += 1) add('never', 2_000)();
  expect(timers).toBe(1);
  add('still there', 2_000);
  await clock.advance(1_999);
  expect(passed).toEqual([]);
  await clock.advance(1);
  expect(passed).toEqual(['still there']);
});

it('does not call one back that another one has cancelled', async () => {
  let cancel = () => { /* set below */ };
  deadlines.add(() => { cancel(); }, 10);
  cancel = add('never', 10);
  await clock.advance(10);
  expect(passed).toEqual([]);
});

it('takes one more from within a callback', async () => {
  deadlines.add(() => { add('later', 5); }, 10);
  await clock.advance(14);
  expect(passed).toEqual([]);
  await clock.advance(1);
  expect(passed).toEqual(['later']);
});

it('leaves no timer behind at rest, unless something is pending', async () => {
  add('never', 10)();
  deadlines.rest();
  expect(open).toBe(0);
  add('due', 10);
  deadlines.rest();
  await clock.advance(10);
  expect(passed).toEqual(['due']);
});
