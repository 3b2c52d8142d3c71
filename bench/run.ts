// npm run bench -- NAME [COUNT] [--write]: runs one of the loads below and prints its table; --write puts it into docs/benchmarks.md.
import { contended } from './loads/contended.js';
import { core } from './loads/core.js';
import { heldWrite } from './loads/held-write.js';
import { http } from './loads/http.js';
import { leaderKill } from './loads/leader-kill.js';
import { natsSync } from './loads/nats-sync.js';
import { newcomer } from './loads/newcomer.js';
import { page } from './loads/page.js';
import { passivation } from './loads/passivation.js';
import { redis } from './loads/redis.js';
import { redisHeld } from './loads/redis-held.js';
import { takeOver } from './loads/take-over.js';

const loads: Readonly<Record<string, (args: readonly string[], writes: boolean) => Promise<boolean>>> = {
  contended, core, 'held-write': heldWrite, http, 'leader-kill': leaderKill, 'nats-sync': natsSync, newcomer, page, passivation, redis, 'redis-held': redisHeld, 'take-over': takeOver,
};

const [name = '', ...rest] = process.argv.slice(2);
const args = rest.filter((arg) => arg !== '--write');
const load = loads[name];
if (load === undefined) {
  console.error(`expected one of ${Object.keys(loads).join(', ')}, found '${name}'`);
  process.exitCode = 1;
} else if (!await load(args, args.length < rest.length)) {
  process.exitCode = 1;
}
