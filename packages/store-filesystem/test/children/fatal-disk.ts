import * as promises from 'node:fs/promises';
import type { Disk } from '../../src/key-folder.js';

/** The real disk, until `arm(n)`: then the process is killed before the n-th call from there on. */
export function fatalDisk(): { disk: Disk; arm: (calls: number) => void; calls: () => number } {
  let left = Infinity;
  let seen = 0;
  const step = () => {
    seen++;
    if (--left === 0) process.kill(process.pid, 'SIGKILL');
  };
  const watched = <T extends object>(target: T): T => new Proxy(target, {
    get(object, name) {
      const value: unknown = Reflect.get(object, name, object);
      if (typeof value !== 'function' || name === 'then') return value;
      return async (...args: unknown[]) => {
        if (name === 'writeFile' && left === 1 && args[0] instanceof Uint8Array) {
          // A write torn in the middle.
          await value.call(object, args[0].subarray(0, args[0].length / 2));
        }
        step();
        const result: unknown = await value.call(object, ...args);
        return name === 'open' ? watched(result as object) : result; // `open` resolves to a FileHandle
      };
    },
  });
  return { disk: watched({ ...promises }), arm: (calls) => { left = calls; seen = 0; }, calls: () => seen };
}
