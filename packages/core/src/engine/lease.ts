import type { CancelTimer, Clock } from '../clock.js';
import { ClusterError } from '../errors.js';
import type { StoreCalls } from './store-calls.js';
import { encodeSignal } from './messages.js';

interface LeaseSettings { readonly leaseMs: number; readonly readLeaseMs: number }

interface LeaseHooks {
  /** The lease was ended by somebody else: everything held under `before` is lost. */
  lapsed(before: string, next: string): void;
  generation(before: string, after: string): void;
  /** Signals arrive no more: what is idle must not be kept. */
  deaf(): void;
  /** A beat was acknowledged. */
  beat(): void;
  failed(cause: unknown): void;
}

/** `wallOffsetMs`: the wall clock against the monotonic one, at that moment. */
interface Tried { readonly sentMs: number; readonly wallOffsetMs: number }

/** Wall clocks count whole milliseconds. */
const LEAST_JUMP_MS = 2;
const HOT_MS = 1_000;
/** So many in a lease, or in the window of one that is in use. */
const BEATS = 3;
const DEAF_AFTER_MS = 1_000;

/**
 * This instance's right to hold anything: numbered beats, one series per incarnation, and with them the window in which
 * memory may be served. A lapse is final; the instance then goes on as a new incarnation.
 */
export class Lease {
  #incarnation = '';
  readonly #past = new Set<string>();
  #n = 0;
  /** When the beat that is due was first sent. */
  #tried: Tried | undefined;
  #generation: string | undefined;
  #ackedSentMs = -Infinity;
  #wallOffsetMs = 0;
  #lastBeatSentMs = -Infinity;
  #usedMs = -Infinity;
  #failing = false;
  #beating: Promise<void> | undefined;
  #cancelBeat: CancelTimer | undefined;
  #cancelTest: CancelTimer | undefined;
  #listening = true;
  #testN = 0;
  #testSentMs: number | undefined;
  #hears = false;
  #wasHearing = false;
  #deafSinceMs: number | undefined;
  #running = false;

  constructor(
    private readonly calls: StoreCalls, private readonly clock: Clock, readonly instanceId: string,
    private readonly settings: LeaseSettings, private readonly hooks: LeaseHooks,
  ) {}

