import type { Events } from '../events.js';

const AGAIN_MS = 60_000;
/** Of one that differ in a number, say, no more are told. */
const MOST_CAUSES = 10;

/** Something that is tried until it works. Each cause of its failures is told at most once a minute until it works, and then that it works again. */
export class RepeatedFailure {
  /** Of what was told within the last minute: when. */
  readonly #toldMs = new Map<string, number>();
  #firstMs: number | undefined;
  #tries = 0;

  constructor(private readonly events: Events, private readonly now: () => number, private readonly worksAgain: string) {}

  failed(message: string, cause: unknown): void {
    const now = this.now();
    this.#firstMs ??= now;
    this.#tries += 1;
    for (const [text, toldMs] of this.#toldMs) if (now - toldMs >= AGAIN_MS) this.#toldMs.delete(text);
    const text = textOf(cause);
    if (this.#toldMs.has(text) || this.#toldMs.size === MOST_CAUSES) return;
    this.#toldMs.set(text, now);
    this.events.emit('warning', { message, cause });
  }

  worked(): void {
    if (this.#firstMs === undefined) return;
    const seconds = ((this.now() - this.#firstMs) / 1000).toFixed(1);
    const tries = this.#tries;
    this.#firstMs = undefined;
    this.#tries = 0;
    // Whoever was told that it works is told if it does not, however soon.
    this.#toldMs.clear();
    this.events.emit('warning', { message: `${this.worksAgain}, after ${seconds} s; tries that failed: ${tries}` });
  }
}

const DEEPEST = 5;

/** Of an error and those behind it. */
function textOf(cause: unknown): string {
  const texts: unknown[] = [];
  let at: unknown = cause;
  while (typeof at === 'object' && at !== null && texts.length < DEEPEST) {
    texts.push('message' in at ? at.message : '');
    at = 'cause' in at ? at.cause : undefined;
  }
  return [...texts, typeof at === 'string' ? at : ''].join('\n');
}
