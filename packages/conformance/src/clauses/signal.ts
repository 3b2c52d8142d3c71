import type { Driver, DriverBench, DriverClause, Offer, Opened } from '../driver-bench.js';
import { longText, ODD_TEXTS } from './odd-texts.js';

const MESSAGE_BYTES = 7_500;

const silent = ({ signals }: Offer) => (signals ? undefined : 'the map has no signals');
const vague = (offer: Offer) => silent(offer) ?? (offer.gone === 'unknown' ? 'a false from signal proves nothing: gone is unknown' : undefined);

const signal = async (from: Opened<Driver>, instanceId: string, message: string) => from.driver.signal?.(instanceId, message);

async function arrives(bench: DriverBench<Driver>, to: Opened<Driver>, message: string): Promise<void> {
  await bench.time.becomes(`a message arrives at ${to.instanceId}`, () => to.received.includes(message), bench.limits.signalMs);
}

/** Signals until an instance is reported gone. */
async function reportedGone(bench: DriverBench<Driver>, from: Opened<Driver>, instanceId: string): Promise<boolean> {
  return bench.time.becomes('the instance is reported gone', async () => await signal(from, instanceId, 'anybody?') === false, bench.limits.signalMs)
    .then(() => true, () => false);
}

export const signalClauses: readonly DriverClause[] = [
  {
    title: 'signal reaches the instance that it names, whole, and no other',
    exempt: silent,
    async run(bench) {
      const [from, to, other] = [await bench.open(), await bench.open(), await bench.open()];
      const odd = ODD_TEXTS.join('|');
      const messages = ['one', odd, longText(MESSAGE_BYTES - 1) + '.', '漢'.repeat(MESSAGE_BYTES / 3)];
      for (const message of messages) {
        bench.proof.equal(await signal(from, to.instanceId, message), true, 'the answer: somebody may listen there');
        await arrives(bench, to, message);
      }
      await signal(from, other.instanceId, 'last');
      await arrives(bench, other, 'last');
      bench.proof.equal([...to.received].sort(), [...messages].sort(), 'what the named instance received');
      bench.proof.equal([from.received, other.received], [[], ['last']], 'what the others received');
    },
  },
  {
    title: 'signal reaches its own instance',
    exempt: silent,
    async run(bench) {
      const own = await bench.open();
      bench.proof.equal(await signal(own, own.instanceId, 'myself'), true, 'the answer');
      await arrives(bench, own, 'myself');
      bench.proof.equal(own.received, ['myself'], 'what arrived');
    },
  },
  {
    title: 'signal made twice arrives, and is answered true twice',
    exempt: silent,
    async run(bench) {
      const [from, to] = [await bench.open(), await bench.open()];
      const answers = [await signal(from, to.instanceId, 'again'), await signal(from, to.instanceId, 'again')];
      bench.proof.equal(answers, [true, true], 'the answers');
      await arrives(bench, to, 'again');
    },
  },
  {
    title: 'an instance that receives signals is not told that it hears nothing',
    exempt: silent,
    async run(bench) {
      const [from, to] = [await bench.open(), await bench.open()];
      await signal(from, to.instanceId, 'one');
      await arrives(bench, to, 'one');
      bench.proof.ok(to.heard.at(-1) !== false, 'the last call of listening was not with false');
    },
  },
  {
    title: 'signal to an instance that never started is false',
    exempt: vague,
    async run(bench) {
      const from = await bench.open();
      bench.proof.ok(await reportedGone(bench, from, `kit-never${bench.key().slice(-8)}`),
        `false within ${bench.limits.signalMs} ms`);
    },
  },
  {
    title: 'signal made late, after the instance stopped, is false and arrives nowhere',
    exempt: (offer) => vague(offer) ?? (offer.stops ? undefined : 'the map has no stop'),
    async run(bench) {
      const [from, to] = [await bench.open(), await bench.open()];
      await signal(from, to.instanceId, 'one');
      await arrives(bench, to, 'one');
      await to.driver.stop?.();
      bench.proof.ok(await reportedGone(bench, from, to.instanceId), `false within ${bench.limits.signalMs} ms`);
      bench.proof.equal(to.received, ['one'], 'what the stopped instance received');
    },
  },
  {
    title: 'an instance started anew under the same name is reached again',
    exempt: (offer) => silent(offer) ?? (offer.stops ? undefined : 'the map has no stop'),
    async run(bench) {
      const [from, first] = [await bench.open(), await bench.open()];
      await first.driver.stop?.();
      const second = await bench.open(first.instanceId);
      await bench.time.becomes('the new instance is reached', async () => {
        await signal(from, first.instanceId, 'hello');
        return second.received.includes('hello');
      }, bench.limits.signalMs);
      bench.proof.equal(first.received, [], 'what the stopped instance received');
    },
  },
];
