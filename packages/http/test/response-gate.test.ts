import type { IncomingMessage, ServerResponse } from 'node:http';
import { request } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterEach, describe, expect, it } from '@jest/globals';
import { holdBack, HELD_BYTES, type Commit } from '../src/response-gate.js';
import { ask, closeAll, deferred, raw, serve } from './support/servers.js';

type Handler = (req: IncomingMessage, res: ServerResponse) => void;

/** A commit that the test ends; `begun` counts. */
class Store implements Commit {
  begun = 0;
  readonly outcome = deferred();
  readonly hasBegun = deferred();
  constructor(private readonly waits = true, private readonly line?: string) {}
  begin(): Promise<void> | undefined {
    this.begun += 1;
    this.hasBegun.resolve();
    return this.waits ? this.outcome.promise : undefined;
  }

  announcement(): ((res: ServerResponse) => void) | undefined {
    const { line } = this;
    return line === undefined ? undefined : (res) => { res.appendHeader('Set-Cookie', line); };
  }

  readonly failures: unknown[] = [];
  failed(error: unknown): void { this.failures.push(error); }
}

const held = (store: Commit, handler: Handler) => serve((req, res) => {
  holdBack(res, store);
  handler(req, res);
});

/** The reply, and whether anything of it came before the commit was acknowledged. */
async function heldReply(handler: Handler, { cookie, method = 'GET' }: { cookie?: string; method?: string } = {}) {
  const store = new Store(true, cookie);
  const { url } = await held(store, handler);
  let early = true;
  const reply = ask(url, { method }).then((answer) => ({ ...answer, early }));
  await store.hasBegun.promise;
  // Anything that was let out is on its way by now.
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => { setImmediate(resolve); });
  early = false;
  store.outcome.resolve();
  const answer = await reply;
  expect(answer.early).toBe(false);
  expect(store.begun).toBe(1);
  return answer;
}

afterEach(closeAll);

describe('a response is held until the commit is acknowledged', () => {
  const bodies: Record<string, [Handler, string]> = {
    'end with a text': [(_, res) => { res.end('body'); }, 'body'],
    'end with a buffer': [(_, res) => { res.end(Buffer.from('body')); }, 'body'],
    'end with text and encoding': [(_, res) => { res.end('626f6479', 'hex'); }, 'body'],
    'end with a callback': [(_, res) => { res.end(() => undefined); }, ''],
    'end with text and callback': [(_, res) => { res.end('body', () => undefined); }, 'body'],
    'end with text, encoding and callback': [(_, res) => { res.end('626f6479', 'hex', () => undefined); }, 'body'],
    'end alone': [(_, res) => { res.end(); }, ''],
    'write, then end': [(_, res) => { res.write('bo'); res.end('dy'); }, 'body'],
    'write with an encoding and a callback': [(_, res) => { res.write('626f', 'hex', () => { res.end('dy'); }); }, 'body'],
    'writeHead, then end': [(_, res) => { res.writeHead(200).end('body'); }, 'body'],
    'flushHeaders, then end': [(_, res) => { res.flushHeaders(); res.end('body'); }, 'body'],
    'end in a later tick than write': [(_, res) => { res.write('bo'); setImmediate(() => res.end('dy')); }, 'body'],
    'pipe': [(_, res) => { Readable.from(['bo', 'dy']).pipe(res); }, 'body'],
    'pipeline': [(_, res) => { void pipeline(Readable.from(['bo', 'dy']), res); }, 'body'],
  };
  it.each(Object.entries(bodies))('%s', async (_name, [handler, body]) => {
    expect(await heldReply(handler)).toMatchObject({ status: 200, body });
  });

  it('with the length of a body that was given whole', async () => {
    expect((await heldReply((_, res) => { res.end('body'); })).headers).toMatchObject({ 'content-length': '4' });
  });

  it('a commit with nothing to wait for leaves the response to node at once', async () => {
    const store = new Store(false);
    let sync: boolean | undefined;
    const { url } = await held(store, (_, res) => {
      const { end } = Object.getPrototypeOf(res) as ServerResponse;
      res.end('body');
      sync = res.headersSent && res.writableEnded && res.end === end;
    });
    expect((await ask(url)).body).toBe('body');
    expect(sync).toBe(true);
    expect(store.begun).toBe(1);
  });
});

