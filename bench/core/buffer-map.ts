import type { DriverContext, Entry, Found, Message, SessionMap } from '@cluster/core/driver';

const KEY_BYTES = 96;
const HEAD_BYTES = 8;

/**
 * A map for one instance that keeps the records of sessions in one large buffer: what is found on the heap is then the engine's.
 * Records are ASCII and do not expire.
 */
export class BufferMap implements SessionMap {
  readonly capabilities = { durability: 'process', gone: 'dead', rollback: false } as const;
  readonly #records: Buffer;
  /** By hash: the number of a record, from 1 on. */
  readonly #index: Int32Array;
  /** Leases and settings. */
  readonly #others = new Map<string, { readonly value: string; readonly revision: string }>();
  readonly #recordBytes: number;
  #count = 0;
  #puts = 0;
  #receive: (message: Message) => void = () => undefined;

  constructor(private readonly most: number, valueBytes: number) {
    this.#recordBytes = HEAD_BYTES + KEY_BYTES + valueBytes;
    this.#records = Buffer.alloc(most * this.#recordBytes);
    this.#index = new Int32Array(2 ** Math.ceil(Math.log2(2 * most)));
  }

  get count(): number { return this.#count; }

  start({ receive, listening }: DriverContext): Promise<void> {
    this.#receive = receive;
    listening(true);
    return Promise.resolve();
  }

  signal(_instanceId: string, message: Message): Promise<boolean> {
    queueMicrotask(() => { this.#receive(message); });
    return Promise.resolve(true);
  }

  get(key: string): Promise<Found | undefined> {
    if (!key.includes('.s.')) return Promise.resolve(this.#others.get(key));
    const at = this.#find(key);
    return Promise.resolve(at === undefined ? undefined : { value: this.#value(at), revision: String(this.#records.readUInt32LE(at)) });
  }

  compareAndSet(key: string, expected: string | undefined, { value }: Entry): Promise<string | undefined> {
    const revision = String(++this.#puts);
    if (!key.includes('.s.')) {
      if (this.#others.get(key)?.revision !== expected) return Promise.resolve(undefined);
      this.#others.set(key, { value, revision });
      return Promise.resolve(revision);
    }
    const known = this.#find(key);
    if ((known === undefined ? undefined : String(this.#records.readUInt32LE(known))) !== expected) return Promise.resolve(undefined);
    const at = known ?? this.#add(key);
    if (value.length > this.#recordBytes - HEAD_BYTES - KEY_BYTES) throw new Error(`a record of ${value.length} bytes does not fit`);
    this.#records.writeUInt32LE(this.#puts, at);
    this.#records.writeUInt32LE(value.length, at + 4);
    this.#records.write(value, at + HEAD_BYTES + KEY_BYTES, 'latin1');
    return Promise.resolve(revision);
  }

  *values(): Generator<string> {
    for (let number = 0; number < this.#count; number += 1) yield this.#value(number * this.#recordBytes);
  }

  #value(at: number): string {
    const from = at + HEAD_BYTES + KEY_BYTES;
    return this.#records.toString('latin1', from, from + this.#records.readUInt32LE(at + 4));
  }

  /** Where the key's record begins. */
  #find(key: string): number | undefined {
    const number = this.#index[this.#place(key)] ?? 0;
    return number === 0 ? undefined : (number - 1) * this.#recordBytes;
  }

  #add(key: string): number {
    if (this.#count === this.most) throw new Error(`more than ${this.most} records`);
    const at = this.#count * this.#recordBytes;
    this.#count += 1;
    this.#index[this.#place(key)] = this.#count;
    this.#records.write(key.padEnd(KEY_BYTES), at + HEAD_BYTES, 'latin1');
    return at;
  }

  /** Of the key in the index, or of the free place where it would be. */
  #place(key: string): number {
    // Keys of sessions end in a digest.
    let place = Number.parseInt(key.slice(-8), 16) & (this.#index.length - 1);
    for (let number = this.#index[place] ?? 0; number !== 0; number = this.#index[place] ?? 0) {
      const at = (number - 1) * this.#recordBytes + HEAD_BYTES;
      if (this.#records.toString('latin1', at, at + key.length) === key && this.#records[at + key.length] === 0x20) return place;
      place = (place + 1) & (this.#index.length - 1);
    }
    return place;
  }
}
