/** Rules of the session table that a mutation takes away. All of them hold in a store that is right. */
export interface Rules {
  /** A re-grant ends the former grant; else what is on its way under it is still accepted. */
  readonly regrantFences: boolean;
  /** `have` compares grant and version; else the version alone. */
  readonly haveByStamp: boolean;
  /** A commit is refused if its base is not the present version. */
  readonly baseVersion: boolean;
  /** A commit is refused under another grant than the holder's. */
  readonly fence: boolean;
  /** A `whole` is accepted up to its base only. */
  readonly wholeUpToBase: boolean;
  /** A removal with a grant is confirmed only by a tombstone that carries it. */
  readonly ownTombstone: boolean;
}

export const allRules: Rules = {
  regrantFences: true, haveByStamp: true, baseVersion: true, fence: true, wholeUpToBase: true, ownTombstone: true,
};
