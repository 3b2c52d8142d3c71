import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { join } from 'node:path';

const sorted = (values: readonly number[]) => [...values].sort((a, b) => a - b);

/** Between two values in proportion, so that the median of an even number of them is the mean of the middle two. */
function at(values: readonly number[], share: number): number {
  const ascending = sorted(values);
  const place = (values.length - 1) * share;
  const [below = NaN, above = below] = ascending.slice(Math.floor(place), Math.floor(place) + 2);
  return below + (above - below) * (place % 1);
}

export const median = (values: readonly number[]): number => at(values, 0.5);
export const percentile99 = (values: readonly number[]): number => at(values, 0.99);

/** The middle half and the extremes, as text. */
export const spread = (values: readonly number[], digits = 1): string =>
  `(quartiles ${at(values, 0.25).toFixed(digits)} to ${at(values, 0.75).toFixed(digits)}, extremes ${at(values, 0).toFixed(digits)} to ${at(values, 1).toFixed(digits)})`;

/** The middle half, as text. */
export const quartiles = (values: readonly number[], digits: number): string => `${at(values, 0.25).toFixed(digits)}–${at(values, 0.75).toFixed(digits)}`;

const docs = join(import.meta.dirname, '..', 'docs');
const page = join(docs, 'benchmarks.md');
/** Where single figures stand in its sentences. */
const comparison = join(docs, 'stores', 'index.md');

/** Puts a text between the marks of that name. */
function put(file: string, name: string, content: string): void {
  const text = readFileSync(file, 'utf8');
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${file}: expected the marks ${begin} and ${end}`);
  writeFileSync(file, text.slice(0, from + begin.length) + content + text.slice(to));
}

/** Which sources are measured: the commit, and whether they differ from it. */
function revision(): string {
  try {
    const git = (...args: string[]) => execFileSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    return `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain', '--', ':!docs/benchmarks.md', '../packages', '.') === '' ? '' : ' with changes'}`;
  } catch {
    return 'unknown';
  }
}

/** What one command of the bench found: printed as it comes, and put into docs/benchmarks.md with `--write`. */
export class Report {
  readonly #lines: string[] = [];
  readonly #figures = new Map<string, string>();
  #met = true;

  constructor(private readonly command: string, rounds: string) {
    this.line(`commit ${revision()}, Node.js ${process.version}, ${cpus()[0]?.model ?? 'unknown CPU'}, ${availableParallelism()} cores, `
      + `load average at the start ${(loadavg()[0] ?? 0).toFixed(2)}`);
    this.line(rounds);
  }

  /** Whether every bound was met. */
  get met(): boolean { return this.#met; }

  line(text = ''): void {
    this.#lines.push(text);
    console.log(text);
  }

  table(head: readonly string[], rows: readonly (readonly string[])[]): void {
    this.line();
    this.line(`| ${head.join(' | ')} |`);
    this.line(`|${head.map((_, index) => (index === 0 ? '---|' : '--:|')).join('')}`);
    for (const row of rows) this.line(`| ${row.join(' | ')} |`);
    this.line();
  }

  /** A promised bound, as text; a missed one fails the command. */
  bound(value: number, most: number, digits = 1): string {
    const met = value <= most;
    this.#met &&= met;
    return `≤ ${most.toFixed(digits)}: ${met ? 'met' : 'MISSED'}`;
  }

  /** The same for a bound from below. */
  atLeast(value: number, least: number, digits = 1): string {
    const met = value >= least;
    this.#met &&= met;
    return `≥ ${least.toFixed(digits)}: ${met ? 'met' : 'MISSED'}`;
  }

  /** A figure that docs/stores/index.md names, too. */
  figure(name: string, value: string): string {
    this.#figures.set(name, value);
    return value;
  }

  /** Puts the lines between the marks of this command in docs/benchmarks.md. */
  write(): void {
    put(page, this.command, `\n${this.#lines.join('\n').trim()}\n`);
    for (const [name, value] of this.#figures) put(comparison, `${this.command} ${name}`, value);
  }
}
