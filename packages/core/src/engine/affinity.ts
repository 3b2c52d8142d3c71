const WEIGHT = 1 / 50;
const START = 0.5;
const KEEP_FROM = 0.7;

/**
 * Whether requests for a session arrive where it is held: one moving average per instance of "the holder, or else the last
 * holder, was this instance". Each find or read counts once; new and unknown ids not at all.
 */
export class Affinity {
  #average = START;

  constructor(private readonly mode: 'auto' | 'keep' | 'release') {}

  count(mine: boolean): void {
    this.#average += WEIGHT * ((mine ? 1 : 0) - this.#average);
  }

  /** Whether to keep a session between requests; `tookFromPeer`: the last acquisition took it from another instance. */
  keeps(tookFromPeer: boolean): boolean {
    return this.mode === 'keep' || (this.mode === 'auto' && this.#average >= KEEP_FROM && !tookFromPeer);
  }
}
