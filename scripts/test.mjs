// npm test [-- [unit ...] [--no-install]]: every check in order, or the tests of single packages and examples.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { constants, setPriority, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { ensureChromium, ensureKafka, ensureNats, ensurePackages, ensureRabbit, ensureRedis, OLDEST_REDIS_FOR_TESTS, root } from './install.mjs';

const args = process.argv.slice(2);
const mayInstall = !args.includes('--no-install');
const wanted = args.filter((arg) => arg !== '--no-install');
const totals = { passed: 0, failed: 0, skipped: 0 };

const isFolder = (entry) => entry.isDirectory();
const foldersOf = (name) => existsSync(join(root, name))
  ? readdirSync(join(root, name), { withFileTypes: true }).filter(isFolder).map((entry) => `${name}/${entry.name}`) : [];
const units = new Map([...foldersOf('packages'), ...foldersOf('examples'), 'simulation'].map((folder) => [folder.split('/').at(-1), folder]));

const secondsSince = (startMs) => `${((performance.now() - startMs) / 1000).toFixed(1)} s`;

/** Runs a program where nothing else wants the processor; what it said is printed when it has ended. Resolves to whether it passed. */
async function computed(name, ...command) {
  const startMs = performance.now();
  const child = spawn(process.execPath, command, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  setPriority(child.pid, constants.priority.PRIORITY_LOW);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { said += text; });
  const [status, signal] = await once(child, 'close');
  const outcome = status === 0 ? 'passed' : `ended with ${signal ?? `status ${status}`}`;
  console.log(`-- ${name} ${outcome}, ${secondsSince(startMs)}\n${said}`.trimEnd());
  return status === 0;
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

/** Prints which files took longest: they set the time of a run. */
function reportLongest(testResults) {
  const files = testResults.map(({ name, startTime, endTime }) => ({ name, seconds: (endTime - startTime) / 1000 }));
  const longest = files.filter(({ seconds }) => seconds > 10).sort((one, other) => other.seconds - one.seconds).slice(0, 10);
  for (const { name, seconds } of longest) console.log(`${relative(root, name)}: ${seconds.toFixed(1)} s`);
}

/** Runs the test files that match and adds their counts; a run without a test fails, and one with a skip that the kit did not declare. */
async function jest(...options) {
  const folder = mkdtempSync(join(tmpdir(), 'cluster-test-'));
  const report = join(folder, 'report.json');
  try {
    const child = spawn(process.execPath, [
      '--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js',
      '--json', `--outputFile=${report}`, ...options,
    ], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
    const [status] = await once(child, 'close');
    if (!existsSync(report)) throw new Error('jest ended without a report');
    const result = JSON.parse(readFileSync(report, 'utf8'));
    totals.passed += result.numPassedTests;
    totals.failed += result.numFailedTests + result.numRuntimeErrorTestSuites;
    const skipped = result.numPendingTests + result.numTodoTests;
    if (result.numTotalTests === skipped) throw new Error('no test was executed');
    reportLongest(result.testResults);
    if (status !== 0) throw new Error(`jest exited with status ${status}`);
    reportSkipped(result.testResults);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const exactly = (path) => path.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const under = (path) => `^${exactly(root)}/${path}`;
const shop = 'examples/shop';
const tsc = 'node_modules/typescript/bin/tsc';

/** What only computes; the site is made of what the build wrote. All are run, also when one fails. */
async function checks() {
  const alone = ['bench', 'simulation'].filter((name) => existsSync(join(root, name)));
  const failed = [];
  for (const [name, ...command] of [
    ['build', tsc, '--build'],
    ...['tsconfig.test.json', ...foldersOf('examples'), ...alone].map((project) => [`types of ${project}`, tsc, '--project', project]),
    ['lint', 'node_modules/eslint/bin/eslint.js', '--max-warnings=0', '--cache', '--cache-location=node_modules/.cache/eslint/', '.'],
    ['site', '--conditions=@cluster/source', '--import', './scripts/ts-register.mjs', 'scripts/gen-docs.ts', '--site'],
  ]) if (!await computed(name, ...command)) failed.push(name);
  if (failed.length > 0) throw new Error(`${failed.join(', ')} failed`);
}

/** The files that start processes of a store and hold them to bounds of time; they wait for most of it. */
const processSuites = () => [...foldersOf('packages'), ...foldersOf('examples')].map((folder) => join(root, folder, 'test')).filter(existsSync)
  .flatMap((folder) => readdirSync(folder).filter((name) => name.endsWith('.test.ts')).map((name) => join(folder, name)))
  .filter((file) => readFileSync(file, 'utf8').includes('testProcesses('));

/**
 * The suites of processes one after the other, and beside them what only computes, at a low priority, and then all other tests, in
 * one run so that none is left out. Both are heard to their end.
 */
async function checksAndTests() {
  const suites = processSuites();
  const others = async () => {
    await checks();
    await jest(...suites.map((file) => `--testPathIgnorePatterns=^${exactly(file)}$`));
  };
  const outcomes = await Promise.allSettled([suites.length > 0 && jest('--maxWorkers=1', '--runTestsByPath', ...suites), others()]);
  const reasons = outcomes.flatMap(({ reason }) => reason?.message ?? []);
  if (reasons.length > 0) throw new Error(reasons.join('; '));
}

/** Whether a package or example is this store or uses it. */
const uses = (folder, store) => {
  const manifest = join(root, folder, 'package.json');
  return existsSync(manifest) && readFileSync(manifest, 'utf8').includes(`"@cluster/${store}"`);
};
const redis = () => console.log(`redis-server ${ensureRedis({ mayInstall, oldest: OLDEST_REDIS_FOR_TESTS })}`);
const kafka = () => console.log(`kafka ${ensureKafka({ mayInstall })}`);
const rabbit = () => console.log(`rabbitmq-server ${ensureRabbit({ mayInstall })}`);
const nats = () => console.log(`nats-server ${ensureNats({ mayInstall }).join(' and ')}`);

function tests(folder) {
  if (folder === shop) ensureChromium({ mayInstall });
  if (uses(folder, 'store-redis')) redis();
  if (uses(folder, 'store-nats')) nats();
  if (uses(folder, 'store-kafka')) kafka();
  if (uses(folder, 'store-rabbitmq')) rabbit();
  return jest(under(`${folder}/`));
}

const everything = [
  ['services', () => {
    redis();
    nats();
    kafka();
    rabbit();
    if (existsSync(join(root, shop))) ensureChromium({ mayInstall });
  }],
  ['checks and tests', checksAndTests],
];

function chosenSteps() {
  if (wanted.length === 0) return everything;
  return wanted.map((name) => {
    const folder = units.get(name);
    if (folder === undefined) throw new Error(`no package or example is called ${name}; there are ${[...units.keys()].join(', ')}`);
    return [name, () => tests(folder)];
  });
}

async function step(name, work) {
  console.log(`\n== ${name}`);
  const startMs = performance.now();
  const failedBefore = totals.failed;
  try {
    await work();
    console.log(`== ${name} passed, ${secondsSince(startMs)}`);
    return true;
  } catch (error) {
    console.log(`== ${name} failed, ${secondsSince(startMs)}: ${error.message}`);
    // A failed step counts even where no test says so: lint, types, a run without a test.
    if (totals.failed === failedBefore) totals.failed += 1;
    return false;
  }
}

let passed = false;
try {
  const steps = [['npm packages', () => { ensurePackages({ mayInstall }); }], ...chosenSteps()];
  passed = true;
  for (const [name, work] of steps) passed = passed && await step(name, work);
} catch (error) {
  console.log(error.message);
  totals.failed += 1;
}
if (totals.skipped > 0) console.log(`\n${totals.skipped} clauses of the conformance kit skipped, for the reasons above`);
console.log(`\n${totals.passed} passed, ${totals.failed} failed`);
process.exitCode = passed && totals.passed > 0 ? 0 : 1;
