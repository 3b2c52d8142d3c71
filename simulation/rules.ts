/** Rules of the session table that a mutation takes away. All of them hold in a store that is right. */
export interface Rules {
  /** A re-grant ends the former grant; else what is on its way under it is still accepted. */
  readonly regrantFences: boolean;
  /** `have` compares grant and version; else the version alone. */
  readonly haveByStamp: boolean;
  /** A delta is refused if the version of its base is not the present one. */
  readonly baseVersion: boolean;
  /** A base is compared by its grant as well; else by the version alone. */
  readonly baseGrant: boolean;
  /** A commit is refused under another grant than the holder's. */
  readonly fence: boolean;
  /** A `whole` is refused like a delta if its base is not the present stamp. */
  readonly baseOfWhole: boolean;
  /** A removal with a grant is refused if its base is not the present stamp. */
  readonly baseOfRemove: boolean;
  /** A removal with a grant is confirmed only by a tombstone that carries it. */
  readonly ownTombstone: boolean;
}

export const allRules: Rules = {
  regrantFences: true, haveByStamp: true, baseVersion: true, baseGrant: true, fence: true, baseOfWhole: true, baseOfRemove: true, ownTombstone: true,
};
