import type { StoreCapabilities } from '@cluster/core/driver';
import type { Process } from './process.js';
import type { Random } from './random.js';
import type { FaultCounts, Weather } from './weather.js';
import type { World } from './world.js';

const FAULT_OF = { signalSlow: 'slow', signalLost: 'lost', signalTwice: 'twice', signalDenied: 'denied' } as const;

interface Listener {
  readonly process: Process;
  readonly receive: (message: string) => void;
  readonly listening: (up: boolean) => void;
}

/** Carries signals between instances: late, twice or not at all. */
export class Network {
  readonly #listeners = new Map<string, Listener>();
  readonly #cutOff = new Set<Process>();

  constructor(
    private readonly world: World, private readonly random: Random, private readonly weather: Weather, private readonly faults: FaultCounts,
    private readonly gone: StoreCapabilities['gone'],
  ) {}

  /** The address belongs to the process that was born last. */
  listen(process: Process, receive: Listener['receive'], listening: Listener['listening']): void {
    const there = this.#listeners.get(process.instanceId);
    if (there === undefined || there.process.birth <= process.birth) this.#listeners.set(process.instanceId, { process, receive, listening });
    listening(true);
  }

  /** Nothing reaches the process until the returned function is called; `isNoticed`: its driver says so. */
  cutOff(process: Process, isNoticed: boolean): () => void {
    const listener = this.#listeners.get(process.instanceId);
    this.#cutOff.add(process);
    if (isNoticed) process.receive(() => { listener?.listening(false); });
    return () => {
      this.#cutOff.delete(process);
      if (isNoticed) process.receive(() => { listener?.listening(true); });
    };
  }

  /** Whether what is sent to the address of the process arrives there. */
  reaches(process: Process): boolean { return this.#listeners.get(process.instanceId)?.process === process; }

  leave(process: Process): void {
    if (this.#listeners.get(process.instanceId)?.process === process) this.#listeners.delete(process.instanceId);
  }

  send(from: Process, instanceId: string, message: string): Promise<boolean> {
    return new Promise((resolve) => {
      const { random, weather, world } = this;
      const slow = this.#happens('signalSlow') ? 20 : 1;
      const isLost = this.#happens('signalLost');
      const isTwice = this.#happens('signalTwice');
      // Proof of death is never wrong, and nobody denies himself.
      const isDenied = this.gone !== 'dead' && from.instanceId !== instanceId && this.#happens('signalDenied');
      const delivered = () => {
        const there = this.#listeners.get(instanceId);
        const isHeard = there?.process.isAlive === true && !isDenied;
        if (isHeard && !isLost && !this.#cutOff.has(there.process)) {
          there.process.receive(() => {
            world.trace?.(there.process.name, `hears ${message.replaceAll(/[0-9a-f]{32,64}/g, (hex) => hex.slice(0, 6))}`);
            there.receive(message);
          });
        }
        return isHeard;
      };
      world.after(random.next() * weather.wayMs * slow, () => {
        const isHeard = delivered();
        if (isTwice) world.after(random.next() * weather.lateMs, delivered);
        from.receive(() => { resolve(isHeard); });
      });
    });
  }

  #happens(fault: 'signalSlow' | 'signalLost' | 'signalTwice' | 'signalDenied'): boolean {
    const happens = this.random.chance(this.weather[fault]);
    if (happens) this.faults.add(FAULT_OF[fault], 'signal');
    return happens;
  }
}
