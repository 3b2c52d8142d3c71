import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';

/** Mounts a small file system of its own in memory; false where this process may not. */
export function mountSmallDisk(path: string, options: string): boolean {
  mkdirSync(path, { recursive: true });
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

export function unmount(path: string): void {
  execFileSync('umount', ['--lazy', path]);
}

/** Continuous integration runs as root so that what only root may do is seen to work. */
export function orSay(done: boolean, what: string): void {
  if (done) return;
  if (process.env['CI'] !== undefined) throw new Error(`${what}: NOT TESTED, mount or chown failed; CI must be allowed to`);
  console.warn(`${what}: NOT TESTED, since this user may not mount a tmpfs or give folders away`);
}
