import { request } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { MemoryStore } from '@cluster/core';
import { Clock } from '@cluster/core/driver';
import { LEFT_GRACE_MS } from '../src/turn.js';
import { express5, one, stopAll, type Handler, type SessionRequest } from './support/cluster.js';
import { until } from './support/counter.js';
import { closeAll, deferred, serve, Visitor } from './support/servers.js';

afterEach(async () => {
  await closeAll();
  await stopAll();
});

/** A site whose handler at /hung does the work and never ends; others count. */
async function hanging(work: (req: SessionRequest) => unknown) {
  const clock = Clock.manual();
  const sessions = one({ store: new MemoryStore({ clock }), clock });
  const inside = deferred<string>();
  let closed = 0;
  const handler: Handler = async (req, res) => {
    if (req.url === '/first') {
      await inside.promise;
      return;
    }
    if (req.url === '/hung') {
      await work(req);
      inside.resolve(req.session.id);
      return;
    }
    req.session.count = (req.session.count ?? 0) + 1;
    res.end('counted');
  };
  const { url, port, server } = await serve(express5(sessions, handler));
  server.on('connection', (socket) => { socket.on('close', () => { closed += 1; }); });
  const visitor = new Visitor();
  await visitor.post(url);
  const cookie = `sid=${visitor.cookies.get('sid') ?? ''}`;
  return { clock, sessions, inside, url, port, visitor, cookie, closed: () => closed };
}

describe('a client that leaves a handler that hangs', () => {
  const works: [string, boolean, (req: SessionRequest) => unknown][] = [
    ['after a save in a GET', true, async ({ session }) => { session.note = 'hung'; await session.save(); }],
    ['after a regenerate in a GET', true, ({ session }) => session.regenerate({ keep: true })],
    ['after a save of a new session', false, async ({ session }) => { session.note = 'hung'; await session.save(); }],
  ];
  it.each(works)('%s: the session is given on after 5 s', async (_name, hasCookie, work) => {
    const { clock, inside, url, port, visitor, cookie, sessions, closed } = await hanging(work);
    const before = closed();
    const leaver = request({ port, host: '127.0.0.1', path: '/hung', agent: false, headers: hasCookie ? { cookie } : {} });
    leaver.on('error', () => undefined).end();
    visitor.cookies.set('sid', await inside.promise);
    const next = visitor.post(url);
    await until(() => sessions.health().waiting === 1);
    leaver.destroy();
    await until(() => closed() > before);
    await clock.advance(LEFT_GRACE_MS - 1);
    expect(sessions.health().waiting).toBe(1);
    await clock.advance(1);
    expect((await next).status).toBe(200);
  });

  it('a save that is under way when the 5 s end: given on when it has ended', async () => {
    const saving = deferred();
    const go = deferred();
    const { clock, url, port, visitor, cookie, sessions, closed } = await hanging(({ session }) => {
      session.note = 'hung';
      return session.save();
    });
    const { manager } = sessions;
    const { sendSession } = manager;
    manager.sendSession = async function slow(this: typeof manager, session, options) {
      await sendSession.call(this, session, options);
      if (options?.release !== false) return;
      // As while a store is slow: the handle cannot be given up.
      const { releaseSession } = manager;
      manager.releaseSession = () => Promise.resolve();
      saving.resolve();
      await go.promise;
      manager.releaseSession = releaseSession;
    };
    const before = closed();
    const leaver = request({ port, host: '127.0.0.1', path: '/hung', agent: false, headers: { cookie } });
    leaver.on('error', () => undefined).end();
    await saving.promise;
    leaver.destroy();
    await until(() => closed() > before);
    await clock.advance(LEFT_GRACE_MS);
    const next = visitor.post(url);
    await until(() => sessions.health().waiting === 1);
    go.resolve();
    expect((await next).status).toBe(200);
  });

  it('with a request that was pipelined behind another one', async () => {
    const { clock, inside, url, port, visitor, cookie, sessions, closed } = await hanging(({ session }) => { session.note = 'hung'; });
    const before = closed();
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(`GET /first HTTP/1.1\r\nHost: a\r\n\r\nPOST /hung HTTP/1.1\r\nHost: a\r\nCookie: ${cookie}\r\nContent-Length: 0\r\n\r\n`);
    await inside.promise;
    const next = visitor.post(url);
    await until(() => sessions.health().waiting === 1);
    socket.destroy();
    await until(() => closed() > before);
    await clock.advance(LEFT_GRACE_MS);
    expect((await next).status).toBe(200);
  });
});