describe('writeHead', () => {
  const heads: Record<string, Handler> = {
    'an object': (_, res) => { res.writeHead(201, 'Made', { 'X-A': 'a', 'X-B': ['b', 'c'] }).end(); },
    'an object after setHeader': (_, res) => { res.setHeader('X-A', 'z').writeHead(201, 'Made', { 'X-A': 'a', 'X-B': ['b', 'c'] }).end(); },
    'a flat array': (_, res) => { res.writeHead(201, 'Made', ['X-A', 'a', 'X-B', 'b', 'X-B', 'c']).end(); },
    // Pairs are understood by node, though not named by its typings.
    'an array of pairs': (_, res) => { res.writeHead(201, 'Made', [['X-A', 'a'], ['X-B', 'b'], ['X-B', 'c']] as never).end(); },
    'no message': (_, res) => { res.statusMessage = 'Made'; res.writeHead(201, { 'X-A': 'a', 'X-B': ['b', 'c'] }).end(); },
  };
  it.each(Object.entries(heads))('%s arrives as given', async (_name, handler) => {
    expect(await heldReply(handler)).toMatchObject({ status: 201, statusMessage: 'Made', headers: { 'x-a': 'a', 'x-b': 'b, c' } });
  });

  it.each(Object.entries(heads))('%s is joined by the cookie', async (_name, handler) => {
    expect(await heldReply(handler, { cookie: 'sid=1' })).toMatchObject({
      status: 201, statusMessage: 'Made', headers: { 'x-a': 'a', 'x-b': 'b, c', 'set-cookie': ['sid=1'], 'cache-control': 'private' },
    });
  });

  it('keeps the cookies of the application, wherever they were set', async () => {
    const { headers } = await heldReply((_, res) => {
      res.writeHead(200, { 'Set-Cookie': ['a=1', 'b=2'], 'Cache-Control': 'no-store', 'Content-Length': '0' }).end();
    }, { cookie: 'sid=1' });
    expect(headers).toMatchObject({ 'set-cookie': ['a=1', 'b=2', 'sid=1'], 'cache-control': 'no-store', 'content-length': '0' });
    const later = await heldReply((_, res) => { res.setHeader('Set-Cookie', 'a=1').end(); }, { cookie: 'sid=1' });
    expect(later.headers['set-cookie']).toEqual(['a=1', 'sid=1']);
  });

  it('alone sends nothing, so that the session may still be changed', async () => {
    const store = new Store(false);
    const { url } = await held(store, (_, res) => {
      res.writeHead(204);
      expect(store.begun).toBe(0);
      res.end();
    });
    expect((await ask(url)).status).toBe(204);
    expect(store.begun).toBe(1);
  });
});

describe('while it is held', () => {
  it('the response looks as it will be', async () => {
    const seen: unknown[] = [];
    await heldReply((_, res) => {
      seen.push(res.headersSent, res.writableEnded);
      res.writeHead(202);
      seen.push(res.headersSent, res.writableEnded, res.statusCode);
      expect(() => res.setHeader('X-Late', '1')).toThrow(expect.objectContaining({ code: 'ERR_HTTP_HEADERS_SENT' }));
      expect(() => res.writeHead(203)).toThrow(expect.objectContaining({ code: 'ERR_HTTP_HEADERS_SENT' }));
      res.end();
      seen.push(res.headersSent, res.writableEnded, res.writableFinished);
    });
    expect(seen).toEqual([false, false, true, false, 202, true, true, false]);
  });

  it('what node refuses is refused at once', async () => {
    const refused: unknown[] = [];
    const attempt = (work: () => unknown) => {
      try {
        work();
      } catch (error) {
        refused.push(Reflect.get(error as Error, 'code'));
      }
    };
    await heldReply((_, res) => {
      attempt(() => res.writeHead(99));
      attempt(() => res.writeHead(200, { 'bad name': '1' }));
      attempt(() => res.writeHead(200, ['X-Ok', 'line\nbreak']));
      attempt(() => res.writeHead(200, ['X-Odd']));
      attempt(() => res.write(5));
      attempt(() => res.write(null));
      attempt(() => res.end(new Date() as never));
      res.statusCode = 1234;
      attempt(() => res.end());
      res.statusCode = 200;
      res.end();
    });
    expect(refused).toEqual([
      'ERR_HTTP_INVALID_STATUS_CODE', 'ERR_INVALID_HTTP_TOKEN', 'ERR_INVALID_CHAR', 'ERR_INVALID_ARG_VALUE', 'ERR_INVALID_ARG_TYPE',
      'ERR_STREAM_NULL_VALUES', 'ERR_INVALID_ARG_TYPE', 'ERR_HTTP_INVALID_STATUS_CODE',
    ]);
  });

  it('informational responses pass at once', async () => {
    const store = new Store();
    const { url } = await held(store, (_, res) => {
      res.writeEarlyHints({ link: '</a.css>; rel=preload' });
      res.writeProcessing();
      res.writeContinue();
      res.end('body');
    });
    const codes: number[] = [];
    const all = deferred();
    const ended = deferred();
    request(url, { agent: false }, (res) => { res.resume().on('end', () => { ended.resolve(); }); })
      .on('information', ({ statusCode }) => { if (codes.push(statusCode) === 3) all.resolve(); })
      .end();
    await all.promise;
    // They arrived although the commit is not acknowledged.
    expect(codes.toSorted()).toEqual([100, 102, 103]);
    store.outcome.resolve();
    await ended.promise;
  });

  it('trailers follow the body', async () => {
    const reply = await heldReply((_, res) => {
      res.writeHead(200, { Trailer: 'X-Sum' });
      res.write('body');
      res.addTrailers({ 'X-Sum': '7' });
      res.end();
    }, { cookie: 'sid=1' });
    expect(reply).toMatchObject({ body: 'body', trailers: { 'x-sum': '7' } });
  });

  it('HEAD, 204 and 304 have no body', async () => {
    expect(await heldReply((_, res) => { res.setHeader('Content-Length', '4').end('body'); }, { method: 'HEAD' })).toMatchObject({ body: '', headers: { 'content-length': '4' } });
    expect(await heldReply((_, res) => { res.writeHead(204).end(); })).toMatchObject({ status: 204, body: '' });
    expect(await heldReply((_, res) => { res.writeHead(304, { ETag: '"1"' }).end(); })).toMatchObject({ status: 304, headers: { etag: '"1"' } });
  });

  it('end and write after end are answered as by node', async () => {
    const codes: unknown[] = [];
    const done = deferred();
    await heldReply((_, res) => {
      res.on('error', (error) => { codes.push(Reflect.get(error, 'code')); });
      res.end('body');
      res.end((error?: Error) => { codes.push(error && Reflect.get(error, 'code')); });
      res.write('more', (error) => { codes.push(error && Reflect.get(error, 'code')); done.resolve(); });
    });
    await done.promise;
    expect(new Set(codes)).toEqual(new Set(['ERR_STREAM_ALREADY_FINISHED', 'ERR_STREAM_WRITE_AFTER_END']));
  });

  it('two requests on one connection are answered in their order', async () => {
    const stores = [new Store(), new Store()];
    let count = 0;
    const { port } = await serve((req, res) => {
      const store = stores[count++];
      if (store === undefined) throw new Error('a third request');
      holdBack(res, store);
      if (req.url === '/2') res.setHeader('Connection', 'close');
      res.end(`[${req.url ?? ''}]`);
    });
    const answer = raw(port, 'GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n');
    await Promise.all(stores.map((store) => store.hasBegun.promise));
    stores[0]?.outcome.resolve();
    // The second response has its socket now and is still held.
    await new Promise((resolve) => { setTimeout(resolve, 20); });
    stores[1]?.outcome.resolve();
    expect((await answer).match(/\[\/\d\]/g)).toEqual(['[/1]', '[/2]']);
  });
});

