// npm start [-- --store redis|nats|kafka|rabbitmq [--url redis://...]]: the shop of examples/shop, from its sources.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { usage } from './start-options.mjs';
import { ensureKafka, ensureNats, ensurePackages, ensureRabbit, ensureRedis, root } from './install.mjs';

const args = process.argv.slice(2);
if (args.includes('--help') || args.includes('-h')) {
  console.log(usage);
  process.exit();
}
try {
  ensurePackages();
  const [, server] = /--store[= ](redis|nats|kafka|rabbitmq)\b/.exec(args.join(' ')) ?? [];
  const isGiven = args.some((arg) => arg.startsWith('--url'));
  if (server !== undefined && !isGiven) ({ redis: ensureRedis, nats: ensureNats, kafka: ensureKafka, rabbitmq: ensureRabbit })[server]();
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
const shop = spawn(process.execPath, [
  '--conditions=@cluster/source', '--import', './scripts/ts-register.mjs', 'examples/shop/main.ts', ...args,
], { cwd: root, stdio: 'inherit' });

for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT']) {
  process.on(signal, () => {
    // A terminal sends Ctrl-C to the whole process group: the shop has it already, a second one would cut its shutdown short.
    if (signal !== 'SIGINT' || !process.stdin.isTTY) shop.kill(signal);
  });
}
shop.on('exit', (status, signal) => { process.exitCode = status ?? 128 + constants.signals[signal]; });
