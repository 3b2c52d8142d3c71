// Gets what a command needs and is not there yet. Runs before node_modules exists, so it uses Node alone.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

const lockedPackages = (file) => JSON.parse(readFileSync(join(root, file), 'utf8')).packages;

/** Why node_modules cannot be used as it is; undefined if it can. */
function whatIsMissing() {
  const installedList = 'node_modules/.package-lock.json';
  if (!existsSync(join(root, installedList))) return 'node_modules is absent';
  const installed = lockedPackages(installedList);
  // Compared by content: git gives every file of a checkout a new time, so times would order a reinstall without need.
  for (const [path, wanted] of Object.entries(lockedPackages('package-lock.json'))) {
    // What stands outside of node_modules is a workspace: present or not, npm does not fetch it.
    if (!path.includes('node_modules/')) continue;
    const found = installed[path];
    const mayBeAbsent = wanted.optional === true || wanted.devOptional === true || wanted.peer === true
      || (wanted.link === true && !existsSync(join(root, wanted.resolved)));
    if (found === undefined ? !mayBeAbsent : found.version !== wanted.version) return `node_modules is older than package-lock.json (${path})`;
  }
  return undefined;
}

function run(command, args, env = {}, cwd = root) {
  const { status, error } = spawnSync(command, args, {
    cwd, stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, ...env },
  });
  if (error !== undefined) throw new Error(`${command} cannot be run: ${error.message}`);
  if (status !== 0) throw new Error(`${[command, ...args].join(' ')} failed with status ${status}`);
}

/** Installs the npm packages of package-lock.json unless they are there. */
export function ensurePackages({ mayInstall = true } = {}) {
  const missing = whatIsMissing();
  if (missing === undefined) return;
  if (!mayInstall) throw new Error(`${missing}; --no-install was given. Run: npm ci`);
  console.log(`${missing}: fetching the npm packages (npm ci), about a minute`);
  run('npm', ['ci', '--no-fund', '--no-audit', '--loglevel=error']);
}

const isOnPath = (name, path = process.env.PATH ?? '') => path.split(delimiter).some((folder) => {
  try {
    accessSync(join(folder, name), constants.X_OK);
    return true;
  } catch {
    return false;
  }
});

/** Installs a package of Debian; only root may, others are told the command. `need`: who needs it, as the begin of a sentence. */
function installDebian(name, need, mayInstall) {
  const command = `apt-get install -y --no-install-recommends ${name}`;
  const reason = !mayInstall ? '--no-install was given'
    : process.getuid?.() !== 0 ? 'only root may install it'
      : !isOnPath('apt-get') ? 'there is no apt-get' : undefined;
  if (reason !== undefined) throw new Error(`${need}, and ${reason}. Run as root: ${command}`);
  console.log(`${need}: installing Debian's (${command})`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  // Somebody else may be installing something at the moment.
  const apt = (...args) => run('apt-get', ['-q', '-o', 'DPkg::Lock::Timeout=600', ...args], env);
  apt('update');
  apt('install', '-y', '--no-install-recommends', name);
}

/** Does `install` on a machine whose package manager starts no service meanwhile, unless the machine has a rule of its own for that. */
function withoutStarting(install) {
  const policy = '/usr/sbin/policy-rc.d';
  const isOurs = process.getuid?.() === 0 && !existsSync(policy);
  if (isOurs) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755, flag: 'wx' });
  try {
    install();
  } finally {
    if (isOurs) rmSync(policy);
  }
}

/** Installs Debian's chromium unless there is one. */
export function ensureChromium({ mayInstall = true } = {}) {
  if (!isOnPath('chromium')) installDebian('chromium', "The shop's browser test needs chromium on the PATH", mayInstall);
}

/** What the store takes, and what its tests take: they use commands that came later. */
const OLDEST_REDIS = [6, 2];
export const OLDEST_REDIS_FOR_TESTS = [7, 0];

/** The version of the redis-server on the PATH, such as 7.0.15; undefined: there is none. */
function redisVersion() {
  if (!isOnPath('redis-server')) return undefined;
  const { stdout, error } = spawnSync('redis-server', ['--version'], { encoding: 'utf8' });
  const version = /\bv=([\d.]+)/.exec(stdout ?? '')?.[1];
  if (version === undefined) throw new Error(`redis-server --version: expected v=, found ${error?.message ?? JSON.stringify(stdout)}`);
  return version;
}

/** Installs Debian's redis-server unless there is one, and sees that it is not too old. Starts nothing. */
export function ensureRedis({ mayInstall = true, oldest = OLDEST_REDIS } = {}) {
  const need = 'To start a Redis takes redis-server on the PATH';
  if (!isOnPath('redis-server')) withoutStarting(() => installDebian('redis-server', need, mayInstall));
  const version = redisVersion();
  if (version === undefined) throw new Error(`${need}; it was installed, and is not there`);
  const [major, minor] = version.split('.').map(Number);
  if (major < oldest[0] || (major === oldest[0] && minor < oldest[1])) {
    throw new Error(`redis-server: expected version ${oldest.join('.')} or newer, found ${version}. Put a newer one first on the PATH`);
  }
  return version;
}

const NATS_MODULE = 'github.com/nats-io/nats-server/v2';
const NATS_VERSION = '2.15.2';
/** Outside of the checkout, so that everything is fetched and built once per machine and user. */
const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'cluster-services');
const natsFolder = join(cache, `nats-server-${NATS_VERSION}`);
/** Where the current NATS server is once it was built. */
export const builtNats = join(natsFolder, 'nats-server');

