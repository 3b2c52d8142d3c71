import { validateHeaderName, validateHeaderValue, type ServerResponse } from 'node:http';
import { answerError, asError } from './answer.js';

/** What a response waits for. */
export interface Commit {
  /** Called once, at the first flush or the end. Undefined: nothing to wait for. Rejected: the error is answered instead. */
  begin(): Promise<void> | undefined;
  /** Called once, when the headers are about to leave: what adds those that tell the client about its session, if there are any. */
  announcement(): ((res: ServerResponse) => void) | undefined;
  /** The error that is answered in place of the response. */
  failed(error: unknown): void;
}

/** Body bytes kept while a commit is under way before `write` returns false. */
export const HELD_BYTES = 65_536;

type Method = (...args: unknown[]) => unknown;
type Head = [status: number, ...rest: unknown[]];
interface Held { readonly method: Method; readonly args: unknown[] }

const GATE = Symbol('gate');
// node:http looks at `_header` in headersSent, setHeader, writeHead and the like: with a text in it they behave as after
// the flush, which is what the handler has to see.
const HEADER_HELD = '(held back until the session is stored)';

interface Methods { writeHead: Method; write: Method; end: Method; flushHeaders: Method }
interface GatedResponse extends ServerResponse { [GATE]: Gate; _header: string | null }

// The same response, seen as a bearer of four methods that are exchanged one by one.
const methodsOf = (res: ServerResponse) => res as Methods;

// A response of HTTP/2 has but a getter there, and looks at its stream where node:http looks at `_header`.
const isHttp2 = (res: GatedResponse) => !Object.hasOwn(res, '_header');

function hideHeader(res: GatedResponse): void {
  if (isHttp2(res)) Object.defineProperty(res, 'headersSent', { value: true, configurable: true });
  else res._header = HEADER_HELD;
}

function showHeader(res: GatedResponse): void {
  if (isHttp2(res)) Reflect.deleteProperty(res, 'headersSent');
  else if (res._header === HEADER_HELD) res._header = null;
}

const enum State { Open, Committing, Passed, Failed }

class Gate {
  state = State.Open;
  readonly writeHead: Method;
  readonly write: Method;
  readonly end: Method;
  readonly flushHeaders: Method;
  #head: Head | undefined;
  #held: Held[] = [];
  #heldBytes = 0;
  #drainOwed = false;
  #error: unknown;

  constructor(readonly res: GatedResponse, readonly commit: Commit) {
    const methods = methodsOf(res);
    this.writeHead = methods.writeHead;
    this.write = methods.write;
    this.end = methods.end;
    this.flushHeaders = methods.flushHeaders;
  }

  keepHead(args: Head): void {
    const [status, reason] = args;
    this.res.statusCode = status | 0;
    if (typeof reason === 'string') this.res.statusMessage = reason;
    this.#head = args;
    hideHeader(this.res);
  }

  /** Calls the method now, or as soon as the commit is acknowledged. */
  pass(method: Method, args: unknown[]): unknown {
    if (this.state === State.Open) this.#begin();
    if (this.state === State.Passed) return method.apply(this.res, args);
    this.#held.push({ method, args });
    if (this.state === State.Failed) this.#drop();
    return this.res;
  }

