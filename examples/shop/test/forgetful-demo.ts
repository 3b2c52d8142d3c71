// The demo on a shop that forgets: it must fail. Run by forgetful.test.ts in a process of its own.
import { fileURLToPath } from 'node:url';
import { aFolder } from '../place.js';
import { play } from '../play.js';
import { passed } from '../records.js';
import { openStage } from '../stage.js';
import { Timeline } from '../timeline.js';

const stage = await openStage(0, await aFolder(), fileURLToPath(new URL('./forgetful-instance.ts', import.meta.url)));
const closing = new AbortController();
const timeline = new Timeline(process.stdout, false);
try {
  await stage.cluster.start();
  const { figures, measured } = await play(stage, timeline, 2000, closing.signal);
  const good = passed(figures, 15_000);
  timeline.summary(figures, measured, good);
  process.exitCode = good ? 0 : 1;
} finally {
  closing.abort();
  await stage.close();
}
