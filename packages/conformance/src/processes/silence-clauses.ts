import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessClause } from './clauses.js';
import type { Life } from './life.js';
import type { ProcessBench } from './process-bench.js';
import type { KnownSession } from './recorder.js';
import { Turn } from './turn.js';

const BLOCKED_MS = 3_000;

interface Stillness {
  readonly title: string;
  /** Keeps the process from doing anything; resolves when it goes on. What it is asked meanwhile it finds then. */
  readonly stand: (life: Life, silentTakeOverMs: number) => { readonly over: () => Promise<void> };
}

const stillnesses: readonly Stillness[] = [
  {
    title: 'SIGSTOP beyond its lease, then SIGCONT',
    stand(life) {
      life.pause();
      return { over: () => { life.resume(); return Promise.resolve(); } };
    },
  },
  {
    title: 'an event loop that is blocked for 3 s, beyond its lease',
    stand(life, silentTakeOverMs) {
      const blocked = life.block(Math.max(BLOCKED_MS, 1.5 * silentTakeOverMs));
      return { over: () => blocked };
    },
  },
];

/** Takes both sessions from an instance that is silent, and changes them. */
async function takenFrom(bench: ProcessBench, by: Life, known: KnownSession, sinceMs: number): Promise<void> {
  const withinMs = bench.silentTakeOverMs;
  const turn = await bench.had(by, known, withinMs);
  const tookMs = performance.now() - sinceMs;
  bench.proof.ok(turn !== undefined && tookMs <= withinMs, `${known.name} is had again ${Math.round(tookMs)} ms after its holder fell silent; the bound is ${withinMs}`);
  await turn?.send(turn.change('a'));
}

const silenceClause = ({ title, stand }: Stillness): ProcessClause => ({
  title: `${title}: others have what it held, and when it goes on it neither writes nor shows what is old`,
  exempt: ({ silentTakeOverMs }) => (silentTakeOverMs === Infinity ? 'its locks stay with an instance that is silent' : undefined),
  async run(bench) {
    const { recorder } = bench;
    const [silent, other] = await bench.instances.all();
    if (silent === undefined || other === undefined) return;
    const [used, idle] = [await bench.added(silent), await bench.added(silent)];
    const late = await bench.had(silent, used, 0);
    const kept = await bench.had(silent, idle, 0);
    await kept?.send(kept.change('a'));
    const stillness = stand(silent, bench.silentTakeOverMs);
    const sinceMs = performance.now();
    await Promise.all([used, idle].map((known) => takenFrom(bench, other, known, sinceMs)));
    // The first that it finds when it goes on.
    const answers = Promise.all([late?.send(late.change('a')), Turn.find(recorder, silent, idle, 'snapshot'), Turn.find(recorder, silent, idle, 'exclusive')]);
    await stillness.over();
    const [isWritten, seen, had] = await answers;
    bench.proof.ok(isWritten === false, 'the change of a request whose lock was taken is refused');
    await seen?.send();
    await had?.send(had.change('b'));
    await bench.check();
  },
});

const BRIEF_ROUNDS = 10;

/** Held idle, and asked for just now: its holder beats often, and has memory to serve from. */
async function hot(bench: ProcessBench, holder: Life): Promise<KnownSession> {
  const known = await bench.added(holder);
  await (await bench.had(holder, known, 0))?.send();
  await (await Turn.find(bench.recorder, holder, known, 'snapshot'))?.send();
  return known;
}

const briefClause: ProcessClause = {
  title: 'a process that stands still for less than its read lease shows nothing that is old when it goes on',
  async run(bench) {
    const { recorder, random, settings: { readLeaseMs } } = bench;
    const [holder, other] = await bench.instances.all();
    if (holder === undefined || other === undefined) return;
    for (let round = 0; round < BRIEF_ROUNDS; round += 1) {
      const sessions = [await hot(bench, holder), await hot(bench, holder)];
      await sleep(readLeaseMs / 2);
      holder.pause();
      const taken = (async () => {
        // Of the second one the holder hears nothing, should its lease be ended for the first.
        for (const known of sessions) {
          const turn = await bench.had(other, known, bench.silentTakeOverMs);
          await turn?.send(turn.change('a'));
        }
      })();
      await Promise.race([taken, sleep(random.between(0.2, 0.8) * readLeaseMs)]);
      const shown = sessions.map((known) => Turn.find(recorder, holder, known, 'snapshot'));
      holder.resume();
      for (const turn of await Promise.all(shown)) await turn?.send();
      await taken;
    }
    await bench.check();
  },
};

const allAtOnce: ProcessClause = {
  title: 'kills, stops, blocked event loops and a bad network at once',
  async run(bench) {
    const { random, settings: { leaseMs, storeTimeoutMs } } = bench;
    const kinds = ['kill', 'pause', 'block', 'restart', 'delay', 'held', 'half-open', 'dropped', 'answers lost'] as const;
    const happens = async (index: number) => {
      const life = await bench.instances.at(index);
      const { network } = life;
      const kind = random.pick(network === undefined ? kinds.slice(0, 4) : kinds);
      switch (kind) {
        case 'kill': await life.kill(); break;
        case 'restart': await life.stop(leaseMs + 10_000); break;
        case 'block': await life.block(random.between(0, 1.5 * leaseMs)).catch(() => undefined); break;
        case 'pause':
          life.pause();
          await sleep(random.between(0, 1.5 * leaseMs));
          life.resume();
          break;
        default: {
          if (network === undefined) break;
          if (kind === 'delay') network.delayMs = random.between(0, storeTimeoutMs);
          else network.weather = kind;
          await sleep(random.between(0, 1.5 * leaseMs));
          network.calm();
        }
      }
    };
    const untilMs = performance.now() + 5 * leaseMs;
    await bench.underLoad(async () => {
      await Promise.all(Array.from({ length: bench.instances.count }, async (_, index) => {
        while (performance.now() < untilMs) {
          await sleep(random.between(0, leaseMs));
          await happens(index);
        }
      }));
    });
  },
};

export const silenceClauses: readonly ProcessClause[] = [briefClause, ...stillnesses.map(silenceClause), allAtOnce];
