import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { ClusterError } from '@cluster/core';
import type { SessionOptions } from '@cluster/http';
import { warnings, type Reason } from '../src/warnings.js';
import { express5, instance, one, stopAll, SwitchStore, warned, type Handler } from './support/cluster.js';
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

// The compiler refuses this record when a reason has no case.
const cases: Record<Reason, Case> = {
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
      await ask(url);
      store.cutOff();
      return post({ Cookie: `sid=${UNKNOWN}` })(url);
    },
  },
};

describe('a warning', () => {
  it.each(Object.keys(cases) as Reason[])('%s is given once per process, with what to do, and shows no id, path or token', async (reason) => {
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
    expect(given[0]?.text).toBe(`session: ${meaning} ${remedy} (said once)`);
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
