import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { ClusterError, DistributedManager, MemoryStore } from '@cluster/core';
import { Clock } from '@cluster/core/driver';
import type { SessionOptions } from '@cluster/http';
import { routeOf, warnings, warnWaiting, type Reason } from '../src/warnings.js';
import { express5, instance, one, stopAll, SwitchStore, warned, type Handler } from './support/cluster.js';
import { until } from './support/counter.js';
import { ask, closeAll, serve, Visitor } from './support/servers.js';

afterEach(async () => {
  await closeAll();
  await stopAll();
});

const count: Handler = (req, res) => {
  req.session.count = (req.session.count ?? 0) + 1;
  res.end();
};

/** A page that changes its session after its response, and catches what that throws. */
const late: Handler = (req, res) => {
  res.end('sent');
  try {
    req.session.count = 1;
  } catch (error) {
    expect(ClusterError.is(error, 'CLUSTER_SESSION_ENDED')).toBe(true);
  }
};

const UNKNOWN = 'u'.repeat(32);

interface Case {
  readonly options?: Omit<Extract<SessionOptions, { store: unknown }>, 'store'>;
  readonly handler?: Handler;
  readonly ask: (url: string, store: SwitchStore) => Promise<unknown>;
}

const post = (headers: Record<string, string>) => (url: string) => ask(`${url}/secret-path?token=secret-token`, { method: 'POST', headers });

// The compiler refuses this record when a reason has no case. A redirect takes two instances: see redirects.test.ts.
const cases: Record<Exclude<Reason, 'REDIRECT_WITHOUT_COOKIE'>, Case> = {
  UNKNOWN_ID: { ask: post({ Cookie: `sid=${UNKNOWN}` }) },
  BAD_SIGNATURE: { options: { secret: 'key' }, ask: post({ Cookie: `sid=${UNKNOWN}.forged` }) },
  MALFORMED_COOKIE: { ask: post({ Cookie: 'sid=a/b' }) },
  MALFORMED_ID: { options: { transport: { read: () => 'a/b', write: () => undefined, clear: () => undefined } }, ask: post({}) },
  DOUBLED_COOKIE: {
    ask: async (url) => {
      const visitor = new Visitor();
      await visitor.post(url);
      const sid = `sid=${visitor.cookies.get('sid') ?? ''}`;
      return post({ Cookie: `${sid}; ${sid}` })(url);
    },
  },
  SECURE_OVER_HTTP: { options: { cookie: { secure: true } }, ask: post({}) },
  PROXY_NOT_TRUSTED: { ask: post({ 'X-Forwarded-Proto': 'https' }) },
  INSECURE_COOKIE: { options: { cookie: { sameSite: 'none' } }, ask: post({}) },
  LATE_CHANGE: { handler: late, ask: post({}) },
  MOVED: {
    handler: async (req, res) => {
      if (req.url?.startsWith('/login') === true) await req.session.regenerate();
      await count(req, res);
    },
    ask: async (url) => {
      const visitor = new Visitor();
      await visitor.post(url);
      const sid = visitor.cookies.get('sid') ?? '';
      await visitor.post(`${url}/login`);
      return post({ Cookie: `sid=${sid}` })(url);
    },
  },
  NOT_LOOKED_UP: { ask: (url) => ask(url, { method: 'OPTIONS', headers: { Cookie: `sid=${UNKNOWN}` } }) },
  STORE_DOWN: {
    options: { onStoreError: 'anonymous', storeTimeoutMs: 30, lockTimeoutMs: 30 },
    ask: async (url, store) => {
      store.cutOff();
      return post({ Cookie: `sid=${UNKNOWN}` })(url);
    },
  },
  STORE_FAILED: {
    options: { storeTimeoutMs: 30, lockTimeoutMs: 30 },
    ask: async (url, store) => {
      await ask(url);
      store.cutOff();
      expect((await post({})(url)).status).toBe(503);
    },
  },
};

describe('a warning', () => {
  it.each(Object.keys(cases) as (keyof typeof cases)[])('%s is given once per process, with what to do, and shows no id, path or token', async (reason) => {
    const { options = {}, handler = count, ask: cause } = cases[reason];
    const given = await warned(async () => {
      for (let layer = 0; layer < 2; layer += 1) {
        const store = new SwitchStore();
        const { url } = await serve(express5(one({ ...options, store }), handler));
        await cause(url, store);
        await cause(url, store);
      }
    });
    expect(given.map(({ code }) => code)).toEqual([`CLUSTER_HTTP_${reason}`]);
    const { meaning, remedy } = warnings[reason];
    const why = reason === 'STORE_FAILED' ? " This time: CLUSTER_UNKNOWN_OUTCOME: the store failed in 'create'" : '';
    expect(given[0]?.text).toBe(`session: ${meaning} ${remedy}${why} (said once)`);
    expect(given[0]?.text).not.toMatch(new RegExp(`${UNKNOWN}|secret-`));
  });

  it('is not given to a visitor with whom nothing is wrong', async () => {
    const { url } = await serve(express5(instance(), count));
    expect(await warned(async () => {
      const visitor = new Visitor();
      for (let time = 0; time < 3; time += 1) await visitor.post(url);
      await ask(url);
    })).toEqual([]);
  });
});

