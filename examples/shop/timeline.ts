import type { Figures } from './records.js';

/** Where lines go: a terminal, a file, a test. */
export interface Screen { write(text: string): unknown }

/** Times of take-overs and calls to the store, which the shoppers cannot know. */
export interface Measured {
  /** From the first request for a session to the take-over; undefined: there was none. */
  readonly takeoverMs: { readonly afterKill: number | undefined; readonly afterPause: number | undefined };
  readonly storeCalls: Readonly<Record<string, number>>;
  readonly reads: number;
}

const LABEL_WIDTH = 20;
const WHAT_WIDTH = 24;

/** `46 ms` or `2.01 s`. */
export const duration = (ms: number): string =>
  (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms % 1000 === 0 ? 0 : 2)} s`);

export const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** Prints what happens, each line with the seconds since the start. */
export class Timeline {
  readonly #startedAtMs = performance.now();

  constructor(private readonly screen: Screen, private readonly color: boolean) {}

  plain(text = ''): void {
    this.screen.write(text === '' ? '\n' : `  ${text}\n`);
  }

  say(what: string, detail = '', tone: 'plain' | 'bad' | 'good' = 'plain', atMs = performance.now()): void {
    const seconds = ((atMs - this.#startedAtMs) / 1000).toFixed(2).padStart(6);
    const left = detail === '' ? what.trimEnd() : what.padEnd(WHAT_WIDTH);
    const tinted = tone === 'plain' ? left : this.#tint(tone === 'bad' ? '31' : '32', left);
    this.screen.write(`${this.#tint('2', `${seconds} s`)}  ${detail === '' ? tinted : `${tinted} ${detail}`}\n`);
  }

  summary(figures: Figures, measured: Measured, good: boolean): void {
    this.screen.write('\n');
    for (const [label, text] of summaryLines(figures, measured)) {
      this.screen.write(`  ${this.#tint('1', label.padEnd(LABEL_WIDTH))}${text}\n`);
    }
    const problems = [...figures.changes.lost.map((item) => `lost: ${item}`), ...figures.wrong, ...figures.other];
    for (const problem of problems.slice(0, 10)) this.screen.write(`  ${this.#tint('31', problem)}\n`);
    if (!good) this.screen.write(`  ${this.#tint('31', 'This is not what the demo promises.')}\n`);
    this.screen.write('\n');
  }

  #tint(code: string, text: string): string {
    return this.color ? `\u001b[${code}m${text}\u001b[0m` : text;
  }
}

const perRequest = (calls: number, requests: number) => (requests === 0 ? '–' : (calls / requests).toFixed(2));

export function summaryLines(figures: Figures, { takeoverMs, storeCalls, reads }: Measured): [label: string, text: string][] {
  const { changes, unanswered, waits } = figures;
  const calls = (...methods: string[]) => methods.reduce((sum, method) => sum + (storeCalls[method] ?? 0), 0);
  const took = [
    takeoverMs.afterKill === undefined ? 'none after kill -9' : `${duration(takeoverMs.afterKill)} after kill -9`,
    takeoverMs.afterPause === undefined ? 'none after the pause' : `${duration(takeoverMs.afterPause)} after the pause`,
  ];
  const changed = changes.answered + unanswered.changes;
  return [
    ['requests', `${figures.requests}     answered 200: ${figures.answered}     cut off by the kill: ${figures.cutOff}     `
      + `refused after the pause: ${figures.refused}     other: ${figures.other.length}`],
    ['changes answered', `${changes.answered}     found in the carts: ${changes.found}     lost: ${changes.lost.length}     wrong: ${figures.wrong.length}`],
    ['changes unanswered', `${unanswered.changes}     found: ${unanswered.found} (stored, never acknowledged)`],
    ['waiting', `median ${duration(waits.medianMs)}     longest ${duration(waits.longestMs)}     at the paused process ${duration(waits.longestAtPausedMs)}`],
    ['takeover', `${took.join(', ')} (longest, from the first request for the session)`],
    ['store operations', `${perRequest(calls('read'), reads)} per read     `
      + `${perRequest(calls('acquire', 'create', 'commit', 'remove'), changed)} per change     besides ${calls('beat')} beats, ${calls('signal')} signals`],
  ];
}
