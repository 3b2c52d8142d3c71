import type { Session } from '@cluster/core';

type Callback = (error?: unknown) => void;

/** What a session of a request can do beside keeping attributes. Each takes a callback and returns a promise as well. */
export interface SessionMethods {
  /**
   * The session cookie. Its age can be set for this session (`maxAge`, or one of the other two): it is kept in the session, and
   * the session ends after as much time without use, in place of `idleTimeoutMs`. The rest is set in the options of `session`.
   */
  readonly cookie: {
    readonly path: string; readonly httpOnly: boolean; readonly secure: boolean | 'auto'; readonly sameSite: 'lax' | 'strict' | 'none';
    readonly domain: string | undefined; readonly partitioned: boolean; readonly priority: string | undefined;
    /** Milliseconds; none: the cookie ends with the browser's session. Throws `CLUSTER_BAD_OPTION`, `CLUSTER_SESSION_ENDED`. */
    get maxAge(): number | undefined;
    set maxAge(ms: number | null | undefined);
    /** The same. */
    get originalMaxAge(): number | null;
    set originalMaxAge(ms: number | null | undefined);
    /** The same, counted from now. */
    get expires(): Date | null;
    set expires(at: Date | false | null | undefined);
  };
  /** Stores what has changed so far and goes on with the lock. */
  save(callback?: Callback): Promise<void>;
  /** Drops what has changed since the last save and shows what is stored. */
  reload(callback?: Callback): Promise<void>;
  /** Stores what has changed and gives the lock up before the response ends. Reading goes on, a change throws. */
  release(callback?: Callback): Promise<void>;
  /**
   * Goes on under a new id; the old one is gone, and `req.session` is another handle. Call it at every login. Attributes
   * named in `keep` come along, with `keep: true` all of them, by default none; so does the cookie's own `maxAge`, as `cookie`.
   */
  regenerate(callback?: Callback): Promise<void>;
  regenerate(options: { readonly keep?: true | readonly string[] }, callback?: Callback): Promise<void>;
  /** Ends the session in the whole cluster and clears the cookie. `req.session` is a new, empty one from here on. */
  destroy(callback?: Callback): Promise<void>;
  /**
   * Starts the idle time anew, and the age of the cookie if headers have not left. Finding the session did so too: this is for
   * requests that last. Rejects with `CLUSTER_SESSION_ENDED` if the session is gone.
   */
  touch(callback?: Callback): Promise<void>;
}

/** The session of a request: its attributes as properties, and the methods. */
export type HttpSession = Session & SessionMethods;
