import { afterEach, describe, expect, it } from '@jest/globals';
import express from 'express';
// Its typings are those of 5, which agree on what is used here.
import express4 from 'express4';
import type { SessionOptions } from '@cluster/http';
import { trustsOf } from '../src/proxies.js';
import { hosts, instance, stopAll, warningsOf, type Handler } from './support/cluster.js';
import { ask, closeAll, serve } from './support/servers.js';

afterEach(async () => {
  await closeAll();
  await stopAll();
});

type TrustProxy = NonNullable<SessionOptions['trustProxy']>;

const count: Handler = (req, res) => {
  req.session.count = 1;
  res.end();
};

/** Whether the cookie is Secure that a request over plain http gets, and what is warned of. */
async function secureOf(options: Pick<SessionOptions, 'trustProxy' | 'cookie'>, proto: string | undefined, host = 'node:http') {
  const { url } = await serve(hosts[host]?.(instance(options), count) ?? (() => undefined));
  const headers: Record<string, string> = { 'X-Forwarded-For': '127.0.0.1', Forwarded: 'proto=https', ...(proto !== undefined && { 'X-Forwarded-Proto': proto }) };
  let line: string | undefined;
  const warnings = await warningsOf(async () => { line = (await ask(url, { method: 'POST', headers })).headers['set-cookie']?.[0]; });
  expect(line).toMatch(/^sid=/);
  return { secure: /; Secure/.test(line ?? ''), warnings: warnings.map((code) => code.replace('CLUSTER_HTTP_', '')) };
}

describe('X-Forwarded-Proto: https, of a request that comes from 127.0.0.1', () => {
  it.each<[TrustProxy, boolean]>([
    [false, false], [true, true], [0, false], [1, true], [3, true],
    ['127.0.0.1', true], ['127.0.0.0/8', true], ['loopback', true], ['::ffff:127.0.0.1', true], ['10.0.0.1, 127.0.0.1', true], [['10.0.0.0/8', 'loopback'], true],
    ['10.0.0.0/8', false], ['127.0.0.2', false], ['uniquelocal', false], [[], false], [['::1', 'linklocal'], false],
  ])('trustProxy %j: believed %s', async (trustProxy, secure) => {
    expect(await secureOf({ trustProxy }, 'https')).toEqual({ secure, warnings: secure ? [] : ['PROXY_NOT_TRUSTED'] });
  });

  it('is believed of nobody by default', async () => {
    for (const host of ['node:http', 'Connect']) expect(await secureOf({}, 'https', host)).toEqual({ secure: false, warnings: ['PROXY_NOT_TRUSTED'] });
  });
});

describe('what a trusted proxy says', () => {
  it.each<[string | undefined, boolean]>([
    ['https', true], ['HTTPS', true], [' https , http', true], ['http, https', false], ['http', false], ['', false], ['httpsx', false], [undefined, false],
  ])('%j', async (proto, secure) => {
    expect(await secureOf({ trustProxy: 'loopback' }, proto)).toEqual({ secure, warnings: [] });
  });
});

describe('the warnings about Secure', () => {
  it('follow the proxy that is trusted', async () => {
    for (const cookie of [{ secure: true }, { sameSite: 'none' }, { partitioned: true }] as const) {
      expect(await secureOf({ cookie, trustProxy: true }, 'https')).toEqual({ secure: true, warnings: [] });
    }
    expect(await secureOf({ cookie: { secure: true } }, 'https')).toEqual({ secure: true, warnings: ['SECURE_OVER_HTTP'] });
    expect(await secureOf({ cookie: { sameSite: 'none' } }, 'https')).toEqual({ secure: false, warnings: ['PROXY_NOT_TRUSTED', 'INSECURE_COOKIE'] });
    expect(await secureOf({ cookie: { sameSite: 'none' }, trustProxy: true }, 'http')).toEqual({ secure: false, warnings: ['INSECURE_COOKIE'] });
  });

  it('are not given where `secure: false` asks for it', async () => {
    expect(await secureOf({ cookie: { secure: false } }, 'https')).toEqual({ secure: false, warnings: [] });
  });
});

describe('Express', () => {
  it.each([['Express 5', express], ['Express 4', express4]])('%s goes by its own `trust proxy`, whatever trustProxy says', async (host, framework) => {
    expect(await secureOf({ trustProxy: true }, 'https', host)).toEqual({ secure: false, warnings: ['PROXY_NOT_TRUSTED'] });
    const app = framework().set('trust proxy', 'loopback').use(instance(), ((req, res) => count(req, res)) as express.Handler);
    const { url } = await serve(app);
    expect((await ask(url, { method: 'POST', headers: { 'X-Forwarded-Proto': 'https' } })).headers['set-cookie']?.[0]).toMatch(/; Secure/);
  });
});

describe('an address', () => {
  it('of IPv4 that a socket for both versions shows as IPv6 is the same', () => {
    expect(trustsOf('10.1.0.0/16')('::ffff:10.1.2.3')).toBe(true);
    expect(trustsOf('10.1.0.0/16')('::ffff:10.2.2.3')).toBe(false);
  });

  it('that is none, as over a Unix socket, is covered by true and a number of hops', () => {
    expect([true, 1, '127.0.0.1', 'loopback', false, 0].map((setting) => trustsOf(setting)(undefined))).toEqual([true, true, false, false, false, false]);
  });
});
