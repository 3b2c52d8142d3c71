// npm run bench -- NAME: runs one of the loads below and prints its table.
import { contended } from './loads/contended.js';
import { core } from './loads/core.js';
import { page } from './loads/page.js';

const loads: Readonly<Record<string, (args: readonly string[]) => Promise<boolean>>> = { contended, core, page };

const [name = '', ...args] = process.argv.slice(2);
const load = loads[name];
if (load === undefined) {
  console.error(`expected one of ${Object.keys(loads).join(', ')}, found '${name}'`);
  process.exitCode = 1;
} else if (!await load(args)) {
  process.exitCode = 1;
}
