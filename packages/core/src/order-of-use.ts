/** What can stand in an {@link OrderOfUse}; the links are its. */
export interface Linked<T> {
  older: T | undefined;
  newer: T | undefined;
}

/**
 * Items by their last use. A `Map` or a `Set` could keep the order as well, but its first entry is found by walking over all that
 * were deleted before it. And one that empties over and over gets a new table each time, to which the one before points: once a
 * table has grown old, all after it and what was in them stays until the next full collection.
 */
export class OrderOfUse<T extends Linked<T>> {
  #oldest: T | undefined;
  #newest: T | undefined;
  #size = 0;

  get size(): number { return this.#size; }
  get oldest(): T | undefined { return this.#oldest; }
  get newest(): T | undefined { return this.#newest; }

  /** Puts an item that is not in the order behind all others. */
  append(item: T): void {
    item.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = item;
    else this.#newest.newer = item;
    this.#newest = item;
    this.#size += 1;
  }

  /** Takes an item that is in the order out of it. */
  take(item: T): void {
    if (item.older === undefined) this.#oldest = item.newer;
    else item.older.newer = item.newer;
    if (item.newer === undefined) this.#newest = item.older;
    else item.newer.older = item.older;
    item.older = item.newer = undefined;
    this.#size -= 1;
  }

  clear(): void {
    this.#oldest = this.#newest = undefined;
    this.#size = 0;
  }
}
