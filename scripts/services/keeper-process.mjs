// Runs servers for the process that forked it. When that process is gone, however it ended, so are its servers and their folders.
import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = mkdtempSync(join(tmpdir(), 'cluster-services-'));
const servers = new Map();

// The channel may close at any moment.
const tell = (message) => { if (process.connected) process.send(message, () => undefined); };

/** Starts a server whose output goes to the file `log` of its folder. */
function start({ call, folder, command, args, env }) {
  const log = openSync(join(folder, 'log'), 'a');
  const server = spawn(command, args, { cwd: folder, env: { ...process.env, ...env }, stdio: ['ignore', log, log] });
  closeSync(log);
  server.once('error', (error) => { tell({ call, error: error.message }); });
  server.once('spawn', () => {
    servers.set(server.pid, server);
    tell({ call, pid: server.pid });
  });
  server.once('exit', (status, signal) => {
    servers.delete(server.pid);
    tell({ ended: server.pid, how: signal ?? `status ${status}` });
    if (ending) finish();
  });
}

/** Only what was started here is ever signalled: a pid whose server has ended may be anybody's. */
function signal({ call, pid, name }) {
  const server = servers.get(pid);
  const answer = () => tell({ call, pid, sent: server !== undefined });
  server?.kill(name);
  if (name === 'SIGKILL') server?.once('exit', answer);
  if (name !== 'SIGKILL' || server === undefined) answer();
}

let ending = false;
function end() {
  ending = true;
  for (const server of servers.values()) server.kill('SIGKILL');
  finish();
}
function finish() {
  if (servers.size > 0) return;
  rmSync(root, { recursive: true, force: true });
  process.exit();
}

process.on('message', (message) => {
  if (ending) return;
  if (message.do === 'start') start(message);
  else signal(message);
});
process.once('disconnect', end);
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(name, end);
tell({ root });
