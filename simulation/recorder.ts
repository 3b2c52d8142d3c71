import { createHash } from 'node:crypto';
import { checkHistory, type HistoryOperation } from '@cluster/conformance';
import type { Encoded, Stamp } from '@cluster/core/driver';
import { NAMES } from './attributes.js';
import { Holds } from './holds.js';
import type { World } from './world.js';

export type Scalar = string | number | boolean | null;
export type View = Record<string, Scalar>;

/** A session as its clients know it: it keeps its name when its id changes. */
export interface KnownSession {
  readonly name: string;
  readonly ids: string[];
  /** Nobody asks for it any more. */
  isOver: boolean;
  /** By id: since when it is known to be gone for good. */
  readonly goneNs: (number | undefined)[];
  /** Since when the store has it no more, whatever memories still show. */
  endedNs: number | undefined;
  /** When its removal was confirmed. */
  removedNs: number | undefined;
  /** Since when it may have been there, and since when it was for sure. */
  bornMs: number;
  bornByMs: number;
  /** When somebody last asked for it and found it, and when the last request that used it ended. */
  usedMs: number;
  usedUntilMs: number;
  /** Requests that are at it. */
  running: number;
  isRemovalAsked: boolean;
  /** Id changes of which it is not known whether they happened: nobody may know the latest id. */
  openMoves: number;
}

export interface Violation { readonly check: string; readonly message: string }

/** An operation that can still be completed. */
export type Operation = { -readonly [K in keyof HistoryOperation]: HistoryOperation[K] };

const MS_NS = 1e6;

/** What clients and the store saw, and what is wrong with it. */
export class Recorder {
  readonly operations: Operation[] = [];
  /** What went through the checker: as the clients saw it, with what the store and the time did of themselves. */
  readonly checked: Operation[] = [];
  readonly violations: Violation[] = [];
  readonly sessions: KnownSession[] = [];
  /** By label: what became of a snapshot request's change. */
  readonly conflicts = new Map<string, string>();
  /** Labels of requests that lost the lock since they had it for too long. */
  readonly cutOffs = new Set<string>();
  readonly holds: Holds;
  readonly #writerOfToken = new Map<Scalar, Operation>();
  readonly #contentOfStamp = new Map<string, string>();
  readonly #grantOfVersion = new Map<string, string>();
  readonly #versions = new Map<string, number>();
  readonly #tokensStored = new Map<string, Set<string>>();
  #lastNs = 0;
  #rolledBackNs = 0;
  #tokens = 0;

  constructor(private readonly world: World, private readonly mayRollBack: boolean) { this.holds = new Holds(world); }

  /** Exclusive finds of one session, in the order in which they were granted. */
  readonly grants = new Map<string, { readonly who: string; readonly where: string; readonly sinceMs: number }[]>();

  granted(session: KnownSession, who: string, where: string, sinceMs: number): void {
    const order = this.grants.get(session.name);
    if (order === undefined) this.grants.set(session.name, [{ who, where, sinceMs }]);
    else order.push({ who, where, sinceMs });
  }

  /** Nobody who waits is overtaken by more than a few who came much later. */
  checkOrder(marginMs: number, most: number): number {
    let worst = 0;
    for (const [session, order] of this.grants) {
      for (const [place, late] of order.entries()) {
        const overtaking = order.slice(Math.max(0, place - 200), place).filter((early) => early.where !== late.where && early.sinceMs > late.sinceMs + marginMs);
        worst = Math.max(worst, overtaking.length);
        if (overtaking.length > most) {
          this.violation('order', `${late.who} waited for ${session} and was overtaken by ${overtaking.length} requests of other instances that came more than ${marginMs} ms later`);
          return worst;
        }
      }
    }
    return worst;
  }

  /** A session of which nothing is known yet. */
  know(name: string): KnownSession {
    const known: KnownSession = { name, ids: [], isOver: false, goneNs: [], endedNs: undefined, removedNs: undefined, bornMs: 0, bornByMs: Infinity, usedMs: 0, usedUntilMs: 0, running: 0, isRemovalAsked: false, openMoves: 0 };
    this.sessions.push(known);
    return known;
  }

  /** The session that has or had the id. */
  whose(id: string): { readonly known: KnownSession; readonly idIndex: number } | undefined {
    const known = this.sessions.find(({ ids }) => ids.includes(id));
    return known && { known, idIndex: known.ids.indexOf(id) };
  }

  /** A moment that is later than every other one. */
  now(): number {
    this.#lastNs = Math.max(this.#lastNs + 1, Math.round(this.world.nowMs * MS_NS));
    return this.#lastNs;
  }

