// npm test [-- [unit ...] [--no-install]]: every check in order, or the tests of single packages and examples.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { ensureChromium, ensureNats, ensurePackages, ensureRedis, root } from './install.mjs';

const args = process.argv.slice(2);
const mayInstall = !args.includes('--no-install');
const wanted = args.filter((arg) => arg !== '--no-install');
const totals = { passed: 0, failed: 0, skipped: 0 };

const isFolder = (entry) => entry.isDirectory();
const foldersOf = (name) => existsSync(join(root, name))
  ? readdirSync(join(root, name), { withFileTypes: true }).filter(isFolder).map((entry) => `${name}/${entry.name}`) : [];
const units = new Map([...foldersOf('packages'), ...foldersOf('examples'), 'simulation'].map((folder) => [folder.split('/').at(-1), folder]));

function node(...command) {
  const { status } = spawnSync(process.execPath, command, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw new Error(`exited with status ${status}`);
}

/** The reason of a clause that the conformance kit skipped since its subject declares that it cannot do this; undefined: another skip. */
const declaredReason = ({ status, ancestorTitles, title }) =>
  (status === 'pending' && /^as a /.test(ancestorTitles.at(-1) ?? '') ? / \(skipped: (.+)\)$/.exec(title)?.[1] : undefined);

/** Prints what the kit skipped, by file and reason; throws if a test was skipped in any other way. */
function reportSkipped(testResults) {
  const others = [];
  for (const { name, assertionResults } of testResults) {
    const reasons = new Map();
    for (const test of assertionResults.filter(({ status }) => status === 'pending' || status === 'todo')) {
      const reason = declaredReason(test);
      if (reason === undefined) others.push(test.fullName);
      else reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
    for (const [reason, count] of reasons) {
      console.log(`${relative(root, name)}: ${count} clauses skipped: ${reason}`);
      totals.skipped += count;
    }
  }
  if (others.length > 0) throw new Error(`${others.length} tests were skipped:\n  ${others.join('\n  ')}`);
}

/** Runs the test files that match and adds their counts; a run without a test fails, and one with a skip that the kit did not declare. */
function jest(...options) {
  const folder = mkdtempSync(join(tmpdir(), 'cluster-test-'));
  const report = join(folder, 'report.json');
  try {
    const { status } = spawnSync(process.execPath, [
      '--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js',
      '--json', `--outputFile=${report}`, ...options,
    ], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
    if (!existsSync(report)) throw new Error('jest ended without a report');
    const result = JSON.parse(readFileSync(report, 'utf8'));
    totals.passed += result.numPassedTests;
    totals.failed += result.numFailedTests + result.numRuntimeErrorTestSuites;
    const skipped = result.numPendingTests + result.numTodoTests;
    if (result.numTotalTests === skipped) throw new Error('no test was executed');
    if (status !== 0) throw new Error(`jest exited with status ${status}`);
    reportSkipped(result.testResults);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const under = (path) => `^${root.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}/${path}`;
const conformance = '(^|/)packages/(conformance/|[^/]+/test/conformance)';
const shop = 'examples/shop';

function types() {
  node('node_modules/typescript/bin/tsc', '--build');
  const alone = ['bench', 'simulation'].filter((name) => existsSync(join(root, name)));
  for (const project of ['tsconfig.test.json', ...foldersOf('examples'), ...alone]) node('node_modules/typescript/bin/tsc', '--project', project);
}

/** Whether a package or example is this store or uses it. */
const uses = (folder, store) => {
  const manifest = join(root, folder, 'package.json');
  return existsSync(manifest) && readFileSync(manifest, 'utf8').includes(`"@cluster/${store}"`);
};
const redis = () => console.log(`redis-server ${ensureRedis({ mayInstall })}`);
const nats = () => console.log(`nats-server ${ensureNats({ mayInstall }).join(' and ')}`);

function tests(folder) {
  if (folder === shop) ensureChromium({ mayInstall });
  if (uses(folder, 'store-redis')) redis();
  if (uses(folder, 'store-nats')) nats();
  jest(under(`${folder}/`));
}

const everything = [
  ['services', () => {
    redis();
    nats();
    jest(under('test/services'));
  }],
  ['lint', () => node('node_modules/eslint/bin/eslint.js', '--max-warnings=0', '--cache', '--cache-location=node_modules/.cache/eslint/', '.')],
  ['types', types],
  ['architecture', () => jest(under('test/(architecture|commands|packages|public-names)'))],
  ['unit', () => jest(under('packages/'), `--testPathIgnorePatterns=${conformance}`)],
  ['conformance', () => jest(conformance)],
  ['simulation', () => jest(under('simulation/'))],
  ['examples', () => {
    if (existsSync(join(root, shop))) ensureChromium({ mayInstall });
    jest(under('examples/'));
  }],
  ['docs', () => {
    jest(under('test/docs'));
    node('--conditions=@cluster/source', '--import', './scripts/ts-register.mjs', 'scripts/gen-docs.ts');
  }],
];

function chosenSteps() {
  if (wanted.length === 0) return everything;
  return wanted.map((name) => {
    const folder = units.get(name);
    if (folder === undefined) throw new Error(`no package or example is called ${name}; there are ${[...units.keys()].join(', ')}`);
    return [name, () => tests(folder)];
  });
}

function step(name, work) {
  console.log(`\n== ${name}`);
  const start = performance.now();
  const seconds = () => `${((performance.now() - start) / 1000).toFixed(1)} s`;
  const failedBefore = totals.failed;
  try {
    work();
    console.log(`== ${name} passed, ${seconds()}`);
    return true;
  } catch (error) {
    console.log(`== ${name} failed, ${seconds()}: ${error.message}`);
    // A failed step counts even where no test says so: lint, types, a run without a test.
    if (totals.failed === failedBefore) totals.failed += 1;
    return false;
  }
}

let passed = false;
try {
  const steps = [['npm packages', () => { ensurePackages({ mayInstall }); }], ...chosenSteps()];
  passed = steps.every(([name, work]) => step(name, work));
} catch (error) {
  console.log(error.message);
  totals.failed += 1;
}
if (totals.skipped > 0) console.log(`\n${totals.skipped} clauses of the conformance kit skipped, for the reasons above`);
console.log(`\n${totals.passed} passed, ${totals.failed} failed`);
process.exitCode = passed && totals.passed > 0 ? 0 : 1;
