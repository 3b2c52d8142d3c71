/** Chance that is the same for the same seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed, 0x9e3779b1) | 0;
    for (let round = 0; round < 8; round += 1) this.next();
  }

  /** From 0 up to, not including, 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  chance(probability: number): boolean { return probability > 0 && this.next() < probability; }
  between(low: number, high: number): number { return low + (high - low) * this.next(); }
  /** A whole number from `low` to `high`, both included. */
  int(low: number, high: number): number { return low + Math.floor((high - low + 1) * this.next()); }

  pick<T>(choices: readonly T[]): T {
    const choice = choices[Math.floor(choices.length * this.next())];
    if (choice === undefined) throw new Error('nothing to choose from');
    return choice;
  }

  /** One of the names, by weight. */
  weighted<K extends string>(weights: Readonly<Partial<Record<K, number>>>): K {
    // Object.entries loses the type of the keys.
    const entries = Object.entries(weights) as [K, number][];
    let left = entries.reduce((sum, [, weight]) => sum + weight, 0) * this.next();
    for (const [name, weight] of entries) {
      left -= weight;
      if (left < 0) return name;
    }
    throw new Error('nothing to choose from');
  }

  hex(bytes: number): string {
    let text = '';
    while (text.length < bytes * 2) text += Math.floor(this.next() * 0x1_0000_0000).toString(16).padStart(8, '0');
    return text.slice(0, bytes * 2);
  }
}