describe('NODE_DEBUG=cluster', () => {
  const repository = dirname(dirname(dirname(import.meta.dirname)));

  it('prints what became of each request, without ids', async () => {
    const child = spawn(process.execPath, [
      '--conditions=@cluster/source', '--import', './scripts/ts-register.mjs', join(import.meta.dirname, 'support/debugged.ts'),
    ], { cwd: repository, env: { ...process.env, NODE_DEBUG: 'cluster' } });
    let lines = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => { lines += text; });
    const status = await new Promise((resolve) => { child.on('close', resolve); });
    const said = lines.split('\n').filter((line) => line.startsWith('CLUSTER ')).map((line) => line.replace(/^CLUSTER \d+: /, ''));
    expect([status, said]).toEqual([0, [
      'GET /unused: names no session', 'GET /unused: gets no id: nothing is in its session, so it is not stored',
      'POST /: names no session', 'POST /: gets a new id',
      'POST /: has its session, exclusive',
      'GET /: has its session, snapshot',
      'GET /: its session is not in the store', 'warning UNKNOWN_ID', 'GET /: gets no id: nothing is in its session, so it is not stored',
      'POST /logout: has its session, exclusive', 'POST /logout: is told to forget its id',
    ]]);
    expect(lines).not.toMatch(/[\w-]{32}/);
  }, 30_000);
});

describe('a wait of more than a second', () => {
  it('is told once per pair of routes, with what may be an id cut out, by every layer of a manager together', async () => {
    const clock = Clock.manual();
    const manager = new DistributedManager(new MemoryStore({ clock }), { clock });
    const sessions = Array.from({ length: 12 }, () => one({ manager })).at(-1) ?? one({ manager });
    let end = () => { /* set below */ };
    const ended = () => new Promise<void>((resolve) => { end = resolve; });
    const handler: Handler = async (req, res) => {
      if (req.url?.startsWith('/report') === true) await ended();
      await count(req, res);
    };
    const { url } = await serve(express5(sessions, handler));
    const visitor = new Visitor();
    const given = await warned(async () => {
      await visitor.post(url);
      for (const [slow, waits] of [['/report/17?token=secret-token', '/cart/secret-0f3a'], ['/report/18', '/cart/9'], ['/report/18', '/order']] as const) {
        const first = visitor.post(url + slow);
        await until(() => manager.health().running === 1);
        const second = visitor.post(url + waits);
        await until(() => manager.health().waiting === 1);
        await clock.advance(1_000);
        end();
        await Promise.all([first, second]);
      }
    });
    const text = (waits: string) => `session: ${waits} has waited for more than a second for its session, which POST /report/* had. Let POST /report/* call `
      + "req.session.release() as soon as it has changed what it wants, or give it access 'snapshot'. (said once)";
    expect(given).toEqual([{ code: 'CLUSTER_HTTP_LONG_WAIT', text: text('POST /cart/*') }, { code: 'CLUSTER_HTTP_LONG_WAIT', text: text('POST /order') }]);
    await manager.stop();
  });

  const saving: Handler = async (req, res) => {
    req.session.count = (req.session.count ?? 0) + 1;
    await req.session.save();
    res.end();
  };

  it.each([['has ended', count], ['awaits save()', saving]])('is not told of a request whose handler %s: it is the store that does not answer', async (_what, handler) => {
    const clock = Clock.manual();
    const store = new SwitchStore();
    const manager = new DistributedManager(store, { clock });
    const { url } = await serve(express5(one({ manager }), handler));
    const visitor = new Visitor();
    expect(await warned(async () => {
      await visitor.post(url);
      await visitor.post(url);
      let answer = () => { /* set below */ };
      const answered = new Promise<void>((resolve) => { answer = resolve; });
      store.map.before = (_, key) => (key.includes('.s.') ? answered : undefined);
      const both = [visitor.post(url), visitor.post(url)];
      await until(() => manager.health().waiting === 1);
      await clock.advance(1_000);
      answer();
      await Promise.all(both);
    })).toEqual([]);
    await manager.stop();
  });

  it.each([
    ['POST /', 'POST /'],
    ['POST /cart/', 'POST /cart/'],
    ['PUT /api/v2/users/17/cart-items/first', 'PUT /api/v2/users/*/cart-items/first'],
    ['POST /reset/eyJhbGciOiJIUzI1NiJ9', 'POST /reset/*'],
    ['POST /reset/abcdefghijklmnopqrstuvwxyzabc', 'POST /reset/*'],
    ['POST /u/ada@example.com/%C3%BC/a_b.c', 'POST /u/*/*/a_b.c'],
    ['POST /a/b/c/d/e/f/g/h/i/j', 'POST /a/b/c/d/e/f/g/h/...'],
    ['nightly job 7', 'nightly job 7'],
    ['', ''],
  ])('shows %p as %p', (label, route) => {
    expect(routeOf(label)).toBe(route);
  });

  it('is told of at most 100 pairs, and of requests without a label', async () => {
    const holder = { instanceId: 'a', isHere: true, label: undefined, heldMs: 1_000, publicUrl: undefined };
    const wait = (label: string | undefined) => { warnWaiting({ session: '0', waitedMs: 1_000, label, holder }); };
    const given = await warned(async () => {
      wait(undefined);
      for (let one = 0; one < 300; one += 1) wait(`POST /${String.fromCharCode(97 + one % 26)}-${String.fromCharCode(97 + Math.floor(one / 26))}`);
      await Promise.resolve();
    });
    expect(given.length).toBe(100);
    expect(given[0]?.text).toContain('a request has waited for more than a second for its session, which another request had, without saying for which route.');
  });
});

describe('a change that cannot be stored', () => {
  it('is told once, whatever its session and its size are', async () => {
    const { url } = await serve(express5(instance({ maxRecordBytes: 2_000 }), (req, res) => {
      req.session.note = 'x'.repeat(Number(req.url?.slice(1)));
      res.end();
    }));
    const given = await warned(async () => {
      for (let bytes = 3_000; bytes < 3_020; bytes += 1) expect((await ask(`${url}/${String(bytes)}`)).status).toBe(500);
    });
    expect(given).toEqual([{ code: 'CLUSTER_TOO_LARGE', text: expect.stringContaining('(said once)') as unknown }]);
  });
});
