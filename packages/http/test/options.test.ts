import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { DistributedManager, MemoryStore } from '@cluster/core';
import { session } from '@cluster/http';

const store = () => new MemoryStore();
const transport = { read: () => undefined, write: () => undefined, clear: () => undefined };

/** The text of the refusal; the options are those of a JavaScript user. */
function refusal(options: unknown): string {
  try {
    session(options as Parameters<typeof session>[0]);
  } catch (error) {
    expect(error).toMatchObject({ code: 'CLUSTER_BAD_OPTION' });
    return (error as Error).message;
  }
  return 'accepted';
}

describe('session() refuses', () => {
  it.each<[string, unknown, RegExp]>([
    ['no options', undefined, /store: expected a ClusterStore here, or a Manager as `manager`, found neither/],
    ['something else', 5, /expected an object of options, found 5/],
    ['a store in place of options', store(), /^session: expected an object of options, found a store or a manager; write session\(\{ store \}\)/],
    ['a request, as in app.use(session)', new IncomingMessage(new Socket()), /^session: expected an object of options, found a request; mount what it returns: app\.use\(session\(\{ store \}\)\)$/],
    ['a manager as store', { store: new DistributedManager(store()) }, /^session: store: expected a ClusterStore, found DistributedManager/],
    ['the class of a store', { store: MemoryStore }, /store: expected a ClusterStore, found \[class MemoryStore/],
    ['neither store nor manager', {}, /found neither/],
    ['both', { store: store(), manager: new DistributedManager(store()) }, /store, manager: expected one of the two, found both/],
    ['a store for express-session', { store: new (class RedisStore { get() {} set() {} destroy() {} })() },
      /store: expected a ClusterStore, found RedisStore, a store for another session library; take one of @cluster\/store-\*$/],
    ['a store that is none', { store: {} }, /store: expected a ClusterStore, found \{\}/],
    ['a manager that is none', { manager: 'm' }, /manager: expected a Manager, found 'm'/],
    ["a manager's option beside a manager", { manager: new DistributedManager(store()), leaseMs: 500 }, /leaseMs: expected beside `store` only/],
    ['a transport without a function', { store: store(), transport: { read: () => 'x', write: () => 1 } }, /transport: expected an object of three functions \{ read\(req\), write\(res, id\), clear\(res\) \}/],
    ['transport beside name', { store: store(), transport, name: 'sid' }, /transport, name: expected one of the two, found both/],
    ['transport beside cookie', { store: store(), transport, cookie: { path: '/' } }, /transport, cookie\.path: expected one of the two, found both/],
    ['transport beside secret', { store: store(), transport, secret: 'hunter2' }, /transport, secret: expected one of the two, found both(?!.*hunter2)/],
    ...[-1, 1.5, 'proxy.local', '10.0.0.0/33', '', ['127.0.0.1', 8], {}, null].map((trustProxy): [string, unknown, RegExp] => [
      `trustProxy ${JSON.stringify(trustProxy)}`, { store: store(), trustProxy }, /trustProxy: expected true, false, a number of hops, or an array of addresses: IP addresses, CIDR ranges, 'loopback', 'linklocal', 'uniquelocal', found/,
    ]),
    ["access 'none'", { store: store(), access: 'none' }, /access: expected 'auto', 'exclusive', 'snapshot', 'shared' or a function of the request, found 'none'/],
    ['onLocked', { store: store(), onLocked: 'queue' }, /onLocked: expected 'wait', 'error', 'redirect' or a function of the lock, found 'queue'/],
    ['publicUrl', { store: store(), publicUrl: 'www2.foo.com' }, /publicUrl: expected an http or https address without path/],
    ['publicUrl left out', { store: store(), onLocked: 'redirect' }, /^session: publicUrl is required with onLocked 'redirect'/],
    ["express-session's options", { store: store(), resave: false, saveUninitialized: false },
      /^session: resave: no such option; leave it out: a session is stored when it has changed; saveUninitialized: no such option; leave it out: /],
    ...['rolling', 'unset', 'genid', 'proxy', 'ttl', 'cookieName', 'keys', 'password'].map((name): [string, unknown, RegExp] => [
      `the name ${name}`, { store: store(), [name]: true }, new RegExp(`^session: ${name}: no such option; (leave it out:|use) [^;]+(; in Express, app.set.*)?$`),
    ]),
    ['a name that is nearly one', { store: store(), idleTimeout: 1000, secrets: ['x'], maxAge: 5, cookie: { samesite: 'lax' } },
      /idleTimeout: no such option; did you mean idleTimeoutMs\?; secrets: .* secret\?; maxAge: .* cookie\.maxAge\?; cookie\.samesite: .* cookie\.sameSite\?/],
    ["a manager's option", { store: store(), leaseMs: 'long' }, /^session: leaseMs: expected a whole number/],
    ['an age beyond the idle time-out', { store: store(), cookie: { maxAge: 86_400_000 } },
      /^session: cookie\.maxAge: expected at most idleTimeoutMs \(1800000\), after which the session is gone, found 86400000; raise idleTimeoutMs/],
    ['a cookie that is no object', { store: store(), cookie: 'sid' }, /cookie: expected an object .*, found 'sid'/],
    ['an unknown cookie attribute', { store: store(), cookie: { signed: true } }, /cookie\.signed: no such option/],
    ['a name that breaks the header', { store: store(), name: 'a;b' }, /name: expected a cookie name/],
    ['an empty secret', { store: store(), secret: '' }, /secret: expected a string that is not empty.*found an empty string/],
    ['no secret in the array', { store: store(), secret: [] }, /secret: expected/],
    ['a domain that breaks the header', { store: store(), cookie: { domain: 'a b' } }, /cookie\.domain: expected a domain name/],
    ['a path without a slash', { store: store(), cookie: { path: 'shop' } }, /cookie\.path: expected a path that begins with '\/'/],
    ['an age of no whole number', { store: store(), cookie: { maxAge: 1.5 } }, /cookie\.maxAge: expected a whole number of ms/],
    ['SameSite=None without Secure', { store: store(), cookie: { sameSite: 'none', secure: false } }, /cookie\.secure: expected true or 'auto' because of sameSite 'none'/],
    ['a __Host- name that browsers drop', { store: store(), name: '__Host-sid', cookie: { domain: 'foo.com' } }, /name: expected cookie.path '\/' and no cookie.domain/],
    ['onStoreError', { store: store(), onStoreError: 'ignore' }, /onStoreError: expected one of 'error', 'anonymous', found 'ignore'/],
  ])('%s', (_name, options, text) => {
    expect(refusal(options)).toMatch(text);
  });

  it('everything that is wrong at once', () => {
    const text = refusal({ store: store(), nmae: 'sid', cookie: { secure: 'yes', maxAge: -1 }, access: 'x', leaseMs: 'long', affinity: 'sticky' });
    for (const name of ['nmae', 'cookie.secure', 'cookie.maxAge', 'access', 'leaseMs', 'affinity']) expect(text).toContain(`${name}: `);
  });

  it('a secret without showing it', () => {
    expect(refusal({ store: store(), secret: ['', 'hunter2'] })).not.toContain('hunter2');
  });
});

describe('session() accepts', () => {
  it('every option it names', () => {
    expect(refusal({
      store: store(), name: '__Host-sid', secret: ['new', 'old'], access: () => 'auto', onStoreError: 'anonymous', context: 'shop', idleTimeoutMs: 60_000, onLocked: 'error',
      cookie: { path: '/', httpOnly: true, secure: true, sameSite: 'strict', partitioned: true, priority: 'high', maxAge: 60_000 },
    })).toBe('accepted');
  });

  it.each([true, false, 0, 2, 'loopback', '127.0.0.1, 10.0.0.0/8', ['::1', 'uniquelocal', '192.168.0.0/255.255.0.0']])('trustProxy %j', (trustProxy) => {
    expect(refusal({ store: store(), trustProxy })).toBe('accepted');
  });

  it('an explicit undefined as left out', () => {
    expect(refusal({ store: store(), manager: undefined, name: undefined, cookie: undefined, transport: undefined, leaseMs: undefined })).toBe('accepted');
    expect(refusal({ store: store(), transport, name: undefined, cookie: undefined, secret: undefined })).toBe('accepted');
  });
});