  get incarnation(): string { return this.#incarnation; }
  /** Whether the present incarnation's lease was acknowledged: nothing is to be held under it before, since absent counts as ended. */
  get isMade(): boolean { return this.#n > 0; }
  get failing(): boolean { return this.#failing; }
  /** Whether the store may have rolled back since the beat that was acknowledged last: it was out of reach, or is. */
  get mayHaveRolledBack(): boolean { return this.calls.capabilities.rollback && (this.#failing || this.#deafSinceMs !== undefined); }
  get leaseMs(): number { return this.settings.leaseMs; }

  /**
   * For how long an instance that the store takes for disconnected must have been quiet: longer than memory is served after a beat.
   * Where beats do not follow uses it is longer than the time between two of them, since that may be wrong.
   */
  get disconnectedMs(): number {
    return Math.ceil(1.25 * (this.#alwaysGainsByBeats ? this.settings.readLeaseMs : this.settings.leaseMs / BEATS));
  }

  /** Whether the incarnation is or was one of this process. */
  owns(incarnation: string): boolean { return incarnation === this.#incarnation || this.#past.has(incarnation); }

  /** Makes the lease; rejects as the store does. */
  async start(): Promise<void> {
    this.#running = true;
    this.#begin();
    try {
      await this.#beat(true);
    } catch (error) {
      this.#running = false;
      throw error;
    }
    this.#test();
  }

  /** Ends the lease: one call frees everything held. */
  async stop(): Promise<void> {
    this.#running = false;
    this.#cancelBeat?.();
    this.#cancelTest?.();
    await this.#beating;
    await this.calls.lapse(this.#incarnation, 0);
  }

  /** Whether memory may be served now; to be asked in the same synchronous step that uses the copy. */
  readable(): boolean {
    const now = this.clock.monotonicMs();
    return now < this.#ackedSentMs + this.settings.readLeaseMs && this.hears()
      // Suspended meanwhile: the wall clock went on and the monotonic one did not. What may go unnoticed must fit, with the clocks'
      // rates, into the quarter by which the shortest quiet time of a lapse is longer than this window.
      && Math.abs(this.clock.wallMs() - now - this.#wallOffsetMs) < Math.max(LEAST_JUMP_MS, this.settings.readLeaseMs / 8);
  }

  /** A held session was asked for: beats follow at the rhythm that keeps memory readable. */
  used(): void {
    const now = this.clock.monotonicMs();
    const wasCold = now - this.#usedMs >= HOT_MS;
    this.#usedMs = now;
    if (wasCold && this.#running && this.#beating === undefined) this.#schedule();
  }

  /** Whether signals arrive, by this instance's own test signal. */
  hears(): boolean {
    return this.#hears && this.#listening
      && (this.#testSentMs === undefined || this.clock.monotonicMs() - this.#testSentMs < DEAF_AFTER_MS);
  }

  heard(n: number): void {
    if (n !== this.#testN) return;
    const wasDeaf = !this.hears();
    this.#testSentMs = undefined;
    this.#hears = true;
    this.#wasHearing = this.hears();
    if (wasDeaf && this.#running && this.#beating === undefined) this.#schedule();
  }

  listening(up: boolean): void {
    this.#listening = up;
    if (!up) this.#hears = false;
    if (this.#running) this.#test();
  }

  #begin(): void {
    this.#incarnation = `${this.instanceId}.${this.clock.randomHex(8)}`;
    this.#n = 0;
    this.#tried = undefined;
    this.#ackedSentMs = -Infinity;
  }

  /** Whether beats are to follow uses: for memory to be served, or since one that hears nothing may soon be taken for disconnected. */
  get #gainsByBeats(): boolean { return this.#alwaysGainsByBeats || (this.settings.readLeaseMs > 0 && this.hears()); }

  get #alwaysGainsByBeats(): boolean { return this.settings.readLeaseMs > 0 && this.calls.capabilities.gone !== 'unknown'; }

  #schedule(): void {
    this.#cancelBeat?.();
    if (!this.#running) return;
    const now = this.clock.monotonicMs();
    const hot = this.#gainsByBeats && now - this.#usedMs < HOT_MS;
    const everyMs = this.#deafSinceMs !== undefined ? 0 : (hot ? this.settings.readLeaseMs : this.settings.leaseMs) / BEATS;
    const afterMs = this.#failing ? this.settings.leaseMs / 20 : Math.max(0, this.#lastBeatSentMs + everyMs - now);
    this.#cancelBeat = this.clock.timer(() => { this.#beating ??= this.#beat(false).finally(() => { this.#beating = undefined; this.#schedule(); }); }, afterMs);
  }

  async #beat(first: boolean): Promise<void> {
    const incarnation = this.#incarnation;
    const sentMs = this.clock.monotonicMs();
    this.#lastBeatSentMs = sentMs;
    // An earlier try of the same beat may be the one that was executed: the store counts from that one.
    this.#tried ??= { sentMs, wallOffsetMs: this.clock.wallMs() - sentMs };
    try {
      const answer = await this.#sent(incarnation, this.#n);
      if (answer === 'lapsed' && this.#n === 0) {
        this.#begin();
        throw new ClusterError('CLUSTER_UNAVAILABLE', 'the store says that a lease has ended which is only now begun');
      }
      this.#failing = false;
      if (answer === 'lapsed') await this.#renew(incarnation);
      else this.#acknowledged(this.#tried, answer.generation);
    } catch (error) {
      this.#failing = true;
      if (first) throw error;
      this.hooks.failed(error);
    }
    if (first) this.#schedule();
  }

  /** One that is not answered is sent again while the lease holds, however long others wait: it may be lost. Whichever is answered first counts. */
  #sent(incarnation: string, n: number): ReturnType<StoreCalls['beat']> {
    return new Promise((resolve, reject) => {
      let cancel: CancelTimer = () => { /* set below */ };
      const send = () => {
        cancel = this.clock.timer(send, this.settings.leaseMs / BEATS);
        this.calls.beat(incarnation, n, this.settings.leaseMs).then(resolve, reject).finally(() => { cancel(); });
      };
      send();
    });
  }

  #acknowledged({ sentMs, wallOffsetMs }: Tried, generation: string): void {
    this.#n += 1;
    this.#tried = undefined;
    this.#ackedSentMs = sentMs;
    this.#wallOffsetMs = wallOffsetMs;
    const before = this.#generation;
    this.#generation = generation;
    if (before !== undefined && before !== generation) this.hooks.generation(before, generation);
    this.hooks.beat();
    if (this.#deafSinceMs === undefined || this.#lastBeatSentMs < this.#deafSinceMs) return;
    this.#deafSinceMs = undefined;
    if (!this.hears()) this.hooks.deaf();
  }

  async #renew(before: string): Promise<void> {
    this.#past.add(before);
    this.#begin();
    this.hooks.lapsed(before, this.#incarnation);
    await this.#beat(false);
  }

  /** A store that fails over is not heard either: what was held is given back when a beat has shown whether it rolled back. */
  #goesDeaf(): void {
    this.#deafSinceMs = this.clock.monotonicMs();
    if (this.#beating === undefined) this.#schedule();
  }

  #test(): void {
    this.#cancelTest?.();
    if (!this.#running) return;
    if (this.#wasHearing && !this.hears()) this.#goesDeaf();
    this.#wasHearing = this.hears();
    if (this.#testSentMs === undefined) {
      this.#testSentMs = this.clock.monotonicMs();
      this.#testN += 1;
    }
    const n = this.#testN;
    void this.calls.signal(this.instanceId, encodeSignal({ type: 'test', n })).then((delivered) => {
      if (!delivered && n === this.#testN) this.#hears = false;
    });
    this.#cancelTest = this.clock.timer(() => { this.#test(); }, this.settings.leaseMs / 10);
  }
}
