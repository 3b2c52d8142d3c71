import type { SessionMap } from './session-map.js';
import type { Message } from './session-table.js';

/** Whoever waits says it again, so what does not fit is not missed. */
const MOST_MESSAGES = 8;
const KEPT_MS = 60_000;

/**
 * Signals over a map that carries none: a cell per instance, into which the instance looks a few times per lease. That is late,
 * and in time to free a session that is locked under a grant of which its instance knows nothing.
 */
export class Mailbox {
  constructor(private readonly map: SessionMap, private readonly keyOf: (instanceId: string) => string) {}

  async put(instanceId: string, message: Message): Promise<void> {
    const key = this.keyOf(instanceId);
    const found = await this.map.get(key);
    const messages = messagesIn(found?.value);
    if (messages.length >= MOST_MESSAGES) return;
    // One that was overtaken by another instance's is lost, as signals may be.
    await this.map.compareAndSet(key, found?.revision, { value: JSON.stringify([...messages, message]), lifetimeMs: KEPT_MS });
  }

  /** What has arrived; each message is handed out once. */
  async take(instanceId: string): Promise<readonly Message[]> {
    const key = this.keyOf(instanceId);
    const found = await this.map.get(key);
    const messages = messagesIn(found?.value);
    if (messages.length === 0) return [];
    const isMine = await this.map.compareAndSet(key, found?.revision, { value: '[]', lifetimeMs: KEPT_MS }) !== undefined;
    return isMine ? messages : [];
  }
}

/** Written above, by this or another instance of the same context. */
const messagesIn = (value = '[]'): readonly Message[] => JSON.parse(value) as Message[];
