import { randomUUID } from 'node:crypto';
import { ClusterError, type ClusterStore, type Manager, type SessionSnapshot } from '@cluster/core';
import { KvClient } from './kv-client.js';
import type { Answer } from './kv-server.js';

type Attributes = SessionSnapshot['attributes'];
type Written = string | { readonly base64: string };

// An array of pairs: an object would lose the attribute `__proto__`.
const write = (attributes: Attributes): string => JSON.stringify([...attributes].map(([name, value]) =>
  [name, typeof value === 'string' ? value : { base64: Buffer.from(value).toString('base64') }]));

const read = (text: string): Attributes => new Map((JSON.parse(text) as [string, Written][]).map(([name, value]) => // what write() makes
  [name, typeof value === 'string' ? value : new Uint8Array(Buffer.from(value.base64, 'base64'))]));

/** Sessions in the key-value process. Its locks are this store's locks; they end with the connection. */
export class KvStore implements ClusterStore {
  readonly instanceId: string;
  readonly #client: KvClient;
  #prefix = '';

  constructor({ port, instanceId = randomUUID() }: { readonly port: number; readonly instanceId?: string }) {
    this.instanceId = instanceId;
    this.#client = new KvClient(port);
  }

  async start({ context }: Pick<Manager, 'context'>): Promise<void> {
    this.#prefix = `${context}/`;
    await this.#ask('ping', '');
  }

  /** The connection's end frees what is locked. */
  stop(): Promise<void> {
    return this.#client.close();
  }

  findSession(id: string): Promise<SessionSnapshot | undefined> {
    return this.#session('lock', id);
  }

  readSession(id: string): Promise<SessionSnapshot | undefined> {
    return this.#session('get', id);
  }

  async sendSession({ id, attributes, lifetimeMs }: SessionSnapshot, { keep, isNew }: { keep: boolean; isNew: boolean }): Promise<void> {
    const [key, value] = [this.#prefix + id, write(attributes)];
    // Rejected by anything else than CLUSTER_FENCED the outcome counts as unknown, and so it is: the connection broke.
    const { status } = await this.#client.ask({ op: isNew ? 'add' : 'put', key, value, lifetimeMs, keep });
    if (status !== 'done') throw new ClusterError('CLUSTER_FENCED', 'not stored: this instance has no lock on the session');
  }

  async removeSession(id: string, why: 'removed' | 'moved'): Promise<void> {
    const { status, why: ended } = await this.#client.ask({ op: 'end', key: this.#prefix + id, why });
    if (ended === 'moved') throw new ClusterError('CLUSTER_MOVED', 'the session goes on under another id');
    if (why === 'moved' && status !== 'done') throw new ClusterError('CLUSTER_FENCED', 'not moved: this instance has no lock on the session');
  }

  async touchSessions(lifetimesMs: ReadonlyMap<string, number>): Promise<void> {
    await Promise.all([...lifetimesMs].map(([id, lifetimeMs]) => this.#ask('touch', id, lifetimeMs)));
  }

  /** The key-value process tells nobody about changes. */
  receiveSession(): void { /* nothing arrives */ }

  async #session(op: 'lock' | 'get', id: string): Promise<SessionSnapshot | undefined> {
    const { status, why, value = '[]', ageMs = 0, idleMs = 0, lifetimeMs = 0 } = await this.#ask(op, id);
    if (status === 'locked') throw new ClusterError('CLUSTER_LOCKED', 'another instance has the session');
    if (status === 'gone' && why === 'moved') throw new ClusterError('CLUSTER_MOVED', 'the session goes on under another id');
    return status === 'done' ? { id, attributes: read(value), ageMs, idleMs, lifetimeMs } : undefined;
  }

  /** For steps that may fail without a doubt left: a lock that was taken unheard ends with its connection. */
  async #ask(op: 'ping' | 'lock' | 'get' | 'touch', id: string, lifetimeMs = 0): Promise<Answer> {
    try {
      return await this.#client.ask({ op, key: this.#prefix + id, lifetimeMs });
    } catch (cause) {
      throw new ClusterError('CLUSTER_UNAVAILABLE', 'the key-value process cannot be reached', { cause });
    }
  }
}
