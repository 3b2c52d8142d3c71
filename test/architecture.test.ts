import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { cruise } from 'dependency-cruiser';

/** What the sources of a package may import of the others. A package that is not named here has no layer and fails. */
const layers: Readonly<Record<string, readonly string[]>> = {
  core: [],
  conformance: ['core'],
  http: ['core'],
  'store-*': ['core'],
  fastify: ['http', 'core'],
  nestjs: ['http', 'core'],
};
/** What their tests may import as well; and `scripts/`, by path. Core stands alone. */
const testsMayImport = (name: string) => name === 'core' ? [] : ['core', 'conformance'];
/** What may start servers by `scripts/`. */
const maySeeScripts = /^(packages\/[^/]+\/test|examples|bench)\//;
/** Imported by nobody. */
const outermost = /^(examples|bench|simulation)$/;
const isOnInversifyDoor = (file: string) => /^packages\/[^/]+\/(src\/inversify\.ts|test\/)/.test(file);

interface Import { readonly from: string; readonly specifier: string; readonly to: string; readonly isBuiltin: boolean }
interface Manifest {
  readonly exports?: Readonly<Record<string, unknown>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

const repository = dirname(import.meta.dirname);
const layerOf = (name: string) => layers[name] ?? (name.startsWith('store-') ? layers['store-*'] : undefined);

/** `packages/core/src/x.ts` belongs to `packages/core`, `scripts/x.ts` to `scripts`. */
const ownerOf = (path: string) => /^(?:(?:packages|examples)\/[^/]+|[^/]+)/.exec(path)?.[0] ?? path;

async function importsUnder(root: string, folders: readonly string[]): Promise<Import[]> {
  const { output } = await cruise([...folders], {
    baseDir: root, doNotFollow: { path: 'node_modules' }, exclude: { path: '/(dist|fixtures)/' }, tsPreCompilationDeps: true,
  }, { conditionNames: ['@cluster/source', 'import', 'node', 'default'], extensions: ['.ts', '.mjs', '.js'] });
  if (typeof output === 'string') throw new Error(output);
  return output.modules.flatMap(({ source, dependencies }) => dependencies.map((dependency) => ({
    from: source, specifier: dependency.module, isBuiltin: dependency.coreModule,
    // A file that is missing is tsc's business; where it would be is ours.
    to: dependency.couldNotResolve && dependency.module.startsWith('.') ? join(dirname(source), dependency.module) : dependency.resolved,
  })));
}

const manifestOf = (root: string, name: string): Manifest =>
  // The fields named in Manifest are read by npm in the same way.
  JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8')) as Manifest;

function faultOfPackageImport(root: string, name: string, { from, specifier, isBuiltin }: Import): string | undefined {
  const [, imported, rest] = /^@cluster\/([^/]+)(.*)$/.exec(specifier) ?? [];
  const isTest = from.startsWith(`packages/${name}/test/`);
  if (imported !== undefined && imported !== name) {
    const allowed = [...layerOf(name) ?? [], ...isTest ? testsMayImport(name) : []];
    if (!allowed.includes(imported)) return `${from}: no arrow from ${name} to ${imported}`;
    const doors = manifestOf(root, imported).exports ?? {};
    return Object.keys(doors).includes(`.${rest ?? ''}`) ? undefined : `${from}: ${specifier} is no door`;
  }
  if (/^(inversify|reflect-metadata)$/.test(specifier) && !isOnInversifyDoor(from)) return `${from}: ${specifier} stays on the inversify door`;
  if (isTest || isBuiltin || imported === name) return undefined;
  const installed = specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/');
  const { dependencies, peerDependencies } = manifestOf(root, name);
  return installed in { ...dependencies, ...peerDependencies } ? undefined : `${from}: ${installed} is not declared`;
}

function faultOf(root: string, entry: Import): string | undefined {
  const owner = ownerOf(entry.from);
  const target = ownerOf(entry.to);
  const folder = target.split('/')[0] ?? '';
  if (target !== owner && outermost.test(folder)) return `${entry.from}: nobody imports ${target}`;
  if (entry.specifier.startsWith('.')) {
    const isService = target === 'scripts' && maySeeScripts.test(entry.from);
    return target === owner || isService ? undefined : `${entry.from}: deep import of ${entry.to}`;
  }
  return owner.startsWith('packages/') ? faultOfPackageImport(root, owner.slice('packages/'.length), entry) : undefined;
}

/** Everything that breaks the arrows below `root`, one line each. */
async function faultsUnder(root: string): Promise<string[]> {
  const names = readdirSync(join(root, 'packages'));
  const folders = readdirSync(root).filter((name) => name === 'packages' || name === 'scripts' || outermost.test(name));
  const homeless = names.filter((name) => layerOf(name) === undefined).map((name) => `packages/${name}: has no layer`);
  const faults = (await importsUnder(root, folders)).map((entry) => faultOf(root, entry));
  return [...homeless, ...faults.filter((fault) => fault !== undefined)].sort();
}

describe('the arrows between packages', () => {
  it('hold in this repository', async () => {
    expect(await faultsUnder(repository)).toEqual([]);
  });

  it('are read from the sources of every package', async () => {
    const owners = new Set((await importsUnder(repository, ['packages'])).map(({ from }) => ownerOf(from)));
    for (const name of readdirSync(join(repository, 'packages'))) expect(owners).toContain(`packages/${name}`);
  });
});

describe('planted faults', () => {
  let root: string;
  const files = {
    'packages/core/package.json': '{ "exports": { ".": "./src/index.ts" }, "dependencies": { "devalue": "*" } }',
    'packages/core/src/index.ts': "import 'devalue'; import 'inversify'; import type { A } from '@cluster/http'; import 'kafkajs';",
    'packages/core/src/inversify.ts': "import 'node:fs'; import './index.js';",
    'packages/http/package.json': '{ "exports": { ".": "./src/index.ts" } }',
    'packages/http/src/index.ts': "import '@cluster/core'; import '@cluster/core/src/index.js'; import '../../core/src/index.js';",
    'packages/store-a/package.json': '{ "exports": { ".": "./src/index.ts" } }',
    'packages/store-a/src/index.ts': "import '@cluster/store-b'; import '@cluster/conformance'; import '../../../examples/shop/cart.js'; import '../../../scripts/services.js';",
    'packages/store-a/test/a.test.ts': "import '@cluster/conformance'; import '../../../scripts/services.js'; import '@cluster/http';",
    'packages/conformance/package.json': '{ "exports": { ".": "./src/index.ts" } }',
    'packages/stray/package.json': '{}',
    'examples/shop/cart.ts': "import '@cluster/http'; import '../../scripts/services.js';",
    'scripts/services.ts': 'export {};',
  };

  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'cluster-arrows-'));
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), content);
    }
  });
  afterAll(() => { rmSync(root, { recursive: true }); });

  it('are all named', async () => {
    expect(await faultsUnder(root)).toEqual([
      'packages/core/src/index.ts: inversify stays on the inversify door',
      'packages/core/src/index.ts: kafkajs is not declared',
      'packages/core/src/index.ts: no arrow from core to http',
      'packages/http/src/index.ts: @cluster/core/src/index.js is no door',
      'packages/http/src/index.ts: deep import of packages/core/src/index.ts',
      'packages/store-a/src/index.ts: deep import of scripts/services.ts',
      'packages/store-a/src/index.ts: no arrow from store-a to conformance',
      'packages/store-a/src/index.ts: no arrow from store-a to store-b',
      'packages/store-a/src/index.ts: nobody imports examples/shop',
      'packages/store-a/test/a.test.ts: no arrow from store-a to http',
      'packages/stray: has no layer',
    ]);
  });
});
