import { performance } from 'node:perf_hooks';
import { ClusterError, type ClusterStore, type SessionSnapshot } from '@cluster/core';

export interface Kept {
  attributes: SessionSnapshot['attributes'];
  lifetimeMs: number;
  madeMs: number;
  usedMs: number;
  holder: string | undefined;
}

/** What the stores of one cluster share. */
export interface MemoryCluster {
  readonly kept: Map<string, Kept>;
  readonly gone: Map<string, 'removed' | 'moved'>;
  /** The names of the instances that run. */
  readonly running: Set<string>;
}

export const newCluster = (): MemoryCluster => ({ kept: new Map(), gone: new Map(), running: new Set() });

export function keptAt(cluster: MemoryCluster, id: string): Kept | undefined {
  const kept = cluster.kept.get(id);
  return kept !== undefined && performance.now() - kept.usedMs < kept.lifetimeMs ? kept : undefined;
}

export function snapshotOf(id: string, { attributes, lifetimeMs, madeMs, usedMs }: Kept): SessionSnapshot {
  const nowMs = performance.now();
  return { id, attributes, lifetimeMs, ageMs: nowMs - madeMs, idleMs: nowMs - usedMs };
}

/** Frees what an instance has locked: its stop, or the end of its connection. */
export function freeAll(cluster: MemoryCluster, instanceId: string): void {
  for (const kept of cluster.kept.values()) if (kept.holder === instanceId) kept.holder = undefined;
}

export type FullStore = Required<ClusterStore>;

const fenced = () => new ClusterError('CLUSTER_FENCED', 'not stored');

/** A ClusterStore in memory, as the contract has it. */
export function memoryStore(cluster: MemoryCluster, instanceId: string): FullStore {
  cluster.running.add(instanceId);
  return {
    instanceId,
    async start() { /* nothing to connect */ },
    async stop() { freeAll(cluster, instanceId); },
    async findSession(id) {
      if (cluster.gone.get(id) === 'moved') throw new ClusterError('CLUSTER_MOVED', 'moved');
      const kept = keptAt(cluster, id);
      if (kept === undefined) return undefined;
      if (kept.holder !== undefined && kept.holder !== instanceId) throw new ClusterError('CLUSTER_LOCKED', 'locked');
      kept.holder = instanceId;
      return snapshotOf(id, kept);
    },
    async sendSession({ id, attributes, lifetimeMs }, { keep, isNew }) {
      const kept = keptAt(cluster, id);
      if (isNew ? kept !== undefined || cluster.gone.has(id) : kept?.holder !== instanceId) throw fenced();
      const usedMs = performance.now();
      cluster.kept.set(id, { attributes, lifetimeMs, madeMs: kept?.madeMs ?? usedMs, usedMs, holder: keep ? instanceId : undefined });
    },
    async removeSession(id, why) {
      if (cluster.gone.get(id) === 'moved') throw new ClusterError('CLUSTER_MOVED', 'moved');
      if (why === 'moved' && keptAt(cluster, id)?.holder !== instanceId) throw fenced();
      if (!cluster.kept.delete(id)) return;
      cluster.gone.set(id, why);
    },
    receiveSession() { /* nothing arrives */ },
    async readSession(id) {
      const kept = keptAt(cluster, id);
      return kept && snapshotOf(id, kept);
    },
    async touchSessions(lifetimesMs) {
      for (const [id, lifetimeMs] of lifetimesMs) {
        const kept = keptAt(cluster, id);
        if (kept !== undefined) [kept.lifetimeMs, kept.usedMs] = [lifetimeMs, performance.now()];
      }
    },
  };
}
