import { Report } from '../report.js';
import { Servers } from '../servers.js';
import { storeNamed } from '../stores.js';

const INCREMENTS = 10_000;
const CLIENTS = 16;

/** Many POSTs at once that increment one session's counter, alternating between two processes; true if none is lost. */
export async function contended([name = 'filesystem', count = String(INCREMENTS)]: readonly string[], writes: boolean): Promise<boolean> {
  const [store, total] = [storeNamed(name), Number(count)];
  const report = new Report(`contended ${store}`, `one round of ${total.toLocaleString('en')} increments of one session's counter by POST; ${CLIENTS} clients, alternating between two processes, ${store} store`);
  const servers = await Servers.start(2, store);
  try {
    const { cookie } = await servers.ask(0, 'POST', '/');
    let sent = 0;
    let acknowledged = 0;
    const refused = new Map<number, number>();
    const startedMs = performance.now();
    await Promise.all(Array.from({ length: CLIENTS }, async () => {
      while (sent < total) {
        const { status } = await servers.ask(sent++, 'POST', '/', cookie);
        if (status === 200) acknowledged += 1;
        else refused.set(status, (refused.get(status) ?? 0) + 1);
      }
    }));
    const tookMs = performance.now() - startedMs;
    const { body } = await servers.ask(0, 'GET', '/', cookie);
    // The first POST made the session and counted as well.
    const found = Number(body) - 1;
    const refusals = [...refused].map(([status, times]) => `${times} × ${status}`).join(', ');
    report.table(['sent', 'acknowledged', 'refused', 'found in the session', 'lost', 'seconds', 'per second'], [[
      sent, acknowledged, refusals === '' ? 'none' : refusals, found, acknowledged - found, (tookMs / 1000).toFixed(1), Math.round(total / tookMs * 1000),
    ].map(String)]);
    if (writes) report.write();
    return acknowledged === total && found === acknowledged;
  } finally {
    await servers.stop();
  }
}
