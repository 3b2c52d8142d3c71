import type { World } from './world.js';

interface Hold { readonly session: string; readonly label: string; readonly calledMs: number; readonly gotMs: number; endMs: number }

/** Who had which session for itself, and since when it had asked. */
export class Holds {
  readonly #all: Hold[] = [];
  readonly #open = new Map<string, Hold>();

  constructor(private readonly world: World) {}

  begin(session: string, label: string, calledMs: number): void {
    const hold = { session, label, calledMs, gotMs: this.world.nowMs, endMs: Infinity };
    this.#all.push(hold);
    this.#open.set(label, hold);
  }

  end(label: string): void {
    const hold = this.#open.get(label);
    this.#open.delete(label);
    if (hold !== undefined) hold.endMs = this.world.nowMs;
  }

  /** Somebody waited for a session while another request had it for longer than it may. */
  *tooLong(lockHoldMs: number, marginMs: number): Iterable<string> {
    for (const { session, label, calledMs, gotMs } of this.#all) {
      for (const other of this.#all) {
        if (other.session !== session || other.gotMs >= gotMs) continue;
        const overMs = Math.min(other.endMs, gotMs) - Math.max(other.gotMs + lockHoldMs, calledMs);
        if (overMs > marginMs) yield `${label} waited for ${session} while ${other.label} had it ${overMs.toFixed(0)} ms longer than lockHoldMs`;
      }
    }
  }
}
