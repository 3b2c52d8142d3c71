import { hash } from 'node:crypto';
import type { Clock } from './clock.js';
import { ClusterError } from './errors.js';

const ID_BYTES = 24;
// Long enough for any id that a store of another library made, short enough to hash without a thought.
const MAX_ID_LENGTH = 512;

/** A fresh session id: 192 random bits as 32 characters of base64url. */
export const newSessionId = (clock: Pick<Clock, 'randomHex'>): string => Buffer.from(clock.randomHex(ID_BYTES), 'hex').toString('base64url');

/** SHA-256 of an id, as 64 hex digits: what is stored, so that who reads the store cannot take a session over. */
export const digestOf = (id: string): string => hash('sha256', id, 'hex');

/** What events and messages call a session: 12 digits of its digest. */
export const shortName = (key: string): string => key.slice(-64, -52);

/**
 * @throws ClusterError CLUSTER_BAD_OPTION if the id is not a string of 1 to 512 characters
 */
export function checkSessionId(id: unknown): asserts id is string {
  if (typeof id !== 'string' || id.length === 0 || id.length > MAX_ID_LENGTH) {
    const found = typeof id === 'string' ? `one of ${id.length} characters` : `a value of type ${typeof id}`;
    throw new ClusterError('CLUSTER_BAD_OPTION', `session id: expected a string of 1 to ${MAX_ID_LENGTH} characters, found ${found}`);
  }
}