describe('back-pressure', () => {
  it('write returns false at the limit, and drain follows the commit', async () => {
    const store = new Store();
    const returned: boolean[] = [];
    const { url } = await held(store, (_, res) => {
      returned.push(res.write(Buffer.alloc(HELD_BYTES - 1)), res.write('x'));
      res.once('drain', () => { res.end('end'); });
    });
    const reply = ask(url);
    await store.hasBegun.promise;
    expect(returned).toEqual([true, false]);
    store.outcome.resolve();
    expect((await reply).body).toHaveLength(HELD_BYTES + 3);
  });

  it('drain follows also where node takes everything at once, as it does for HEAD', async () => {
    const store = new Store();
    const { url } = await held(store, (_, res) => {
      expect(res.write(Buffer.alloc(HELD_BYTES))).toBe(false);
      res.once('drain', () => { res.end(); });
    });
    const reply = ask(url, { method: 'HEAD' });
    await store.hasBegun.promise;
    store.outcome.resolve();
    expect((await reply).status).toBe(200);
  });

  it('a piped source is paused and then goes on to its end', async () => {
    const store = new Store();
    const size = 4_000_000;
    let produced = 0;
    const { url } = await held(store, (_, res) => {
      Readable.from((function* chunks() {
        for (; produced < size; produced += 10_000) yield Buffer.alloc(10_000);
      })(), { objectMode: false }).pipe(res);
    });
    const reply = ask(url);
    await store.hasBegun.promise;
    for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => { setImmediate(resolve); });
    expect(produced).toBeLessThan(size / 4);
    store.outcome.resolve();
    expect((await reply).body).toHaveLength(size);
  });
});

