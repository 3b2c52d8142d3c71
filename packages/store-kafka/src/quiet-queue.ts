import { createRequire } from 'node:module';

const METHOD = 'scheduleCheckPendingRequests';

/**
 * kafkajs looks each millisecond, on each connection, whether something waits to be sent, also where nothing was sent for hours: 3 % of
 * a processor for an instance that does nothing. From now on it looks only while something waits. In a bundle, where there are
 * no files of kafkajs, it stays as it is.
 */
export function quietQueues(): void {
  const prototype = queuePrototype();
  const schedule: unknown = prototype && Reflect.get(prototype, METHOD);
  if (typeof schedule !== 'function') return;
  const quiet = function (this: { readonly pending: readonly unknown[] }): void {
    if (this.pending.length > 0) Reflect.apply(schedule, this, []);
  };
  Reflect.set(prototype as object, METHOD, quiet); // it has the method
}

function queuePrototype(): object | undefined {
  try {
    const found: unknown = createRequire(import.meta.url)('kafkajs/src/network/requestQueue/index.js');
    return typeof found === 'function' ? found.prototype as object : undefined; // every class has one
  } catch {
    return undefined;
  }
}
