import * as promises from 'node:fs/promises';
import type { Disk } from '../../src/key-folder.js';

type Step = () => void | Promise<void>;

function stepping<T extends object>(target: T, step: Step): T {
  return new Proxy(target, {
    get(object, name) {
      const value: unknown = Reflect.get(object, name, object);
      if (typeof value !== 'function' || name === 'then') return value;
      return async (...args: unknown[]) => {
        const [bytes, ...rest] = args;
        if (name === 'writeFile' && bytes instanceof Uint8Array) {
          // A write may also end in the middle.
          await value.call(object, bytes.subarray(0, bytes.length / 2));
          args = [bytes.subarray(bytes.length / 2), ...rest];
        }
        await step();
        const result: unknown = await value.call(object, ...args);
        return name === 'open' ? stepping(result as object, step) : result; // `open` resolves to a FileHandle
      };
    },
  });
}

/** A disk, the real one by default, with a step before each call. */
export const steppingDisk = (step: Step, disk: Disk = { ...promises }): Disk => stepping(disk, step);
