import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly exports: Readonly<Record<string, unknown>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}
interface Packed { readonly filename: string; readonly files: readonly { readonly path: string }[] }

const repository = dirname(import.meta.dirname);
const folders = readdirSync(join(repository, 'packages')).map((name) => join(repository, 'packages', name));
// Written by npm init and read by npm: its shape is npm's to check.
const manifestOf = (folder: string) => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;

function run(command: string, args: readonly string[], cwd = repository): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 64 * 1_048_576 });
  if (status !== 0) throw new Error(`${[command, ...args].join(' ')} ended with ${status ?? 'a signal'}:\n${stdout}${stderr}`);
  return stdout;
}

/** Where Node finds a package for a module in `folder`. */
function installedFolder(name: string, folder: string): string {
  const candidate = join(folder, 'node_modules', name);
  if (existsSync(candidate)) return realpathSync(candidate);
  if (folder === dirname(folder)) throw new Error(`${name} is not installed`);
  return installedFolder(name, dirname(folder));
}

/** Unpacks the tarballs side by side, as npm would, with nothing else than what they declare. */
function installTarballs(project: string, tarballs: ReadonlyMap<string, string>): void {
  for (const [folder, tarball] of tarballs) {
    const { name, dependencies, peerDependencies } = manifestOf(folder);
    const target = join(project, 'node_modules', name);
    mkdirSync(target, { recursive: true });
    run('tar', ['-xzf', tarball, '-C', target, '--strip-components=1']);
    for (const needed of Object.keys({ ...dependencies, ...peerDependencies })) {
      const link = join(project, 'node_modules', needed);
      if (needed.startsWith('@cluster/') || existsSync(link)) continue;
      mkdirSync(dirname(link), { recursive: true });
      symlinkSync(installedFolder(needed, folder), link);
    }
  }
}

const sameIdentity = `
import { createRequire } from 'node:module';
const required = createRequire(import.meta.url)(process.argv[2]);
const imported = await import(process.argv[2]);
const names = Object.keys(imported);
for (const name of names) if (required[name] !== imported[name]) throw new Error(name + ' differs between import and require');
console.log(names.sort().join(' '));
`;

describe('what is published', () => {
  const work = mkdtempSync(join(tmpdir(), 'cluster-packages-'));
  const tarballs = new Map<string, string>();
  const contents = new Map<string, readonly string[]>();

  beforeAll(() => {
    // From nothing: what an earlier build left of a renamed file would be published.
    for (const folder of folders) rmSync(join(folder, 'dist'), { recursive: true, force: true });
    run(process.execPath, ['node_modules/typescript/bin/tsc', '--build', '--force']);
    for (const folder of folders) {
      // The answer of npm pack --json, one entry for the one package.
      const [packed] = JSON.parse(run('npm', ['pack', '--json', '--loglevel=error', '--pack-destination', work], folder)) as Packed[];
      if (packed === undefined) throw new Error(`npm pack said nothing about ${folder}`);
      tarballs.set(folder, join(work, packed.filename));
      contents.set(folder, packed.files.map(({ path }) => path));
    }
    installTarballs(work, tarballs);
    writeFileSync(join(work, 'same-identity.mjs'), sameIdentity);
  }, 180_000);
  afterAll(() => { rmSync(work, { recursive: true }); });

  const packages = folders.map((folder) => [manifestOf(folder).name, folder] as const);

  it.each(packages)('%s has the version of all', (_name, folder) => {
    const lerna = JSON.parse(readFileSync(join(repository, 'lerna.json'), 'utf8')) as { version: string };
    expect(manifestOf(folder).version).toBe(lerna.version);
  });

  it.each(packages)('%s contains dist, src, README and LICENSE, and no tests', (_name, folder) => {
    const paths = contents.get(folder) ?? [];
    const needed = ['LICENSE', 'README.md', 'package.json', 'dist/index.js', 'dist/index.d.ts', 'src/index.ts'];
    expect(needed.filter((path) => !paths.includes(path))).toEqual([]);
    expect(paths.filter((path) => !/^(dist|src)\/|^(LICENSE|README\.md|CHANGELOG\.md|package\.json)$/.test(path))).toEqual([]);
    expect(paths.filter((path) => /(^|\/)test\/|\.test\.|\.tsbuildinfo$/.test(path))).toEqual([]);
  });

  it.each(packages)('%s carries the licence of the repository', (_name, folder) => {
    expect(readFileSync(join(folder, 'LICENSE'), 'utf8')).toBe(readFileSync(join(repository, 'LICENSE'), 'utf8'));
  });

  it.each(packages)('%s passes publint', (_name, folder) => {
    expect(run(process.execPath, ['node_modules/publint/src/cli.js', 'run', tarballs.get(folder) ?? '', '--strict'])).toContain('All good');
  }, 30_000);

  it.each(packages)('%s passes attw', (_name, folder) => {
    run(process.execPath, ['node_modules/@arethetypeswrong/cli/dist/index.js', '--profile', 'esm-only', tarballs.get(folder) ?? '']);
  }, 60_000);

  const doors = packages.flatMap(([name, folder]) => Object.keys(manifestOf(folder).exports)
    .filter((path) => path !== './package.json').map((path) => name + path.slice(1)));

  it.each(doors)('%s is the same by import and by require', (door) => {
    expect(run(process.execPath, ['same-identity.mjs', door], work).trim()).not.toBe('');
  }, 30_000);

  it('type-checks in an application that checks the libraries too', () => {
    const types = join(work, 'node_modules/@types/node');
    mkdirSync(dirname(types), { recursive: true });
    if (!existsSync(types)) symlinkSync(installedFolder('@types/node', repository), types);
    const imports = doors.map((door, index) => `import * as door${index} from '${door}';\nexport { door${index} };`);
    writeFileSync(join(work, 'application.mts'), `${imports.join('\n')}\n`);
    run(process.execPath, [
      'node_modules/typescript/bin/tsc', '--noEmit', '--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false', '--target', 'es2022',
      '--module', 'nodenext', '--types', 'node', '--lib', 'es2023,esnext.disposable', '--ignoreConfig', join(work, 'application.mts'),
    ]);
  }, 60_000);
});
