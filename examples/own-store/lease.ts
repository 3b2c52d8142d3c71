/** A connection that says nothing for this long has ended, and its locks with it. */
export const LEASE_MS = 2_000;