/** Installs Debian's nats-server unless there is one, and builds the current one where Go is. Starts nothing. Resolves to their versions. */
export function ensureNats({ mayInstall = true } = {}) {
  const isThere = () => isOnPath('nats-server', `${process.env.PATH ?? ''}${delimiter}/usr/sbin`);
  if (!isThere()) withoutStarting(() => installDebian('nats-server', 'To start a NATS server takes nats-server on the PATH or in /usr/sbin', mayInstall));
  if (!existsSync(builtNats) && isOnPath('go') && mayInstall) {
    console.log(`building nats-server ${NATS_VERSION} (go install), about a minute`);
    mkdirSync(natsFolder, { recursive: true });
    run('go', ['install', `${NATS_MODULE}@v${NATS_VERSION}`], { GOBIN: natsFolder, GOFLAGS: '' });
  }
  const path = [process.env.PATH, '/usr/sbin'].join(delimiter);
  return ['nats-server', ...existsSync(builtNats) ? [builtNats] : []].map((command) => {
    const { stdout, error } = spawnSync(command, ['--version'], { encoding: 'utf8', env: { ...process.env, PATH: path } });
    const version = /\bv([\d.]+)/.exec(stdout ?? '')?.[1];
    if (version === undefined) throw new Error(`${command} --version: expected a version, found ${error?.message ?? JSON.stringify(stdout)}`);
    return version;
  });
}

const KAFKA_VERSION = '4.4.0';
const OLDEST_JAVA = 17;
/** Where the jars of Kafka are once they were fetched, under `libs`, and the archive that lets it start quickly. */
export const kafkaFolder = join(cache, `kafka-${KAFKA_VERSION}`);
/** What a broker that compresses nothing and has no tokens can do without; the first one is not to be had. */
const WITHOUT = [
  'org.apache.kafka:kafka-tools-api', 'com.github.luben:zstd-jni', 'org.xerial.snappy:snappy-java', 'at.yawk.lz4:lz4-java', 'org.scala-lang:scala-reflect',
  'org.bitbucket.b_c:jose4j', 'commons-beanutils:commons-beanutils', 'commons-digester:commons-digester', 'commons-collections:commons-collections',
];
const artifact = (name) => name.split(':').map((text, at) => `<${ARTIFACT[at]}>${text}</${ARTIFACT[at]}>`).join('');
const ARTIFACT = ['groupId', 'artifactId', 'version'];
const KAFKA_POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  ${artifact('cluster:kafka:1')}
  <dependencies>
    <dependency>${artifact(`org.apache.kafka:kafka_2.13:${KAFKA_VERSION}`)}
      <exclusions>${WITHOUT.map((name) => `<exclusion>${artifact(name)}</exclusion>`).join('')}</exclusions>
    </dependency>
    <dependency>${artifact('org.slf4j:slf4j-nop:1.7.36')}</dependency>
  </dependencies>
</project>
`;

/** Fetches Kafka by Maven unless it is there, and sees that there is a Java for it. Starts nothing. Resolves to its version. */
export function ensureKafka({ mayInstall = true } = {}) {
  const need = `To start a Kafka takes Java ${OLDEST_JAVA} or newer on the PATH`;
  if (!isOnPath('java')) installDebian(`openjdk-${OLDEST_JAVA}-jre-headless`, need, mayInstall);
  const { stderr } = spawnSync('java', ['-version'], { encoding: 'utf8' });
  const java = Number(/version "(\d+)/.exec(stderr ?? '')?.[1]);
  if (!(java >= OLDEST_JAVA)) throw new Error(`${need}, found ${JSON.stringify(stderr?.split('\n')[0])}. Put a newer one first on the PATH`);
  if (!existsSync(join(kafkaFolder, 'libs'))) fetchKafka(mayInstall);
  return KAFKA_VERSION;
}

function fetchKafka(mayInstall) {
  if (!mayInstall) throw new Error(`To start a Kafka takes its jars in ${kafkaFolder}, and --no-install was given. Run: npm run services -- ensure`);
  if (!isOnPath('mvn')) installDebian('maven', 'To fetch Kafka takes Maven (mvn) on the PATH', mayInstall);
  console.log(`fetching Kafka ${KAFKA_VERSION} (mvn dependency:copy-dependencies), 29 MiB`);
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, 'fetching-'));
  try {
    writeFileSync(join(folder, 'pom.xml'), KAFKA_POM);
    run('mvn', ['-B', '-q', 'dependency:copy-dependencies', '-DincludeScope=runtime', '-DoutputDirectory=libs'], {}, folder);
    if (!existsSync(kafkaFolder)) renameSync(folder, kafkaFolder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Of Debian. The one on the PATH is for root, and for the system's own service. */
export const rabbitScript = '/usr/lib/rabbitmq/bin/rabbitmq-server';
const OLDEST_RABBIT = [3, 10];

/** Installs Debian's rabbitmq-server unless it is there, and sees that it is not too old. Starts nothing. */
export function ensureRabbit({ mayInstall = true } = {}) {
  if (!existsSync(rabbitScript)) withoutStarting(() => installDebian('rabbitmq-server', `To start a RabbitMQ takes ${rabbitScript}`, mayInstall));
  const { stdout, error } = spawnSync('/usr/bin/dpkg-query', ['--show', '--showformat=${Version}', 'rabbitmq-server'], { encoding: 'utf8' });
  const version = /^[\d.]+/.exec(stdout ?? '')?.[0];
  if (version === undefined) throw new Error(`the version of rabbitmq-server: expected a number, found ${error?.message ?? JSON.stringify(stdout)}`);
  const [major, minor] = version.split('.').map(Number);
  if (major < OLDEST_RABBIT[0] || (major === OLDEST_RABBIT[0] && minor < OLDEST_RABBIT[1])) {
    throw new Error(`rabbitmq-server: expected version ${OLDEST_RABBIT.join('.')} or newer, found ${version}`);
  }
  return version;
}
