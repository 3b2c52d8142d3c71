// npm run docs: writes the tables of docs/reference from the code, then builds the site.
// --check: only whether the tables are up to date; --site: only the site.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import type { OptionSpec } from '@cluster/core/driver';

interface ErrorRow { readonly status: number; readonly meaning: string; readonly remedy: string }
interface OptionTable { readonly name: string; readonly specs: Readonly<Record<string, OptionSpec<unknown>>> }

const root = dirname(import.meta.dirname);
const made = '<!-- Made by `npm run docs` from the code; change it there. -->\n';
// Outside of code a page may hold components: `<` would begin one.
const cell = (text: string) => text.split('`').map((part, index) => index % 2 === 0 ? part.replaceAll('<', '&lt;') : part).join('`').replaceAll('|', '\\|');
const table = (head: readonly string[], rows: readonly (readonly string[])[]) =>
  [head, head.map(() => '---'), ...rows].map((row) => `| ${row.map(cell).join(' | ')} |`).join('\n');

/** All the names that a package's module exports, and more than its doors let out. */
async function exportsOf(packageName: string, file: string): Promise<Readonly<Record<string, unknown>>> {
  const path = join(root, 'packages', packageName, 'src', file);
  // A module is an object of its exports.
  return existsSync(path) ? await import(pathToFileURL(path).href) as Readonly<Record<string, unknown>> : {};
}

const isSpecs = (value: unknown): value is OptionTable['specs'] => typeof value === 'object' && value !== null
  && Object.values(value).every((spec) => typeof spec === 'object' && spec !== null && 'accepts' in spec && 'meaning' in spec);

/** The option specs of a package: every const of src/options.ts whose name ends in `Options`. */
async function optionTablesOf(packageName: string): Promise<OptionTable[]> {
  return Object.entries(await exportsOf(packageName, 'options.ts'))
    .flatMap(([name, specs]) => name.endsWith('Options') && isSpecs(specs) ? [{ name, specs }] : []);
}

function shownDefault({ default: value, required }: OptionSpec<unknown>): string {
  if (required === true) return 'required';
  if (value === undefined) return 'none';
  const isObject = typeof value === 'object' && value !== null;
  if (isObject && Object.values(value).some((member) => typeof member === 'function')) return 'built in';
  return isObject && Object.keys(value).length === 0 ? 'none' : `\`${inspect(value, { breakLength: Infinity })}\``;
}

async function optionsPage(): Promise<string> {
  const sections: string[] = [];
  for (const packageName of readdirSync(join(root, 'packages')).sort()) {
    for (const { name, specs } of await optionTablesOf(packageName)) {
      const rows = Object.entries(specs)
        .map(([option, spec]) => [`\`${option}\``, shownDefault(spec), spec.meaning, spec.expected]);
      const title = name.charAt(0).toUpperCase() + name.slice(1);
      sections.push(`## ${title}\n\nOf \`@cluster/${packageName}\`.\n\n${table(['option', 'default', 'meaning', 'accepted'], rows)}\n`);
    }
  }
  const head = 'A bad option is refused with `CLUSTER_BAD_OPTION`; the message names every bad one at once. Beside `store`, `session()` takes ManagerOptions too.';
  return `# Options\n\n${made}\n${head}\n\n${sections.join('\n')}`;
}

async function errorsPage(): Promise<string> {
  const { errorCodes } = await exportsOf('core', 'errors.ts');
  // Declared in errors.ts as satisfying this shape; the import above does not know the file.
  const rows = Object.entries(errorCodes as Readonly<Record<string, ErrorRow>>)
    .map(([code, { status, meaning, remedy }]) => [`\`${code}\``, String(status), meaning, remedy]);
  return `# Errors\n\n${made}\nEvery error is a \`ClusterError\` with one of these codes. \`status\` is what Express, Koa and Fastify answer; `
    + `a 503 carries \`Retry-After\`, unless it is \`CLUSTER_UNKNOWN_OUTCOME\`: repeated, that change may be made twice.\n\n${table(['code', 'status', 'meaning', 'what to do'], rows)}\n`;
}

async function warningsPage(): Promise<string> {
  const { warnings } = await exportsOf('http', 'warnings.ts');
  // Declared in warnings.ts as satisfying this shape; the import above does not know the file.
  const rows = Object.entries(warnings as Readonly<Record<string, { readonly meaning: string; readonly remedy: string }>>)
    .map(([reason, { meaning, remedy }]) => [`\`CLUSTER_HTTP_${reason}\``, meaning.charAt(0).toUpperCase() + meaning.slice(1), remedy]);
  return `# Warnings\n\n${made}\nWhy a session is new, or why there is no cookie: \`@cluster/http\` says each reason once per process, as a Node.js warning of `
    + `type \`ClusterWarning\` with one of these codes. No warning names an id.\n\n${table(['code', 'what was seen', 'what to do'], rows)}\n`;
}

function run(command: string, ...args: string[]): void {
  const { status } = spawnSync(process.execPath, [join(root, 'node_modules', command), ...args], { cwd: root, stdio: 'inherit' });
  if (status !== 0) throw new Error(`${command} ended with status ${status ?? 'none'}`);
}

const reference = join(root, 'docs/reference');
const pages = { 'options.md': await optionsPage(), 'errors.md': await errorsPage(), 'warnings.md': await warningsPage() };
const stale = Object.entries(pages).filter(([name, text]) => {
  const file = join(reference, name);
  return !existsSync(file) || readFileSync(file, 'utf8') !== text;
});

function write(tables: readonly (readonly [name: string, text: string])[]): void {
  mkdirSync(reference, { recursive: true });
  for (const [name, text] of tables) {
    writeFileSync(join(reference, name), text);
    console.log(`wrote docs/reference/${name}`);
  }
}

if (process.argv.includes('--check')) {
  for (const [name] of stale) console.error(`docs/reference/${name} is out of date: run npm run docs`);
  process.exitCode = stale.length === 0 ? 0 : 1;
} else {
  if (!process.argv.includes('--site')) write(stale);
  rmSync(join(reference, 'api'), { recursive: true, force: true });
  run('typedoc/bin/typedoc');
  run('vitepress/bin/vitepress.js', 'build', 'docs');
  console.log('The site is in docs/.vitepress/dist; look at it with: npx vitepress preview docs');
}
