import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

const repository = dirname(import.meta.dirname);
const passing = "import { it, expect } from '@jest/globals'; it('passes', () => { expect(1).toBe(1); });\n";
/** Packages of a small repository, each with the content of its one test file. */
const packages = {
  sound: passing,
  failing: `${passing}it('fails', () => { expect(1).toBe(2); });\n`,
  skipping: `${passing}it.skip('waits', () => { expect(1).toBe(2); });\n`,
  declaring: `${passing}import { describe } from '@jest/globals';
    describe('as a session map', () => { it.skip('is swept (skipped: it has no sweep())', () => { expect(1).toBe(2); }); });\n`,
  pretending: `${passing}it.skip('is swept (skipped: it has no sweep())', () => { expect(1).toBe(2); });\n`,
  broken: "import './absent.js';\n",
  empty: undefined,
};

describe('npm test', () => {
  const root = mkdtempSync(join(tmpdir(), 'cluster-commands-'));
  beforeAll(() => {
    for (const path of ['package.json', 'package-lock.json', 'jest.config.mjs', 'scripts']) cpSync(join(repository, path), join(root, path), { recursive: true });
    for (const [name, content] of Object.entries(packages)) {
      mkdirSync(join(root, 'packages', name, 'test'), { recursive: true });
      if (content !== undefined) writeFileSync(join(root, 'packages', name, 'test', 'a.test.ts'), content);
    }
    symlinkSync(join(repository, 'node_modules'), join(root, 'node_modules'));
  });
  afterAll(() => { rmSync(root, { recursive: true }); });

  const run = (...args: string[]) => {
    const { status, stdout } = spawnSync(process.execPath, ['scripts/test.mjs', '--no-install', ...args], { cwd: root, encoding: 'utf8' });
    return { status, stdout, closing: stdout.trimEnd().split('\n').at(-1) };
  };

  it('counts the tests of the packages that are named', () => {
    expect(run('sound')).toMatchObject({ status: 0, closing: '1 passed, 0 failed', stdout: expect.stringMatching(/^== sound passed, \d+\.\d s$/m) });
  }, 30_000);

  it('prints what the conformance kit skipped', () => {
    const { status, stdout, closing } = run('declaring');
    expect({ status, closing }).toEqual({ status: 0, closing: '1 passed, 0 failed' });
    expect(stdout).toContain('packages/declaring/test/a.test.ts: 1 clauses skipped: it has no sweep()\n');
    expect(stdout).toContain('\n1 clauses of the conformance kit skipped, for the reasons above\n');
  }, 30_000);

  it('ends at the first step that fails', () => {
    expect(run('failing', 'sound')).toMatchObject({ status: 1, closing: '1 passed, 1 failed' });
  }, 30_000);

  it.each([
    ['skipping', '1 passed, 1 failed', '1 tests were skipped'],
    ['pretending', '1 passed, 1 failed', '1 tests were skipped'],
    ['broken', '0 passed, 1 failed', 'no test was executed'],
    ['empty', '0 passed, 1 failed', 'no test was executed'],
    ['absent', '0 passed, 1 failed', 'no package or example is called absent'],
  ])('fails for %s', (name, closing, reason) => {
    const { status, stdout, closing: last } = run(name);
    expect({ status, last }).toEqual({ status: 1, last: closing });
    expect(stdout).toContain(reason);
  }, 30_000);

  it('shows what a check said that failed, and ends there', () => {
    writeFileSync(join(root, 'tsconfig.json'), '{ "files": ["absent.ts"] }');
    const { status, stdout, closing } = run();
    expect({ status, closing }).toEqual({ status: 1, closing: '0 passed, 1 failed' });
    expect(stdout).toMatch(/^error TS6053: File '.*absent\.ts' not found/m);
    expect(stdout.match(/^== .+? (?:passed|failed)\b/gm)).toEqual(['== npm packages passed', '== services passed', '== checks and tests failed']);
  }, 30_000);

  it('does not run over packages of other versions', () => {
    const lock = join(root, 'package-lock.json');
    const before = readFileSync(lock, 'utf8');
    writeFileSync(lock, before.replace(/("node_modules\/jest": \{\s*"version": ")[^"]+/, (_text, start: string) => `${start}0.0.1`));
    expect(run('sound')).toMatchObject({ status: 1, stdout: expect.stringContaining('node_modules is older than package-lock.json (node_modules/jest)') });
    writeFileSync(lock, before);
  });
});
