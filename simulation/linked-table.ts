import type {
  Absent, Acquired, Claim, Committed, DriverContext, Gone, Message, Removed, SessionRecord, SessionTable, Stamp, StoreCapabilities, Then, Write,
} from '@cluster/core/driver';
import type { Link } from './link.js';
import type { Network } from './network.js';
import type { Process } from './process.js';

type Answer<T> = Promise<T> | T;

/** The steps of a table, wherever they are executed. */
export interface Steps {
  readonly capabilities: StoreCapabilities;
  acquire(key: string, claim: Claim, from?: string, have?: Stamp): Answer<Acquired>;
  create(key: string, claim: Claim, write: Write, then: 'keep' | 'release'): Answer<'created' | 'exists'>;
  commit(key: string, grant: string, base: Stamp | undefined, write: Write, then: Then): Answer<Committed>;
  remove(key: string, grant: string | undefined, base: Stamp | undefined, why: Gone, keepMs: number): Answer<Removed>;
  read(key: string, have?: Stamp): Answer<SessionRecord | Absent>;
  touch(lifetimes: ReadonlyMap<string, number>): Answer<ReadonlySet<string>>;
  beat(incarnation: string, n: number, leaseMs: number): Answer<{ readonly generation: string } | 'lapsed'>;
  lapse(incarnation: string, quietMs: number): Answer<number>;
}

/** The table of one process: every step is a call over its link, every signal goes through the network. */
export class LinkedTable implements SessionTable {
  readonly capabilities: StoreCapabilities;

  constructor(private readonly steps: Steps, private readonly link: Link, private readonly network: Network, private readonly process: Process) {
    this.capabilities = steps.capabilities;
  }

  async start({ receive, listening }: DriverContext): Promise<void> {
    this.network.listen(this.process, receive, listening);
  }

  async stop(): Promise<void> { this.network.leave(this.process); }

  acquire(key: string, claim: Claim, from?: string, have?: Stamp): Promise<Acquired> {
    return this.#call('acquire', () => this.steps.acquire(key, claim, from, have), [key, claim.grant, from]);
  }

  create(key: string, claim: Claim, write: Write, then: 'keep' | 'release'): Promise<'created' | 'exists'> {
    return this.#call('create', () => this.steps.create(key, claim, write, then), [key, claim.grant, then], (answer) => answer === 'created');
  }

  commit(key: string, grant: string, base: Stamp | undefined, write: Write, then: Then): Promise<Committed> {
    return this.#call('commit', () => this.steps.commit(key, grant, base, write, then), [key, grant, base, write.change, then], (answer) => answer.kind === 'done');
  }

  remove(key: string, grant: string | undefined, base: Stamp | undefined, why: Gone, keepMs: number): Promise<Removed> {
    return this.#call('remove', () => this.steps.remove(key, grant, base, why, keepMs), [key, grant, base, why], (answer) => answer.kind === 'removed');
  }

  read(key: string, have?: Stamp): Promise<SessionRecord | Absent> {
    return this.link.call('read', `read ${key.slice(-64, -58)}`, () => this.steps.read(key, have), false);
  }

  touch(lifetimes: ReadonlyMap<string, number>): Promise<ReadonlySet<string>> {
    return this.#call('touch', () => this.steps.touch(lifetimes), [...lifetimes.keys()]);
  }

  beat(incarnation: string, n: number, leaseMs: number): Promise<{ readonly generation: string } | 'lapsed'> {
    return this.#call('beat', () => this.steps.beat(incarnation, n, leaseMs), [incarnation, n]);
  }

  lapse(incarnation: string, quietMs: number): Promise<number> {
    return this.#call('lapse', () => this.steps.lapse(incarnation, quietMs), [incarnation, quietMs]);
  }

  signal(instanceId: string, message: Message): Promise<boolean> { return this.network.send(this.process, instanceId, message); }

  #call<T>(method: string, run: () => Answer<T>, args: readonly unknown[], sureTwice?: (answer: T) => boolean): Promise<T> {
    const name = this.link.isTraced ? `${method} ${args.map(shortArg).join(' ')}` : method;
    return this.link.call(method, name, run, true, sureTwice);
  }
}

const shortArg = (arg: unknown): string => {
  if (typeof arg === 'string') return arg.replaceAll(/[\w-]+\.s\.([0-9a-f]{6})[0-9a-f]+/g, '$1').replaceAll(/\b([0-9a-f]{6})[0-9a-f]{26}\b/g, '$1');
  // JSON has nothing for undefined, which the compiler does not say.
  const text = JSON.stringify(arg, (_, each: unknown) => (each instanceof Map ? Object.fromEntries(each) as unknown : typeof each === 'string' ? shortArg(each) : each)) as string | undefined;
  return text ?? '-';
};
