import { setTimeout } from 'node:timers/promises';
import { NAMES, type Name } from './cluster.js';
import type { Takeover } from './moves.js';
import { judge, type Figures } from './records.js';
import { Shoppers } from './shoppers.js';
import type { Stage } from './stage.js';
import { duration, plural, type Measured, type Timeline } from './timeline.js';

/** What the acts of the play share. */
interface Scene extends Stage {
  readonly timeline: Timeline;
  readonly leaseMs: number;
  /** Rejects when the shop is closed. */
  readonly pause: (ms: number) => Promise<void>;
}

const SHOPPERS = 12;
const PAUSE_MS = 3000;
const CAUGHT = { changes: 2, withinMs: 1500, settledForMs: 8 };

/** Plays the demo on running processes: shoppers, a kill, a restart, a pause. `closing` ends it, and sends the shoppers away. */
export async function play(stage: Stage, timeline: Timeline, leaseMs: number, closing: AbortSignal): Promise<{ figures: Figures; measured: Measured }> {
  const pause = (ms: number) => setTimeout(ms, undefined, { signal: closing });
  const scene: Scene = { ...stage, timeline, leaseMs, pause };
  const { cluster, url } = stage;
  const shoppers = new Shoppers(SHOPPERS, url, closing);
  timeline.say(`${SHOPPERS} shoppers with 3 tabs each start adding to their carts`);
  shoppers.start();
  await pause(1500);
  const answered = shoppers.answeredBy();
  timeline.say(NAMES.map((name) => `${name} ${String(answered.get(name) ?? 0).padStart(3)} requests`.padEnd(WIDE)).join(''));
  await pause(500);

  const afterKill = await killInTheMiddle(scene, 'b');
  await restart(scene, 'b');
  await pause(800);
  const afterPause = await pauseBeyondLease(scene, 'c');
  await pause(1000);

  const { records, carts } = await shoppers.finish();
  timeline.say('every tab is done');
  await pause(150); // the last reports are on their way
  const reads = records.filter(({ item }) => item === undefined).length + SHOPPERS;
  return {
    figures: judge(records, carts, { killed: ['b'], paused: ['c'] }),
    measured: { takeoverMs: { afterKill, afterPause }, storeCalls: cluster.storeCalls(), reads },
  };
}

const WIDE = 25;

/** Resolves when a process works on several changes at once, or when that does not happen in time. */
async function inTheMiddle({ proxy, pause }: Scene, name: Name): Promise<number> {
  const until = performance.now() + CAUGHT.withinMs;
  while (performance.now() < until) {
    if (proxy.changesAt(name) >= CAUGHT.changes) {
      await pause(CAUGHT.settledForMs); // they pass the begin of the request and have their sessions locked
      if (proxy.changesAt(name) >= CAUGHT.changes) break;
    }
    await pause(1);
  }
  return proxy.changesAt(name);
}

async function killInTheMiddle(scene: Scene, name: Name): Promise<number | undefined> {
  const { cluster, timeline, moves, leaseMs, pause } = scene;
  const inside = await inTheMiddle(scene, name);
  const health = cluster.member(name).health;
  const killedAtMs = performance.now();
  await cluster.kill(name);
  moves.state(name, 'was killed (kill -9)');
  const owned = health === undefined ? '' : ` and owned ${plural(health.held, 'session')} when last heard of`;
  timeline.say(`kill -9 ${name}`, `${name} was inside ${plural(inside, 'request')}${owned}`, 'bad', killedAtMs);
  await pause(600);
  // Where nobody hears of a kill, its sessions wait for its lease.
  const untilMs = killedAtMs + leaseMs + 1_500;
  while (since(moves.takeovers, name, killedAtMs).length === 0 && performance.now() < untilMs) await pause(50);
  // A request that waited for the living owner waits for the dead one only since the kill.
  const taken = since(moves.takeovers, name, killedAtMs).map((each) => ({ ...each, sinceMs: Math.min(each.sinceMs, each.atMs - killedAtMs) }));
  tell(timeline, taken, (longestMs) => `at most ${duration(longestMs)} after the first request for them`);
  return longest(taken);
}

async function restart({ cluster, timeline, moves }: Scene, name: Name): Promise<void> {
  await cluster.startOne(name);
  const { pid } = cluster.member(name);
  moves.state(name, `runs again, pid ${pid ?? '?'}`);
  timeline.say(`${name} pid ${pid ?? '?'} ready`, 'a new incarnation: owns nothing', 'good');
}

async function pauseBeyondLease(scene: Scene, name: Name): Promise<number | undefined> {
  const { cluster, timeline, moves, leaseMs, pause } = scene;
  const before = { fenced: moves.fenced, lapsed: moves.lapsed };
  await inTheMiddle(scene, name);
  const pausedAtMs = performance.now();
  const continued = new Promise<void>((resolve) => { cluster.pause(name, PAUSE_MS, resolve); });
  moves.state(name, `was paused for ${duration(PAUSE_MS)} (SIGSTOP)`);
  timeline.say(`pause ${name} (SIGSTOP)`, `for ${duration(PAUSE_MS)}, longer than its lease of ${duration(leaseMs)}`, 'bad', pausedAtMs);
  await continued;
  const continuedAtMs = performance.now();
  moves.state(name, 'goes on (SIGCONT)');
  const taken = since(moves.takeovers, name, pausedAtMs).map((each) => ({ ...each, sinceMs: Math.min(each.sinceMs, each.atMs - pausedAtMs) }));
  tell(timeline, taken, (longestMs) => `its lease had lapsed; at most ${duration(longestMs)} after the first request for them`);
  await pause(300);
  const refused = moves.fenced - before.fenced;
  const rejoined = moves.lapsed > before.lapsed ? ', rejoined as a new incarnation' : '';
  timeline.say(`${name} runs again`, `${plural(refused, 'late write')} refused${rejoined}`, 'good', continuedAtMs);
  return longest(taken);
}

const since = (takeovers: readonly Takeover[], from: Name, atMs: number) =>
  takeovers.filter((takeover) => takeover.from === from && takeover.atMs >= atMs);

const longest = (taken: readonly Takeover[]) => (taken.length === 0 ? undefined : Math.max(...taken.map(({ sinceMs }) => sinceMs)));

/** One line for each process that took something over. */
function tell(timeline: Timeline, taken: readonly Takeover[], detail: (longestMs: number) => string): void {
  const groups = NAMES.map((name) => taken.filter(({ by }) => by === name)).filter((group) => group.length > 0)
    .map((group) => ({ group, atMs: Math.max(...group.map(({ atMs }) => atMs)) })).sort((one, another) => one.atMs - another.atMs);
  for (const { group, atMs } of groups) {
    timeline.say(`${group[0]?.by ?? '?'} took over ${plural(group.length, 'session')}`, detail(longest(group) ?? 0), 'good', atMs);
  }
}