describe('a commit that fails', () => {
  const unavailable = Object.assign(new Error('a text that is not for visitors'), { status: 503, headers: { 'Retry-After': '1' } });

  async function failedReply(handler: Handler, error: unknown = unavailable, method = 'GET') {
    const store = new Store(true, 'sid=1');
    const { url } = await held(store, handler);
    const reply = ask(url, { method });
    await store.hasBegun.promise;
    store.outcome.reject(error);
    await reply;
    expect(store.failures).toEqual([error]);
    return reply;
  }

  it('replaces status, headers and body by the error', async () => {
    const reply = await failedReply((_, res) => {
      res.setHeader('Set-Cookie', 'a=1').setHeader('ETag', '"1"').setHeader('Connection', 'close');
      res.writeHead(302, 'Off you go', { Location: '/cart', 'Content-Type': 'text/html' });
      res.write('handler');
      res.end('body');
    });
    expect(reply).toMatchObject({ status: 503, statusMessage: 'Service Unavailable', body: 'Service Unavailable\n' });
    expect(reply.headers).toMatchObject({ 'retry-after': '1', 'cache-control': 'no-store', 'content-type': 'text/plain; charset=utf-8', connection: 'close' });
    for (const name of ['set-cookie', 'etag', 'location']) expect(reply.headers).not.toHaveProperty(name);
  });

  it('has no body for HEAD, and status 500 for an error without a status', async () => {
    expect(await failedReply((_, res) => { res.end('body'); }, new Error('boom'), 'HEAD')).toMatchObject({ status: 500, body: '' });
    expect(await failedReply((_, res) => { res.end('body'); }, 'boom')).toMatchObject({ status: 500, body: 'Internal Server Error\n' });
  });

  it('shows the text of an error that says so', async () => {
    const conflict = Object.assign(new Error('changed meanwhile'), { status: 409, expose: true });
    expect(await failedReply((_, res) => { res.end('body'); }, conflict)).toMatchObject({ status: 409, body: 'changed meanwhile\n' });
  });

  it('swallows what the handler writes before and after, and tells its callbacks', async () => {
    const errors: unknown[] = [];
    const later = deferred();
    const reply = await failedReply((_, res) => {
      res.write('one', (error) => { errors.push(error); });
      res.once('finish', () => {
        expect(res.write('two', (error) => { errors.push(error); })).toBe(true);
        res.end('three', (error?: unknown) => { errors.push(error); later.resolve(); });
      });
    });
    await later.promise;
    expect(reply.body).toBe('Service Unavailable\n');
    expect(errors).toEqual([unavailable, unavailable, unavailable]);
  });

  it('a commit that throws counts as failed', async () => {
    const { url } = await held({ begin() { throw unavailable; }, announcement: () => undefined, failed: () => undefined }, (_, res) => { res.end('body'); });
    expect((await ask(url)).status).toBe(503);
  });

  it('an error when the headers are written is answered, too', async () => {
    const store = new Store(true, 'sid=line\nbreak');
    const { url } = await held(store, (_, res) => { res.end('body'); });
    const reply = ask(url);
    await store.hasBegun.promise;
    store.outcome.resolve();
    expect(await reply).toMatchObject({ status: 500, body: 'Internal Server Error\n' });
  });
});

describe('a client that leaves', () => {
  it.each(['acknowledged', 'refused'])('in the middle of a commit that is %s breaks nothing', async (how) => {
    const store = new Store();
    const events: string[] = [];
    const left = deferred();
    const { url, port } = await held(store, (req, res) => {
      if (req.url === '/next') {
        store.outcome.resolve();
        res.end('next');
        return;
      }
      res.on('close', () => { left.resolve(); });
      for (const name of ['finish', 'error']) res.on(name, () => { events.push(name); });
      res.write('body');
      res.end();
    });
    const req = request({ port, host: '127.0.0.1', agent: false });
    req.on('error', () => undefined).end();
    await store.hasBegun.promise;
    req.destroy();
    await left.promise;
    if (how === 'acknowledged') store.outcome.resolve();
    else store.outcome.reject(new Error('too late'));
    await new Promise((resolve) => { setImmediate(resolve); });
    expect(events).not.toContain('error');
    if (how === 'acknowledged') expect((await ask(`${url}/next`)).body).toBe('next');
  });

  it('a destroyed response stays destroyed', async () => {
    const store = new Store();
    const { url } = await held(store, (_, res) => {
      res.end('body');
      res.destroy();
    });
    await expect(ask(url)).rejects.toThrow(/hang up|reset/i);
    store.outcome.resolve();
    await new Promise((resolve) => { setImmediate(resolve); });
  });
});

describe('other wrappers', () => {
  it('one laid over it later sees the headers after the commit, once', async () => {
    const order: string[] = [];
    const store = new Store();
    const { url } = await held(store, (_, res) => {
      const { writeHead } = res;
      res.writeHead = function wrapped(this: ServerResponse, ...args: unknown[]) {
        order.push('head');
        this.setHeader('X-Late', '1');
        return Reflect.apply(writeHead, this, args) as ServerResponse;
      };
      res.end('body');
      order.push('handler done');
    });
    const reply = ask(url);
    await store.hasBegun.promise;
    store.outcome.resolve();
    expect((await reply).headers).toMatchObject({ 'x-late': '1' });
    expect(order).toEqual(['handler done', 'head']);
  });
});
