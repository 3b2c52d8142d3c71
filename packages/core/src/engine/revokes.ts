import type { Clock } from '../clock.js';
import type { Claim, Message } from '../drivers/session-table.js';
import type { Engine } from './engine.js';
import { originOf } from '../options.js';
import { decodeSignal, encodeHandover, encodeSignal, instanceOf, type Signal } from './messages.js';
import type { Slot } from './ownership.js';
import { useOf } from './waiting.js';

const CONFIRM_AGAIN_MS = 50;
// Of what a request calls itself, so that a message stays small.
const MAX_LABEL = 200;

/** The holder's word that it has dropped a removed session. */
class Confirmation {
  #hasArrived = false;
  #wake: (() => void) | undefined;

  hasArrived(): boolean { return this.#hasArrived; }

  arrive(): void {
    this.#hasArrived = true;
    this.#wake?.();
  }

  async within(clock: Clock, ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = clock.timer(resolve, ms, true);
      this.#wake = () => { cancel(); resolve(); };
    });
  }
}

/** Answers what other instances signal, and asks them to drop what was removed by force. */
export class Revokes {
  /** Who waits for the word of a holder, by its grant. */
  readonly #awaited = new Map<string, Set<Confirmation>>();

  constructor(private readonly engine: Engine) {}

  receive(message: Message): void {
    const signal = decodeSignal(message);
    if (signal === undefined) {
      this.#ignored();
      return;
    }
    try {
      this.#act(signal);
    } catch (cause) {
      this.#ignored(cause);
    }
  }

