import type { FindOptions } from './cluster-store.js';
import { ClusterError } from './errors.js';

export type Access = NonNullable<FindOptions['access']>;
const ACCESS: ReadonlySet<unknown> = new Set<Access>(['exclusive', 'snapshot', 'shared']);

/** @throws ClusterError CLUSTER_BAD_OPTION naming the option that is not as expected */
export function accessOf({ access = 'exclusive', waitMs }: FindOptions): Access {
  if (!ACCESS.has(access)) {
    throw new ClusterError('CLUSTER_BAD_OPTION', `findSession: access: expected 'exclusive', 'snapshot' or 'shared', found '${access}'`);
  }
  if (waitMs !== undefined && !(Number.isFinite(waitMs) && waitMs >= 0)) {
    throw new ClusterError('CLUSTER_BAD_OPTION', `findSession: waitMs: expected a number of ms from 0 up, found ${String(waitMs)}`);
  }
  return access;
}
