import { ClusterError } from '@cluster/core';
import type { Process } from './process.js';
import type { Random } from './random.js';
import { CALL_FAULTS, type CallFault, type FaultCounts, type Weather } from './weather.js';
import type { World } from './world.js';

export interface Outage { mode: 'up' | 'refusing' | 'hanging' }

const connectionLost = () => new Error('connection lost');
const SLOW = 20;

/** The way of one process to its store: what becomes of each call. */
export class Link {
  constructor(
    private readonly world: World, private readonly process: Process, private readonly random: Random,
    private readonly weather: Weather, private readonly outage: Outage, private readonly faults: FaultCounts,
  ) {}

  /** Nothing gets through. */
  get isDown(): boolean { return this.outage.mode !== 'up'; }

  get isTraced(): boolean { return this.world.trace !== undefined; }

  /**
   * @param method what is called, and `name` what the trace shows of it
   * @param changes whether executing it late or twice could make a difference
   * @param sureTwice whether the answer of a second execution says what became of the first
   */
  call<T>(method: string, name: string, execute: () => Promise<T> | T, changes: boolean, sureTwice: (answer: T) => boolean = () => true): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const { random, world } = this;
      const answer = (value: T) => { this.process.receive(() => { resolve(value); }); };
      const fail = (error: unknown) => { this.process.receive(() => { reject(error); }); };
      const fault = this.#fault(changes);
      const slow = fault === 'slow' ? SLOW : 1;
      const goMs = random.next() * this.weather.wayMs * slow;
      const backMs = random.next() * this.weather.wayMs * slow;
      if (fault !== undefined) {
        this.faults.add(fault, method);
        world.trace?.(this.process.name, `${name}: ${fault}`);
      }
      const execution = async (): Promise<T> => {
        const value = await execute();
        world.trace?.(this.process.name, `${name} -> ${shown(value)}`);
        return value;
      };
      const thenAnswer = (run: Promise<T>) => {
        run.then((value) => { world.after(backMs, () => { answer(value); }); }, (error: unknown) => { world.after(backMs, () => { fail(error); }); });
      };
      const ignore = () => { execution().catch(() => undefined); };
      const failsSoon = random.chance(0.5);
      world.after(goMs, () => {
        switch (fault) {
          case 'refused': fail(new ClusterError('CLUSTER_UNAVAILABLE', 'the store refused')); return;
          case 'lost': if (failsSoon) fail(connectionLost()); return;
          case 'replyLost':
            ignore();
            if (failsSoon) world.after(backMs, () => { fail(connectionLost()); });
            return;
          case 'late':
            world.after(random.next() * this.weather.lateMs, ignore);
            if (failsSoon) fail(connectionLost());
            return;
          case 'twice':
            world.after(random.next() * this.weather.lateMs, ignore);
            thenAnswer(execution());
            return;
          case 'repeated':
            ignore();
            world.after(goMs, () => {
              thenAnswer(execution().then((value) => { if (!sureTwice(value)) throw connectionLost(); return value; }));
            });
            return;
          default: thenAnswer(execution());
        }
      });
    });
  }

  #fault(changes: boolean): CallFault | undefined {
    if (this.outage.mode === 'refusing') return 'refused';
    if (this.outage.mode === 'hanging') return this.random.chance(0.5) ? 'lost' : 'replyLost';
    for (const fault of CALL_FAULTS) {
      if (!changes && (fault === 'late' || fault === 'twice' || fault === 'repeated')) continue;
      if (this.random.chance(this.weather[fault])) return fault;
    }
    return undefined;
  }
}

const shown = (value: unknown): string => {
  // JSON has nothing for undefined, which the compiler does not say.
  const text = JSON.stringify(value, (_, each: unknown) => {
    if (each instanceof Map || each instanceof Set) return [...each.entries() as Iterable<unknown>];
    return typeof each === 'string' && /^[0-9a-f]{32}$/.test(each) ? each.slice(0, 6) : each;
  }) as string | undefined;
  return text ?? 'nothing';
};
