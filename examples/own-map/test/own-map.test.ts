import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { testDriver } from '@cluster/conformance';
import { LmdbMap } from '../lmdb-map.js';

const folder = mkdtempSync(join(tmpdir(), 'own-map-'));
let databases = 0;
let path = join(folder, 'sessions-0');

afterAll(() => { rmSync(folder, { recursive: true, force: true }); });

testDriver({ describe, it }, {
  open: () => new LmdbMap(path),
  erase: () => {
    path = join(folder, `sessions-${++databases}`);
    return Promise.resolve();
  },
});

describe('the example', () => {
  it('loses no change of two processes, and ends by itself', () => {
    const { stdout, stderr } = spawnSync('npm', ['start', '--silent'], { cwd: dirname(import.meta.dirname), encoding: 'utf8', timeout: 60_000 });
    expect(stderr.replace(/^npm warn.*\n/gm, '')).toBe('');
    expect(stdout.trim()).toBe('two processes made 200 changes; in the session: 200');
  }, 70_000);
});

describe('the guide', () => {
  it('shows this map, in at most 40 lines', () => {
    const map = readFileSync(join(import.meta.dirname, '../lmdb-map.ts'), 'utf8');
    const guide = readFileSync(join(dirname(import.meta.dirname), '../../docs/your-own-store.md'), 'utf8');
    expect(guide).toContain(map);
    expect(map.trimEnd().split('\n').length).toBeLessThanOrEqual(40);
  });
});
