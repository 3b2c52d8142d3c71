// npm run services -- ensure [--no-install] | up redis [--aof | --sentinel | --cluster] | up nats [--cluster] | up kafka [--cluster] | up rabbitmq [--cluster] | down: the servers that the tests talk to.
import { ensureKafka, ensureNats, ensurePackages, ensureRabbit, ensureRedis, OLDEST_REDIS_FOR_TESTS } from './install.mjs';

const USAGE = `usage: npm run services -- <command>
  ensure [--no-install]                          what the tests need is installed (Debian, as root) and not too old
  up redis [--aof | --sentinel | --cluster]      starts it on free ports of 127.0.0.1 until Ctrl-C or down; nothing is left behind
  up nats [--cluster]                            the same: one server, or three that replicate
  up kafka [--cluster]                           the same, with Java; the first time Maven fetches it
  up rabbitmq [--cluster]                        the same, with Debian's RabbitMQ
  down                                           ends what every up in this checkout has started`;

const ensureOf = { redis: ensureRedis, nats: ensureNats, kafka: ensureKafka, rabbitmq: ensureRabbit };

async function main([command, ...rest]) {
  const options = new Set(rest);
  const isAmong = (...known) => rest.every((each) => known.includes(each));
  if (command === 'ensure' && isAmong('--no-install')) {
    const mayInstall = !options.has('--no-install');
    console.log(`redis-server ${ensureRedis({ mayInstall, oldest: OLDEST_REDIS_FOR_TESTS })}`);
    console.log(`nats-server ${ensureNats({ mayInstall }).join(' and ')}`);
    console.log(`kafka ${ensureKafka({ mayInstall })}`);
    console.log(`rabbitmq-server ${ensureRabbit({ mayInstall })}`);
    return;
  }
  const server = rest[0];
  const kinds = (server === 'redis' ? ['--aof', '--sentinel', '--cluster'] : ['--cluster']).filter((kind) => options.has(kind));
  const isUp = command === 'up' && Object.hasOwn(ensureOf, server ?? '') && isAmong(server, ...kinds) && kinds.length <= 1;
  if (!isUp && (command !== 'down' || rest.length > 0)) throw new Error(USAGE);
  ensurePackages();
  await import('tsx');
  const { up, down } = await import('./services/up.ts');
  if (!isUp) return down();
  ensureOf[server]();
  await up(server, kinds[0]?.slice(2) ?? 'single');
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