  /** A value that nobody else writes. */
  token(): number { return (this.#tokens += 1); }

  add(operation: Operation): Operation {
    this.operations.push(operation);
    const { op, value } = operation;
    if (op === 'cas' && typeof value === 'object' && value !== null) for (const token of Object.values(value)) this.#writerOfToken.set(token, operation);
    return operation;
  }

  /** Nothing of a view was certainly overwritten before it was asked for. */
  checkFresh(who: string, session: string, view: View, calledNs: number): void {
    if (this.mayRollBack) return;
    for (const name of NAMES) {
      const seen = view[name] ?? null;
      const writer = seen === null ? undefined : this.#writerOfToken.get(seen);
      const knownNs = writer?.result === 'ok' ? writer.return_ns ?? Infinity : Infinity;
      const newer = this.operations.find(({ client, key, op, value, result, call_ns: callNs, return_ns: returnNs }) => key === session && op === 'cas' && result === 'ok'
        && callNs > knownNs && this.conflicts.get(String(client)) !== 'dropped' && (returnNs ?? Infinity) < calledNs && typeof value === 'object' && value !== null && Object.hasOwn(value, name));
      if (newer !== undefined) this.violation('fresh', `${who}: sees ${name}=${String(seen)} of ${session}, and ${JSON.stringify(newer)} was acknowledged before it asked`);
    }
  }

  violation(check: string, message: string): void {
    this.world.trace?.('!!!', `${check}: ${message}`);
    this.violations.push({ check, message: `${this.world.nowMs.toFixed(2)}: ${message}` });
  }

  /** Each content that the store has at any time passes here. */
  readonly stored = (key: string, stamp: Stamp, attributes: ReadonlyMap<string, Encoded>): void => {
    if (!key.includes('.s.')) return;
    const content = JSON.stringify([...attributes].sort(([a], [b]) => (a < b ? -1 : 1)));
    const name = `${key} ${stamp.grant} ${stamp.version}`;
    const before = this.#contentOfStamp.get(name);
    if (before !== undefined && before !== content) this.violation('stamp', `one stamp names two contents of ${key.slice(-64, -58)}: ${before} and ${content}`);
    this.#contentOfStamp.set(name, content);
    if (!this.mayRollBack) this.#checkWriter(key, stamp);
    const version = this.#versions.get(key) ?? 0;
    if (stamp.version < version) this.violation('version', `version ${version} of ${key.slice(-64, -58)} was followed by ${stamp.version}, and the store did not roll back`);
    this.#versions.set(key, stamp.version);
    let tokens = this.#tokensStored.get(key);
    if (tokens === undefined) this.#tokensStored.set(key, tokens = new Set());
    for (const [attribute, encoded] of attributes) tokens.add(`${attribute}=${tokenIn(encoded)}`);
  };

  /** Versions may begin anew from older ones, and what was refused before may be executed again by a copy of it that is still on its way. */
  rolledBack(): void {
    this.#versions.clear();
    this.#rolledBackNs = this.now();
  }

  /** Whether anything that the operation would have written was in the store at any time, under a known id. */
  wasStored(session: KnownSession, { value }: HistoryOperation): boolean {
    if (typeof value !== 'object' || value === null) return false;
    return session.ids.some((id) => {
      const tokens = this.#tokensStored.get(`default.s.${createHash('sha256').update(id).digest('hex')}`);
      return tokens !== undefined && Object.entries(value).some(([name, token]) => token !== null && tokens.has(`${name}=${String(token)}`));
    });
  }

  /** What the clients saw, checked as a whole. */
  check(fromNs: number, mayExpire: boolean): void {
    for (const operation of this.operations) this.#settle(operation);
    for (const session of this.sessions) {
      const own = this.operations.filter(({ key }) => key === session.name);
      for (const operation of own) {
        if (operation.result === 'refused' && operation.call_ns > this.#rolledBackNs && this.wasStored(session, operation)) {
          this.violation('refused', `${session.name}: a change that was refused was stored: ${JSON.stringify(operation)}`);
        }
      }
      const checked = own.filter((operation) => operation.call_ns >= fromNs);
      // After a rollback it begins with whatever was left.
      const left = fromNs > 0 ? checked.find(({ op, result }) => op === 'read' && result === 'ok')?.value ?? null : null;
      if (left !== null) checked.unshift({ client: 'store', call_ns: fromNs, return_ns: fromNs, key: session.name, op: 'cas', expect: null, value: left, result: 'ok' });
      if (mayExpire) checked.push({ client: 'time', call_ns: 0, key: session.name, op: 'write', value: null, result: 'unknown' });
      this.checked.push(...checked);
      for (const { message } of checkHistory(checked).violations) this.violation('history', message);
    }
  }

  /** A merged change counts from its commit, whatever was there; a dropped one never happened. */
  #settle(operation: Operation): void {
    const outcome = operation.op === 'cas' ? this.conflicts.get(String(operation.client)) : undefined;
    const { expect } = operation;
    if (outcome === 'merged' && typeof expect === 'object' && expect !== null) operation.expect = { $id: expect.$id ?? null };
    if (outcome === 'dropped') operation.result = 'fail';
  }

  #checkWriter(key: string, { grant, version }: Stamp): void {
    const name = `${key} ${version}`;
    const writer = this.#grantOfVersion.get(name);
    if (writer !== undefined && writer !== grant) this.violation('writer', `version ${version} of ${key.slice(-64, -58)} has two writers: ${writer.slice(0, 6)} and ${grant.slice(0, 6)}`);
    this.#grantOfVersion.set(name, grant);
  }
}

/** Attributes are a number, or an object that has it. */
const tokenIn = (encoded: Encoded): string => /-?\d+/.exec(String(encoded))?.[0] ?? '';
