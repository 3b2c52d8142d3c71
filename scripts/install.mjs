// Gets what a command needs and is not there yet. Runs before node_modules exists, so it uses Node alone.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
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

function run(command, args, env = {}) {
  const { status, error } = spawnSync(command, args, {
    cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, ...env },
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

const isOnPath = (name) => (process.env.PATH ?? '').split(delimiter).some((folder) => {
  try {
    accessSync(join(folder, name), constants.X_OK);
    return true;
  } catch {
    return false;
  }
});

/** Installs Debian's chromium unless there is one; only root may, others are told the command. */
export function ensureChromium({ mayInstall = true } = {}) {
  if (isOnPath('chromium')) return;
  const command = 'apt-get install -y --no-install-recommends chromium';
  const reason = !mayInstall ? '--no-install was given'
    : process.getuid?.() !== 0 ? 'only root may install it'
      : !isOnPath('apt-get') ? 'there is no apt-get' : undefined;
  if (reason !== undefined) throw new Error(`The shop's browser test needs chromium on the PATH, and ${reason}. Run as root: ${command}`);
  console.log(`The shop's browser test needs chromium: installing Debian's (${command})`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  run('apt-get', ['update', '-q'], env);
  run('apt-get', ['install', '-q', '-y', '--no-install-recommends', 'chromium'], env);
}
