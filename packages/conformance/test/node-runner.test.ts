import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { mapContents, tableContents } from '../src/test-driver.js';

const loader = new URL('../../../scripts/ts-register.mjs', import.meta.url).href;
const kit = fileURLToPath(new URL('./node-runner/kit.ts', import.meta.url));

describe('the kit under node:test', () => {
  it('runs every clause, in real time', async () => {
    // A runner that is told that it is run by another one reports to that one.
    const env = { ...process.env };
    delete env.NODE_TEST_CONTEXT;
    const { stdout } = await promisify(execFile)(process.execPath, ['--conditions=@cluster/source', '--import', loader, '--test-reporter=tap', kit], { env, timeout: 60_000 });
    const tests = mapContents.length + tableContents.length + 2;
    expect(stdout).toContain(`# tests ${tests}\n`);
    expect(stdout).toContain(`# pass ${tests}\n`);
    expect(stdout).toContain('# fail 0\n');
  }, 70_000);
});
