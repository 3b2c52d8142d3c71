/** What each code means and what to do about it; the source of the table in the docs. */
export const errorCodes = {
  CLUSTER_LOCKED: { status: 503, meaning: 'Another request has the session and did not give it up in time.', remedy: 'Retry; shorten the request that the message and `holder` name, or let it call release().' },
  CLUSTER_CONFLICT: { status: 409, meaning: 'A snapshot request changed attributes that somebody else changed meanwhile; nothing was stored.', remedy: "Retry, use access 'exclusive' for that route, or onConflict 'merge'." },
  CLUSTER_FENCED: { status: 503, meaning: 'This instance lost the lock before the change arrived; the change was certainly not stored.', remedy: 'Retry the request.' },
  CLUSTER_UNKNOWN_OUTCOME: { status: 503, meaning: 'The store did not say whether the change was stored, and it could not be found out in time.', remedy: 'Read the session again before repeating the change.' },
  CLUSTER_MOVED: { status: 409, meaning: 'The session goes on under another id.', remedy: 'Use the id that the id change returned.' },
  CLUSTER_UNAVAILABLE: { status: 503, meaning: 'The store cannot be reached or refused the operation; nothing was changed.', remedy: 'Check the store; retry.' },
  CLUSTER_QUEUE_FULL: { status: 503, meaning: 'Too many requests wait for this session on this instance.', remedy: 'Retry later; see maxWaiting.' },
  CLUSTER_SESSION_ENDED: { status: 409, meaning: 'The session was removed, or this handle has been sent or released.', remedy: 'Find the session again, or start a new one.' },
  CLUSTER_NOT_ENCODABLE: { status: 500, meaning: 'The codec cannot encode the named attribute, or its name is no Unicode text; nothing was stored.', remedy: 'Store plain data: no functions, no class instances.' },
  CLUSTER_RESERVED_NAME: { status: 500, meaning: 'The attribute name is reserved for the session itself.', remedy: 'Choose another name.' },
  CLUSTER_TOO_LARGE: { status: 500, meaning: 'The record would exceed maxRecordBytes, or the largest message of the server; nothing was stored.', remedy: 'Keep large values elsewhere, or raise the bound that the message names.' },
  CLUSTER_FULL: { status: 503, meaning: 'The store takes no new sessions, since it has reached its bound; those that exist go on.', remedy: 'Raise the bound that the message names, or let sessions end earlier.' },
  CLUSTER_UNREADABLE: { status: 500, meaning: 'A stored record or attribute cannot be read.', remedy: "Inspect what the message names; see onUnreadable." },
  CLUSTER_FOREIGN_VERSION: { status: 500, meaning: 'A stored record was written by another version of its layout.', remedy: 'Run one major version per context.' },
  CLUSTER_BAD_OPTION: { status: 500, meaning: 'An option or argument is not what was expected.', remedy: 'The message names each, with what was expected and found.' },
  CLUSTER_STOPPED: { status: 503, meaning: 'The manager or store has been stopped.', remedy: 'Route the request to another instance.' },
} as const satisfies Record<string, { status: number; meaning: string; remedy: string }>;

export type ClusterErrorCode = keyof typeof errorCodes;

/** Who has a session that a request waits for, as far as it is known. */
export interface LockHolder {
  /** Undefined: the store does not say. */
  readonly instanceId: string | undefined;
  /** It is this instance. */
  readonly isHere: boolean;
  /** What the request that has it calls itself. */
  readonly label: string | undefined;
  /** For how long it has had it. */
  readonly heldMs: number | undefined;
  /** Where its instance can be reached: the `publicUrl` of that one's manager. */
  readonly publicUrl: string | undefined;
}

interface ErrorOptions {
  readonly cause?: unknown;
  readonly holder?: LockHolder | undefined;
  readonly redirectTo?: string | undefined;
  /** Seconds after which a retry makes sense; default 1 for status 503. Of CLUSTER_UNKNOWN_OUTCOME none does. */
  readonly retryAfterS?: number;
}

/**
 * The one error class. `code` says what happened; `status`, `headers` and `expose` have the shape of http-errors, so that
 * Express, Koa and Fastify answer it without middleware. Messages never contain a session id or a secret.
 */
export class ClusterError extends Error {
  override readonly name = 'ClusterError';
  readonly code: ClusterErrorCode;
  readonly status: number;
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly expose: boolean;
  /** Of CLUSTER_LOCKED, where it is known: who has the session. */
  declare readonly holder?: LockHolder;
  /** Of CLUSTER_LOCKED where `onLocked` says 'redirect': the public address of the instance at which to repeat the request. */
  declare readonly redirectTo?: string;

  constructor(code: ClusterErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = this.statusCode = errorCodes[code].status;
    // Whoever repeats a change that may be stored makes it twice: proxies and clients obey the header.
    this.headers = this.status === 503 && code !== 'CLUSTER_UNKNOWN_OUTCOME' ? { 'Retry-After': String(options.retryAfterS ?? 1) } : {};
    this.expose = this.status < 500;
    if (options.holder !== undefined) this.holder = options.holder;
    if (options.redirectTo !== undefined) this.redirectTo = options.redirectTo;
  }

  /** True for a `ClusterError`, also one of a second installed copy of core. */
  static is(error: unknown, code?: ClusterErrorCode): error is ClusterError {
    return error instanceof Error && error.name === 'ClusterError' && 'code' in error
      && (code === undefined || error.code === code);
  }
}
