import { parseArgs } from 'node:util';
import { NAMES } from './cluster.js';
import { options, usage } from '../../scripts/start-options.mjs';
import { aFolder, aKafka, aNats, aRabbit, aRedis } from './place.js';
import { play } from './play.js';
import { passed } from './records.js';
import { openStage, type Stage } from './stage.js';
import { duration, Timeline } from './timeline.js';

/** Where sessions can be; those with a scheme are servers, and take a --url. */
const stores = {
  filesystem: { sessionsIn: aFolder },
  redis: { sessionsIn: aRedis, url: /^rediss?:\/\//, expected: 'redis:// or rediss://' },
  nats: { sessionsIn: aNats, url: /^nats:\/\//, expected: 'nats://' },
  kafka: { sessionsIn: aKafka, url: /^kafka:\/\//, expected: 'kafka://' },
  rabbitmq: { sessionsIn: aRabbit, url: /^amqps?:\/\//, expected: 'amqp:// or amqps://' },
};

const LEASE_MS = 2000;
const LOCK_TIMEOUT_MS = 15_000;

const isStore = (name: string): name is keyof typeof stores => Object.hasOwn(stores, name);

/** @throws Error naming the argument that is wrong */
function readArguments() {
  const { values } = parseArgs({ options });
  if (values.help) {
    console.log(usage);
    process.exit();
  }
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Error(`--port: expected 0 to 65535, found ${values.port}`);
  const { store, url } = values;
  if (!isStore(store)) throw new Error(`--store: expected ${Object.keys(stores).join(', ')}, found ${store}`);
  const chosen = stores[store];
  if (url !== undefined && !('url' in chosen)) throw new Error('--url: expected --store redis, nats, kafka or rabbitmq with it');
  if (url !== undefined && 'url' in chosen && !chosen.url.test(url)) throw new Error(`--url: expected one that begins with ${chosen.expected}`);
  const color = process.stdout.isTTY && !values['no-color'] && process.env['NO_COLOR'] === undefined;
  return { once: values.once, port, color, sessionsIn: () => chosen.sessionsIn(url) };
}

const textOf = (error: unknown) => (error instanceof Error ? error.message : error);

async function main({ once, port, color, sessionsIn }: ReturnType<typeof readArguments>): Promise<void> {
  const timeline = new Timeline(process.stdout, color);
  const place = await sessionsIn();
  const shop = await openStage(port, place);
  const closing = new AbortController();
  let closed: Promise<void> | undefined;
  const close = (withinMs?: number) => closed ??= (async () => {
    closing.abort();
    const locked = await shop.close(withinMs);
    // Only a process that ended in order has said what it left.
    timeline.plain(`All three processes have ended.${locked === undefined ? '' : ` Sessions still locked: ${locked}.`}`);
    if (locked !== 0) process.exitCode = 1;
  })();
  const fail = async (error: unknown, withinMs?: number) => {
    if (closed === undefined) {
      process.exitCode = 1;
      console.error(textOf(error));
    }
    await close(withinMs);
    process.exit();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => { void close().then(() => { process.exit(); }); });
  }
  void place.ended?.then((how) => {
    // What the shop's processes hold cannot be given back any more, so nobody waits for them.
    if (closed === undefined) void fail(`The server of the sessions, ${place.description}, has ended: ${how}.`, 0);
  });
  try {
    await show(shop, place.description, port, timeline, closing.signal);
    if (once) await close();
    else {
      timeline.plain(`Try it yourself: ${shop.url}  the page has a button that kills the process serving you`);
      timeline.plain('Ctrl-C stops all three and leaves no session locked.');
    }
  } catch (error) {
    await fail(error);
  }
}

/** Starts the processes, plays, and prints the summary. */
async function show(shop: Stage, description: string, port: number, timeline: Timeline, closing: AbortSignal): Promise<void> {
  timeline.plain(`A shop on three Node.js processes. Sessions: ${description}. Proxy: round robin, not sticky. Lease: ${duration(LEASE_MS)} (default 10 s).`);
  timeline.plain('Each process keeps the sessions that it served until another asks for them, so the kill finds some.');
  if (port !== 0 && shop.port !== port) timeline.plain(`Port ${port} is in use; taking ${shop.port}.`);
  timeline.plain();
  await shop.cluster.start();
  closing.throwIfAborted();
  timeline.say(NAMES.map((name) => `${name} pid ${shop.cluster.member(name).pid ?? '?'} ready`.padEnd(25)).join(''));
  const { figures, measured } = await play(shop, timeline, LEASE_MS, closing);
  const good = passed(figures, LOCK_TIMEOUT_MS);
  if (!good) process.exitCode = 1;
  timeline.summary(figures, measured, good);
}

let given;
try {
  given = readArguments();
} catch (error) {
  console.error(textOf(error));
  process.exit(2);
}
await main(given).catch((error: unknown) => {
  console.error(textOf(error));
  process.exit(1);
});
