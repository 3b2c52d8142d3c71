import { managerOptions } from '@cluster/core/driver';

const ofManager = (option: string) => `use ${option} of session() or of the manager`;
const ofClient = 'use url, or client: new Redis({ ... }) of ioredis';

/** What to do in place of options of connect-redis and other stores, and of clients of Redis. */
export const hints: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.keys(managerOptions).map((option) => [option, 'give it to session() or to the manager'])),
  ttl: `${ofManager('idleTimeoutMs')}, in ms`,
  disableTTL: ofManager('idleTimeoutMs'),
  serializer: ofManager('codec'),
  disableTouch: 'leave it out: touches are few, and sent together',
  logErrors: "leave it out: a request gets its error, the manager's events tell of the others",
  redis: 'use client',
  keyPrefix: 'use prefix',
  uri: 'use url',
  nodes: 'use client: new Cluster(nodes) of ioredis',
  isRedisCluster: 'use client: new Cluster(nodes) of ioredis',
  sentinels: 'use client: new Redis({ sentinels, name }) of ioredis',
  host: ofClient,
  port: ofClient,
  path: ofClient,
  socket: ofClient,
  username: ofClient,
  password: ofClient,
  db: ofClient,
  database: ofClient,
  tls: ofClient,
};
