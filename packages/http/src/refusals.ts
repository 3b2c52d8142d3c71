import { ClusterError } from '@cluster/core';

// What the methods of a session refuse.

export const notEnded = () => new ClusterError('CLUSTER_MOVED', 'the session goes on under another id, so it was not ended; repeat the request with the present cookie');

export const storeDown = () => new ClusterError('CLUSTER_UNAVAILABLE', 'the store could not be reached, so the session was not ended');

export const gone = () => new ClusterError('CLUSTER_SESSION_ENDED', 'the session has ended; begin anew');

export const tooLate = () =>
  new ClusterError('CLUSTER_SESSION_ENDED', 'regenerate: the response has begun, so the client cannot be told the new id; call it before');
