import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { text } from 'node:stream/consumers';
import { once } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import { mapContents, tableContents } from '../src/test-driver.js';
import { storeContents } from '../src/test-store.js';

const repository = fileURLToPath(new URL('../../../', import.meta.url));
const fileOf = (name: string) => `packages/conformance/test/runners/${name}.ts`;
const overSources = ['--conditions=@cluster/source', '--import', './scripts/ts-register.mjs'];

/** How each runner is called by hand, with its ordinary way of telling what happened. */
const commands: Readonly<Record<string, readonly string[]>> = {
  'node:test': [...overSources, '--test-reporter=spec', fileOf('node-test')],
  mocha: [...overSources, 'node_modules/mocha/bin/mocha.js', fileOf('mocha')],
  jest: ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js', '--testMatch', `**/${fileOf('jest')}`],
};
/** What it prints in the end of tests that passed, were skipped and failed. */
const counted: Readonly<Record<string, (passed: number, skipped: number, failed: number) => readonly string[]>> = {
  'node:test': (passed, skipped, failed) => [`ℹ pass ${passed}\n`, `ℹ skipped ${skipped}\n`, `ℹ fail ${failed}\n`],
  mocha: (passed, skipped, failed) => [`${passed} passing`, `${skipped} pending`, failed === 0 ? '' : `${failed} failing`],
  jest: (passed, skipped, failed) => [`Tests:       ${failed === 0 ? '' : `${failed} failed, `}${skipped} skipped, ${passed} passed, `],
};

async function run(name: string, subject: string): Promise<{ status: number | null; printed: string }> {
  // A runner that is told that it is run by another one reports to that one.
  const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: '1', KIT_SUBJECT: subject };
  delete env.NODE_TEST_CONTEXT;
  const child = spawn(process.execPath, commands[name] ?? [], { cwd: repository, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  return { status: child.exitCode, printed: stdout + stderr };
}

describe.each(Object.keys(commands))('the kit under %s', (name) => {
  const skips = 14;

  it('runs every clause, prints what was skipped and why, and lets the process end', async () => {
    const { status, printed } = await run(name, 'sound');
    const tests = mapContents.length + tableContents.length + storeContents.length + 3;
    for (const line of counted[name]?.(tests - skips, skips, 0) ?? []) expect(printed).toContain(line);
    expect(printed.split('signal reaches its own instance (skipped: the map has no signals)')).toHaveLength(3);
    expect(status).toBe(0);
  }, 70_000);

  it('fails with a driver that breaks a rule, and says what is wrong', async () => {
    const { status, printed } = await run(name, 'broken');
    expect(status).not.toBe(0);
    expect(printed).toContain('an update of an absent or expired key is refused');
    expect(printed).toContain('the answer for an absent key');
  }, 70_000);
});
