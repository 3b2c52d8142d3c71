/** Numbers that follow from a seed. */
export class Random {
  #state: number;

  constructor(seed: number) { this.#state = (seed * 2_654_435_761) >>> 0; }

  /** From 0 up to, not including, 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  chance(probability: number): boolean { return this.next() < probability; }

  /** A whole number from 0 up to, not including, the bound. */
  below(bound: number): number { return Math.floor(this.next() * bound); }

  oneOf<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new RangeError('nothing to choose from');
    return item;
  }
}
