/** Small and quick random numbers from a seed (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) { this.#state = seed | 0; }

  /** From 0 up to, not including, 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  chance(probability: number): boolean { return this.next() < probability; }
  between(from: number, to: number): number { return from + this.next() * (to - from); }
  /** A whole number from 0 up to, not including, the bound. */
  below(bound: number): number { return Math.floor(this.next() * bound); }

  pick<T>(from: readonly T[]): T {
    const picked = from[this.below(from.length)];
    if (picked === undefined) throw new Error('there is nothing to pick from');
    return picked;
  }

  /** One of the names, as often as its weight says. */
  weighted<N extends string>(weights: Readonly<Partial<Record<N, number>>>): N {
    const entries = Object.entries(weights) as [N, number][]; // its own names
    let left = this.next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    return (entries.find(([, weight]) => (left -= weight) < 0) ?? this.pick(entries))[0];
  }
}
