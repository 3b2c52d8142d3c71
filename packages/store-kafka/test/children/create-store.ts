import { connect } from 'node:net';
import type { ClusterStore } from '@cluster/core';
import { KafkaStore } from '../../src/index.js';

interface Address { readonly host: string; readonly port: number }
interface Config {
  readonly brokers: readonly string[];
  readonly replicas: number;
  /** Where to go instead: brokers tell their clients where they listen, which leads around a proxy. */
  readonly instead?: Readonly<Record<string, Address>>;
}

/** What the conformance kit calls in its processes. */
export const createStore = ({ instanceId, config: { brokers, replicas, instead = {} } }: { instanceId: string; config: Config }): ClusterStore =>
  new KafkaStore({
    connect: {
      brokers, socketFactory: ({ host, port, onConnect }) => connect({ host, port, ...instead[`${host}:${port}`] }, onConnect),
    },
    replicas, instanceId,
  });
