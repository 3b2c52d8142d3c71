import { performance } from 'node:perf_hooks';
import { checkHistory } from '../history/check-history.js';
import { historyLines, type HistoryOperation, type Value } from '../history/operation.js';
import type { Life } from './life.js';
import type { Accepted } from './watched-store.js';

/** An operation that can still be completed. */
export type Operation = { -readonly [K in keyof HistoryOperation]: HistoryOperation[K] };

/** A session as its clients know it: it keeps its name when its id changes. */
export interface KnownSession {
  readonly name: string;
  readonly ids: string[];
  /** Nobody asks for it any more. */
  isOver: boolean;
  removal: 'none' | 'asked' | 'confirmed';
  /** Id changes that are under way, and whether one that was not answered may have happened. */
  moving: number;
  mayHaveMoved: boolean;
}

const MS_NS = 1e6;
const MOST_SHOWN = 2;
const MOST_FAULTS = 6;

/** What clients saw, and what is wrong with it. */
export class Recorder {
  #operations: Operation[] = [];
  readonly sessions: KnownSession[] = [];
  /** By session: what it had when this history began. */
  readonly #initial = new Map<string, Value>();
  readonly #violations: string[] = [];
  readonly #writers = new Map<string, string>();
  #lastNs = 0;
  #tokens = 0;
  #labels = 0;
  #names = 0;
  #isClosed = false;

  /** @param boundMs within which each part of a request is answered */
  constructor(private readonly boundMs: number) {}

  /** How many changes were acknowledged, sessions found, and requests failed by the store or for want of the lock. */
  readonly counts = { changed: 0, found: 0, unserved: 0 };
  /** What failed requests said. */
  readonly said = new Set<string>();

  /** A moment that is later than every other one. */
  now(): number {
    this.#lastNs = Math.max(this.#lastNs + 1, Math.round(performance.now() * MS_NS));
    return this.#lastNs;
  }

  /** A value that nobody else writes. */
  token(): number { return (this.#tokens += 1); }

  /** What a request calls itself. */
  label(kind: string, { instanceId }: Life): string { return `${kind}#${this.#labels += 1}@${instanceId}`; }

  session(id: string): KnownSession {
    const known: KnownSession = { name: `s${this.#names += 1}`, ids: [id], isOver: false, removal: 'none', moving: 0, mayHaveMoved: false };
    this.sessions.push(known);
    return known;
  }

  /** A session of an earlier history, which has this content now. */
  adopt(known: KnownSession, content: Value): void {
    this.sessions.push(known);
    this.#initial.set(known.name, content);
  }

  add(operation: Operation): Operation {
    if (!this.#isClosed) this.#operations.push(operation);
    return operation;
  }

  /** For what comes after; no name and no value of this one is used again. */
  successor(): Recorder {
    const next = new Recorder(this.boundMs);
    [next.#lastNs, next.#tokens, next.#labels, next.#names] = [this.#lastNs, this.#tokens, this.#labels, this.#names];
    return next;
  }

  /** What happens from now on, also to operations that are under way, is no part of this history. */
  close(): void {
    this.#isClosed = true;
    this.#operations = this.#operations.map((operation) => ({ ...operation }));
  }

  violation(what: string): void { this.#violations.push(what); }

  took(what: string, ms: number): void {
    if (ms > this.boundMs) this.violation(`${what} took ${Math.round(ms)} ms, its bound is ${this.boundMs}`);
  }

  /** As text behind what is wrong with a session. */
  historyOf(name: string): string {
    return `\nThe history of ${name}:\n${historyLines(this.#operations.filter(({ key }) => key === name))}`;
  }

  /** Of one version of a session at most one change may be accepted. */
  accepted({ key, version, grant }: Accepted): void {
    if (this.#isClosed) return;
    const name = `${key} ${version}`;
    const writer = this.#writers.get(name);
    if (writer !== undefined && writer !== grant) this.violation(`version ${version} of ${key.slice(0, 20)} was accepted from two writers`);
    this.#writers.set(name, grant);
  }

  /** What is wrong, for people, some of it with the history of its session; empty: nothing. */
  faults(): string[] {
    const faults = [...new Set(this.#violations)];
    let shown = 0;
    for (const { name } of this.sessions) {
      const own = this.#operations.filter(({ key }) => key === name);
      const [violation] = checkHistory(own, { initial: this.#initial.get(name) ?? null }).violations;
      if (violation === undefined) continue;
      faults.unshift(`${violation.message}${this.historyOf(name)}`);
      // The search for what does not exist takes long, and more faults are mostly more of the same.
      if ((shown += 1) === MOST_SHOWN) break;
    }
    const more = faults.splice(MOST_FAULTS).length;
    return more === 0 ? faults : [...faults, `and ${more} more`];
  }
}
