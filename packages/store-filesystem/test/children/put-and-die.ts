import { writeSync } from 'node:fs';
import { FilesystemMap } from '../../src/filesystem-map.js';
import { fatalDisk } from './fatal-disk.js';

// put-and-die <directory> <key> <puts before> <call that kills>: writes each acknowledged value to stdout, then how many calls the last put took.
const [directory = '', key = '', before = '', fatalCall = ''] = process.argv.slice(2);
const { disk, arm, calls } = fatalDisk();
const map = new FilesystemMap({ directory, allowNetworkMounts: false, disk });

async function main(): Promise<void> {
  await map.start({ context: 'shop', instanceId: 'dying', receive: () => undefined, listening: () => undefined });
  let revision: string | undefined;
  for (let number = 1; number <= Number(before); number++) {
    revision = await map.compareAndSet(key, revision, { value: `value ${number}`, lifetimeMs: 600_000 });
    writeSync(1, `value ${number}\n`);
  }
  // What the puts left to be done later is no part of the one that is watched.
  await new Promise((resolve) => { setTimeout(resolve, 50); });
  arm(Number(fatalCall));
  await map.compareAndSet(key, revision, { value: 'last value', lifetimeMs: 600_000 });
  writeSync(1, 'last value\n');
  await map.stop();
  writeSync(1, `calls ${calls()}\n`);
}

void main();