  /** A driver that delivers a message must not suffer from what it says. */
  #ignored(cause?: unknown): void {
    this.engine.events.emit('warning', { message: 'a signal that this version does not know was ignored', cause });
  }

  #act(signal: Signal): void {
    switch (signal.type) {
      case 'revoke': this.#revoke(signal); break;
      case 'handover': this.#handover(signal); break;
      case 'held': this.#heard(signal); break;
      case 'removed': this.#removed(signal); break;
      case 'confirmed': for (const confirmation of this.#awaited.get(signal.holder.grant) ?? []) confirmation.arrive(); break;
      case 'not-me': this.engine.acquisition.notMe(signal.incarnation); break;
      case 'test': this.engine.lease.heard(signal.n); break;
    }
  }

  /** Resolves to whether the holder of a removed session has dropped it, or can hold it no more, within `withinMs`. */
  async confirm(key: string, holder: Claim, withinMs: number): Promise<boolean> {
    const { engine } = this;
    const untilMs = engine.now() + withinMs;
    const message = encodeSignal({ type: 'removed', key, holder, from: engine.instanceId });
    const confirmation = new Confirmation();
    const awaited = this.#awaited.get(holder.grant) ?? new Set();
    this.#awaited.set(holder.grant, awaited.add(confirmation));
    try {
      for (;;) {
        const evidence = await engine.acquisition.tell(holder.incarnation, message);
        if (confirmation.hasArrived() || await engine.acquisition.lapsed(holder.incarnation, evidence)) return true;
        if (engine.now() >= untilMs) return false;
        await confirmation.within(engine.clock, CONFIRM_AGAIN_MS);
        if (confirmation.hasArrived()) return true;
      }
    } finally {
      awaited.delete(confirmation);
      if (awaited.size === 0) this.#awaited.delete(holder.grant);
    }
  }

  #revoke({ key, holder, claim, waitedMs, onlyAsks }: Extract<Signal, { type: 'revoke' }>): void {
    const { engine } = this;
    if (!this.#isPresent(holder.incarnation, claim.incarnation)) return;
    const slot = engine.slots.get(key);
    if (slot === undefined || (slot.held?.claim.grant !== holder.grant && slot.claim?.grant !== holder.grant)) {
      this.#pass(key, holder.grant, [[claim, waitedMs]]);
      return;
    }
    if (engine.acquisition.hasEnded(claim.incarnation)) return;
    const inUse = slot.busy && slot.usedBy !== 'nobody';
    if (onlyAsks !== true || !inUse) {
      slot.queue.addRemote(claim, engine.now() - waitedMs, engine.now());
      if (engine.giving.handOverIfDue(slot)) return;
      engine.holdLimit.watch(slot);
    }
    if (inUse) this.#tell(claim.incarnation, this.#held(slot, holder.incarnation, claim));
  }

  #held(slot: Slot, holder: string, claim: Claim): Message {
    const { publicUrl } = this.engine.settings;
    const { label, heldMs } = useOf(slot, this.engine.now());
    return encodeSignal({
      type: 'held', key: slot.key, claim, holder, heldMs,
      ...(label === undefined ? {} : { label: label.slice(0, MAX_LABEL) }), ...(publicUrl === undefined ? {} : { publicUrl }),
    });
  }

  #handover({ key, claim, queue }: Extract<Signal, { type: 'handover' }>): void {
    const { engine } = this;
    if (claim.incarnation !== engine.lease.incarnation) return;
    const slot = engine.slots.get(key);
    const others = queue.filter(([other]) => other.incarnation !== claim.incarnation);
    if (slot === undefined || (slot.held?.claim.grant !== claim.grant && slot.claim?.grant !== claim.grant)) {
      this.#pass(key, claim.grant, others);
      return;
    }
    for (const [other, waitedMs] of others) {
      if (!engine.acquisition.hasEnded(other.incarnation)) slot.queue.addRemote(other, engine.now() - waitedMs, engine.now());
    }
    slot.wakeUp();
    engine.giving.handOverIfDue(slot);
  }

  /** A grant that nobody here wants goes on to the next that waits, or is released. */
  #pass(key: string, grant: string, queue: readonly (readonly [claim: Claim, waitedMs: number])[]): void {
    const { engine } = this;
    const [next, ...rest] = queue;
    engine.calls.commit(key, grant, undefined, { change: undefined, lifetimeMs: 0 }, next?.[0] ?? 'release').then(() => {
      if (next !== undefined) this.#tell(next[0].incarnation, encodeHandover(key, next[0], rest));
    }, (cause: unknown) => {
      engine.events.emit('warning', { message: 'a grant that nobody wanted could not be released; the next who asks for it causes another try', cause });
    });
  }

  #heard({ key, claim, holder, label, heldMs, publicUrl }: Extract<Signal, { type: 'held' }>): void {
    const slot = this.engine.slots.get(key);
    if (slot?.claim?.grant !== claim.grant || slot.holder?.claim.incarnation !== holder) return;
    const now = this.engine.now();
    // Requests are sent to this address: whatever else a message may hold is none.
    slot.holder.says = { label, sinceMs: now - heldMs, heardMs: now, publicUrl: originOf(publicUrl) };
    slot.holderIsBusy();
  }

  #removed({ key, holder, from }: Extract<Signal, { type: 'removed' }>): void {
    const { engine } = this;
    if (!engine.lease.owns(holder.incarnation)) {
      this.#tellInstance(from, encodeSignal({ type: 'not-me', incarnation: holder.incarnation }));
      return;
    }
    const slot = engine.slots.get(key);
    if (slot !== undefined) engine.dropRemoved(slot);
    this.#tellInstance(from, encodeSignal({ type: 'confirmed', key, holder }));
  }

  /** Whether a message is for the present incarnation; whoever asks for one that was never of this process is told so. */
  #isPresent(incarnation: string, asker: string): boolean {
    const { lease } = this.engine;
    if (!lease.owns(incarnation)) this.#tell(asker, encodeSignal({ type: 'not-me', incarnation }));
    return incarnation === lease.incarnation;
  }

  #tell(incarnation: string, message: Message): void { this.#tellInstance(instanceOf(incarnation), message); }

  #tellInstance(instanceId: string, message: Message): void { void this.engine.calls.signal(instanceId, message); }
}
