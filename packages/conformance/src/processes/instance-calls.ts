import type { StoreCapabilities } from '@cluster/core';
import type { Beginning } from './messages.js';

/** What a request can see and write: numbers by name; null: not there. */
export type Content = Readonly<Record<string, number | null>>;

/** The attributes of all sessions. */
export const NAMES = ['a', 'b', 'c'] as const;

export type Access = 'exclusive' | 'snapshot';
export type Affinity = 'auto' | 'keep' | 'release';

/** How the instances' managers are set; short, so that a test need not wait for long. */
export interface ManagerSettings {
  readonly leaseMs: number;
  readonly readLeaseMs: number;
  readonly storeTimeoutMs: number;
  readonly lockTimeoutMs: number;
}

export interface InstanceBeginning extends Beginning {
  readonly settings: ManagerSettings;
  readonly affinity: Affinity;
}

/** Handles of sessions stay in their process, and are known by a number. */
export interface FoundSession { readonly handle: number; readonly content: Content }

export type DeadlyMethod = 'find' | 'send' | 'changeId' | 'remove';
export interface Survived { readonly steps: number; readonly value: unknown }

/** What a process with an instance in it can be asked for; by itself it tells of each change that its store accepted. */
export interface InstanceCalls {
  /** Starts the manager; resolves to what the driver of its store declares, undefined for a store written by hand. */
  begin(beginning: InstanceBeginning): Promise<StoreCapabilities | undefined>;
  /** A new session with this content; resolves to its id. */
  create(content: Content): Promise<string>;
  find(id: string, access: Access, label: string): Promise<FoundSession | undefined>;
  /** Publishes a change; resolves to what became of one that came without the lock, if it met another. */
  send(handle: number, change: Content, goesOn: boolean): Promise<'merged' | 'dropped' | undefined>;
  release(handle: number): Promise<void>;
  /** Gives the session another id, with a change; its handle goes on. */
  changeId(handle: number, change: Content): Promise<string>;
  remove(id: string): Promise<'confirmed' | 'unconfirmed' | 'moved'>;
  /** Does nothing at all for this long, as a program does that computes. */
  block(ms: number): void;
  /** Makes the named call and dies at that step of it; resolves if the call has fewer. */
  dying(atStep: number, method: DeadlyMethod, args: readonly unknown[]): Promise<Survived>;
  stop(): Promise<void>;
}
