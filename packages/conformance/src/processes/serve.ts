import { failureOf, type Call, type Reply } from './messages.js';

/** What a child process can be asked for, by name. The parent sends what the method of that name takes. */
export type Methods = Readonly<Record<string, (...args: never[]) => unknown>>;

const say = (reply: Reply, sent = (): void => undefined): void => { process.send?.(reply, sent); };
const orphaned = (): never => process.exit(1);

/** Tells the parent something that it did not ask for. */
export const notify = (notice: unknown): void => { say({ notice }); };

/**
 * Answers the calls of the parent process, and ends with it. After the answer to `stop` only what the method left behind
 * keeps this process alive.
 */
export function serve(methods: Methods): void {
  async function answer({ n, method, args }: Call): Promise<void> {
    try {
      const found = methods[method];
      if (found === undefined) throw new Error(`this process has no method '${method}'`);
      const value: unknown = await Reflect.apply(found, methods, args);
      if (method === 'stop') process.off('disconnect', orphaned);
      say({ n, value }, method === 'stop' ? () => { process.disconnect(); } : undefined);
    } catch (error) {
      say({ n, failure: failureOf(error) });
    }
  }
  process.on('disconnect', orphaned);
  process.on('message', (call: Call) => { void answer(call); });
}
