import type { Session } from '@cluster/core';

type Callback = (error?: unknown) => void;

/** What a session of a request can do beside keeping attributes. Each takes a callback and returns a promise as well. */
export interface SessionMethods {
  /** The attributes of the session cookie, to be read; they are set in the options of `session`. */
  readonly cookie: {
    readonly path: string; readonly httpOnly: boolean; readonly secure: boolean | 'auto'; readonly sameSite: 'lax' | 'strict' | 'none';
    readonly domain: string | undefined; readonly partitioned: boolean; readonly priority: string | undefined;
    readonly maxAge: number | undefined; readonly originalMaxAge: number | undefined; readonly expires: Date | undefined;
  };
  /** Stores what has changed so far and goes on with the lock. */
  save(callback?: Callback): Promise<void>;
  /** Drops what has changed since the last save and shows what is stored. */
  reload(callback?: Callback): Promise<void>;
  /** Stores what has changed and gives the lock up before the response ends. Reading goes on, a change throws. */
  release(callback?: Callback): Promise<void>;
  /**
   * Goes on under a new id; the old one is gone, and `req.session` is another handle. Call it at every login. Attributes
   * named in `keep` come along, with `keep: true` all of them, by default none.
   */
  regenerate(callback?: Callback): Promise<void>;
  regenerate(options: { readonly keep?: true | readonly string[] }, callback?: Callback): Promise<void>;
  /** Ends the session in the whole cluster and clears the cookie. `req.session` is a new, empty one from here on. */
  destroy(callback?: Callback): Promise<void>;
  /** Does nothing: a request that finds its session has touched it. */
  touch(callback?: Callback): Promise<void>;
}

/** The session of a request: its attributes as properties, and the methods. */
export type HttpSession = Session & SessionMethods;
