import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessClause, StoreFault } from './clauses.js';
import type { Content } from './instance-calls.js';
import type { Life } from './life.js';
import type { ProcessBench } from './process-bench.js';
import type { KnownSession } from './recorder.js';
import { Turn } from './turn.js';

const SESSIONS = 3;

/** Some sessions that were changed on that instance. */
async function changed(bench: ProcessBench, life: Life): Promise<Map<KnownSession, Content>> {
  const contents = new Map<KnownSession, Content>();
  while (contents.size < SESSIONS) await change(bench, life, await bench.added(life), contents);
  return contents;
}

/** Changes it once more; what was acknowledged is noted. */
async function change(bench: ProcessBench, life: Life, known: KnownSession, contents: Map<KnownSession, Content>): Promise<void> {
  const turn = await bench.had(life, known, bench.settings.lockTimeoutMs);
  if (turn === undefined || !await turn.send(turn.change('a', 'b'))) throw new Error(`the ground of this clause: ${known.name} can be changed on ${life.instanceId}`);
  contents.set(known, turn.content);
}

async function contentOn({ recorder, settings }: ProcessBench, life: Life, known: KnownSession): Promise<Content | undefined> {
  const turn = await Turn.find(recorder, life, known, 'exclusive') ?? await sleep(settings.storeTimeoutMs).then(() => Turn.find(recorder, life, known, 'exclusive'));
  await turn?.send();
  return turn?.content;
}

/** Nobody waits for what the holder has meanwhile, so it keeps its lease; what nobody held shows whether anything was lost at all. */
export const rollbackClauseOf = (fault: StoreFault): ProcessClause => ({
  title: `after ${fault.title} a live holder has what was acknowledged to it, and so has who comes next`,
  exempt: () => fault.skipped,
  async run(bench) {
    const [holder, other, releasing] = await bench.instances.all();
    if (holder === undefined || other === undefined || releasing === undefined) return;
    bench.proof.equal(holder.capabilities?.rollback, true, 'what a driver declares as rollback, if it may lose what it has acknowledged');
    const [held, free] = [await changed(bench, holder), await changed(bench, releasing)];
    await sleep(bench.settings.storeTimeoutMs);
    await fault.lag?.();
    for (const known of held.keys()) await change(bench, holder, known, held);
    for (const known of free.keys()) await change(bench, releasing, known, free);
    await fault.begin();
    await fault.end();
    // An instance that nobody asks beats three times a lease, and hears of it then.
    await sleep(bench.settings.leaseMs);
    for (const [known, content] of held) {
      for (const life of [holder, other]) bench.proof.equal(await contentOn(bench, life, known), content, `${known.name}, which was held, on ${life.instanceId}`);
    }
    let lost = 0;
    for (const [known, content] of free) if (JSON.stringify(await contentOn(bench, other, known)) !== JSON.stringify(content)) lost += 1;
    fault.lost?.({ acknowledged: free.size, lost });
    bench.proof.ok(lost > 0, 'at least one change of a session that nobody held is lost, else nothing was rolled back');
  },
});