  /** Whether the caller of `write` may go on. */
  room(chunk: unknown): boolean {
    if (this.state === State.Failed) return true;
    this.#heldBytes += (chunk as string | Uint8Array).length;
    if (this.#heldBytes < HELD_BYTES) return true;
    this.#drainOwed = true;
    return false;
  }

  #begin(): void {
    let committing: Promise<void> | undefined;
    try {
      committing = this.commit.begin();
    } catch (error) {
      committing = Promise.reject(asError(error));
    }
    if (committing === undefined) {
      this.#openOrFail();
      return;
    }
    this.state = State.Committing;
    hideHeader(this.res);
    committing.then(() => { this.#release(); }, (error: unknown) => { this.#fail(error); });
  }

  #openOrFail(): void {
    try {
      this.#open();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** From here on the response is node's own again. */
  #open(): void {
    const { res, commit } = this;
    this.state = State.Passed;
    showHeader(res);
    let head = this.#head;
    const announce = commit.announcement();
    if (announce !== undefined) {
      if (head !== undefined) head = withoutHeaders(res, head);
      announce(res);
      // A shared cache would hand the id to others. What the application says about caching is left as it is.
      if (!res.hasHeader('Cache-Control')) res.setHeader('Cache-Control', 'private');
    }
    if (head !== undefined) this.writeHead.apply(res, head);
    const methods = methodsOf(res);
    // What somebody wrapped stays, and calls the functions below.
    if (methods.end === end) methods.end = this.end;
    if (methods.write === write) methods.write = this.write;
    if (methods.writeHead === writeHead) methods.writeHead = this.writeHead;
    if (methods.flushHeaders === flushHeaders) methods.flushHeaders = this.flushHeaders;
  }

  #release(): void {
    const { res } = this;
    let goOn: unknown = true;
    try {
      this.#open();
      for (const { method, args } of this.#held) goOn = method.apply(res, args);
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#held = [];
    // What node did not take at once makes it emit 'drain' itself.
    if (this.#drainOwed && goOn !== false && !res.writableEnded) res.emit('drain');
  }

  #fail(error: unknown): void {
    const { res } = this;
    this.state = State.Failed;
    this.#error = error;
    this.commit.failed(error);
    showHeader(res);
    try {
      if (res.headersSent) res.destroy();
      else answerError(res, error, this);
    } catch {
      res.destroy();
    }
    this.#drop();
  }

  /** Nothing of the handler's body leaves; who waits for its callback gets the error. */
  #drop(): void {
    const held = this.#held;
    this.#held = [];
    for (const { args } of held) {
      const callback = args.findLast((arg) => typeof arg === 'function');
      if (callback !== undefined) process.nextTick(callback, this.#error);
    }
  }
}

const codedError = (error: Error, code: string): Error => Object.assign(error, { code });

const invalid = (what: string, found: unknown): Error =>
  codedError(new TypeError(`The "${what}" argument must be of type string or an instance of Buffer or Uint8Array. Received type ${typeof found}`), 'ERR_INVALID_ARG_TYPE');

// The four checks below are made by node when the bytes leave. Held back, the handler would not see them any more.
function checkStatus(status: unknown): void {
  const code = Number(status) | 0;
  if (code < 100 || code > 999) {
    throw codedError(new RangeError(`Invalid status code: ${String(status)}`), 'ERR_HTTP_INVALID_STATUS_CODE');
  }
}

function checkHeaders(headers: unknown): void {
  for (const [name, value] of pairsOf(headers)) {
    validateHeaderName(name);
    // node takes numbers and arrays too, which its typings leave out.
    for (const one of Array.isArray(value) ? value as unknown[] : [value]) validateHeaderValue(name, one as string);
  }
}

function checkChunk(chunk: unknown): void {
  if (chunk === null) throw codedError(new TypeError('May not write null values to stream'), 'ERR_STREAM_NULL_VALUES');
  if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) throw invalid('chunk', chunk);
}

/** The headers of `writeHead` in any of its forms: an object, a flat array, an array of pairs. */
function pairsOf(headers: unknown): [string, unknown][] {
  if (!Array.isArray(headers)) return Object.entries(headers ?? {});
  if (headers.length > 0 && Array.isArray(headers[0])) return headers as [string, unknown][];
  if (headers.length % 2 !== 0) {
    throw codedError(new TypeError("The argument 'headers' is invalid: expected names and values in turn"), 'ERR_INVALID_ARG_VALUE');
  }
  return Array.from({ length: headers.length / 2 }, (_, at) => [headers[2 * at] as string, headers[2 * at + 1] as unknown]);
}

/** Sets what `writeHead` was given as headers of the response, so that another one can be added beside them. */
function withoutHeaders(res: ServerResponse, head: Head): Head {
  const [status, reason, headers] = head;
  const pairs = pairsOf(typeof reason === 'string' ? headers : headers ?? reason);
  for (const [name] of pairs) if (res.hasHeader(name)) res.removeHeader(name);
  for (const [name, value] of pairs) {
    if (Array.isArray(value)) res.appendHeader(name, value as string[]);
    else res.appendHeader(name, String(value));
  }
  return typeof reason === 'string' ? [status, reason] : [status];
}

function writeHead(this: GatedResponse, ...args: Head): unknown {
  const gate = this[GATE];
  if (gate.state === State.Passed) return gate.writeHead.apply(this, args);
  if (this.headersSent) throw codedError(new Error('Cannot write headers after they are sent to the client'), 'ERR_HTTP_HEADERS_SENT');
  const [status, reason, headers] = args;
  checkStatus(status);
  checkHeaders(typeof reason === 'string' ? headers : headers ?? reason);
  gate.keepHead(args);
  return this;
}

function write(this: GatedResponse, ...args: unknown[]): unknown {
  const gate = this[GATE];
  if (gate.state === State.Passed) return gate.write.apply(this, args);
  checkChunk(args[0]);
  if (!this.headersSent) checkStatus(this.statusCode);
  const passed = gate.pass(gate.write, args);
  // `pass` may have moved on, which the compiler does not see.
  return (gate.state as State) === State.Passed ? passed : gate.room(args[0]);
}

function end(this: GatedResponse, ...args: unknown[]): unknown {
  const gate = this[GATE];
  if (gate.state === State.Passed) return gate.end.apply(this, args);
  const [chunk] = args;
  if (chunk !== undefined && chunk !== null && typeof chunk !== 'function') checkChunk(chunk);
  if (!this.headersSent) checkStatus(this.statusCode);
  const passed = gate.pass(gate.end, args);
  // Stays true: when the hold is over, the response has ended by itself.
  if (gate.state === State.Committing) Object.defineProperty(this, 'writableEnded', { value: true, configurable: true });
  return passed;
}

function flushHeaders(this: GatedResponse): void {
  const gate = this[GATE];
  if (gate.state !== State.Passed && !this.headersSent) checkStatus(this.statusCode);
  gate.pass(gate.flushHeaders, []);
}

/**
 * Holds the response back until `commit` is acknowledged: head, body and end wait, in the order in which they were given.
 * Informational responses pass at once. If the commit fails the answer is the error alone.
 */
export function holdBack(response: ServerResponse, commit: Commit): void {
  // The four methods below read what this line sets.
  const res = response as GatedResponse;
  res[GATE] = new Gate(res, commit);
  const methods = methodsOf(res);
  methods.writeHead = writeHead as Method;
  methods.write = write;
  methods.end = end;
  methods.flushHeaders = flushHeaders;
}
