import { describe, it, expect } from '@jest/globals';
import { systemClock } from '../src/clock.js';
import { ClusterError } from '../src/errors.js';
import { count, managerOptions, milliseconds, name, oneOf, resolveManagerOptions, resolveOptions, shown, type OptionSpec } from '../src/options.js';

const specs = {
  url: { default: undefined, required: true, expected: 'a URL', accepts: (value: unknown) => typeof value === 'string', meaning: 'Where.' } satisfies OptionSpec<string | undefined>,
  secret: { default: 'none', secret: true, expected: '8 characters or more', accepts: (value: unknown) => String(value).length >= 8, meaning: 'Signs.' },
  waitMs: milliseconds(500, 'How long.', 10),
  retries: count(3, 'How often.', 1),
  mode: oneOf(['fast', 'safe'], 'How.'),
  owner: name(undefined, 'Who.'),
};

function refusal(given: object | undefined, like?: string): string {
  try {
    resolveOptions('ShopStore', specs, given, like === undefined ? {} : { like });
  } catch (error) {
    if (ClusterError.is(error, 'CLUSTER_BAD_OPTION')) return error.message;
    throw error;
  }
  return 'accepted';
}

describe('resolveOptions', () => {
  it('fills in defaults, also for an explicit undefined, and freezes', () => {
    const resolved = resolveOptions('ShopStore', specs, { url: 'x', waitMs: undefined, retries: 9 });
    expect(resolved).toEqual({ url: 'x', secret: 'none', waitMs: 500, retries: 9, mode: 'fast', owner: undefined });
    expect(Object.isFrozen(resolved)).toBe(true);
  });

  it('names every problem at once, with what was expected and found', () => {
    expect(refusal({ waitMs: '2s', mode: 'quick', wiatMs: 5 })).toBe(
      "ShopStore: url is required: expected a URL; waitMs: expected a whole number of ms from 10 to 2147483647, found '2s'; "
      + "mode: expected one of 'fast', 'safe', found 'quick'; wiatMs: no such option; did you mean waitMs?");
  });

  it.each([
    ['www2.example.com/shop', "'www2.example.com/shop'"], ['https://ada:hunter2@www2.example.com', "'https://***@www2.example.com'"],
    ['https://ada:hun/ter@2@www2.example.com', "'https://***@www2.example.com'"], ['ada:hunter2@www2.example.com', "'***@www2.example.com'"],
    [new URL('https://ada:hunter2@www2.example.com'), 'an object'], [7, 'a number'], [null, 'null'], [[], 'an array'],
  ])('shows a public address without what may be a password: %p', (publicUrl, found) => {
    const text = new RegExp(`^Manager: publicUrl: expected an http or https address .*, found ${found.replaceAll(/[*.]/g, '\\$&')}$`);
    // Such values reach it from JavaScript.
    expect(() => resolveOptions('Manager', managerOptions, { publicUrl: publicUrl as string })).toThrow(text);
  });

  it.each([
    ['urll', /^ShopStore: urll: no such option; did you mean url\?$/], ['WAITMS', /did you mean waitMs\?$/], ['retires', /did you mean retries\?$/],
    ['colour', /colour: no such option; known are url, secret, waitMs, retries, mode, owner$/], ['x', /known are url/],
  ])('tells the name that may have been meant by %s', (name, text) => {
    expect(refusal({ url: 'x', [name]: 1 })).toMatch(text);
  });

  it('lists no more names than one reads', () => {
    expect(() => resolveOptions('Manager', managerOptions, { colour: 1 })).toThrow(/^Manager: colour: no such option; see the table of options in the documentation$/);
    expect(() => resolveOptions('Manager', managerOptions, { idleTimeout: 1, a: 1 })).toThrow(/idleTimeout: no such option; did you mean idleTimeoutMs\?; a: no such option; see/);
  });

  it('never shows a secret, and cuts what is long', () => {
    expect(refusal({ url: 'x', secret: 'hunter2' })).toBe('ShopStore: secret: expected 8 characters or more, found a string');
    expect(refusal({ url: 'x', secret: '' })).toBe('ShopStore: secret: expected 8 characters or more, found an empty string');
    expect(refusal({ url: 'x', secret: ['hunter'] })).toBe('ShopStore: secret: expected 8 characters or more, found an array');
    expect(refusal({ url: 'x', mode: 'y'.repeat(10_000) }).length).toBeLessThan(150);
  });

  it.each([null, 'redis://', 7])('refuses %p in place of an object', (given) => {
    // Such values reach it from JavaScript.
    expect(refusal(given as unknown as object)).toMatch(/^ShopStore: expected an object of options, found /);
  });

  it('says how to give what is the value of one of them', () => {
    class Client { readonly host = 'a'; readonly status = 'ready'; }
    const like = "{ client } or { url: 'redis://a:6379' }";
    expect(refusal(new Client(), like)).toBe(`ShopStore: expected an object of options, such as ${like}, found an object of the class Client`);
    expect(refusal([], like)).toBe(`ShopStore: expected an object of options, such as ${like}, found an array of 0`);
    // Such values reach it from JavaScript.
    expect(refusal('ada:hunter2@a:6379' as unknown as object, like)).toBe(`ShopStore: expected an object of options, such as ${like}, found '***@a:6379'`);
    expect(refusal('redis://ada:hunter2@a:6379' as unknown as object)).toBe("ShopStore: expected an object of options, found 'redis://***@a:6379'");
  });

  it('takes options of any class', () => {
    class Settings { readonly url = 'x'; readonly colour = 'red'; }
    expect(refusal(new Settings())).toMatch(/^ShopStore: colour: no such option/);
    expect(refusal(Object.assign(Object.create(null) as object, { url: 'x' }))).toBe('accepted');
  });

  it('is not misled by names that every object has', () => {
    expect(refusal({ url: 'x', constructor: 1 })).toMatch(/constructor: no such option/);
    expect(refusal(JSON.parse('{"url":"x","__proto__":{"mode":"safe"}}') as object)).toMatch(/__proto__: no such option/);
  });
});

describe('kinds of options', () => {
  it.each([
    ['milliseconds', milliseconds(1, '', 1), [1, 2_147_483_647], [0, -1, 1.5, NaN, Infinity, 2_147_483_648, '5', null, 5n]],
    ['count', count(1, '', 1), [1, Number.MAX_SAFE_INTEGER], [0, 1.5, NaN, 2 ** 53, '5', null]],
    ['oneOf', oneOf(['a', 'b'], ''), ['a', 'b'], ['c', '', null, ['a']]],
    ['name', name('x', ''), ['a', 'A-z_9', 'a'.repeat(64)], ['', 'a.b', 'a b', 'ä', 'a\n', 'a'.repeat(65), 7, null]],
    ['maxInMemory', managerOptions.maxInMemory, [{}, { sessions: 1 }, { sessions: 1, bytes: 1 }], [{ sessions: 0 }, { byte: 1 }, { bytes: '1' }, null, 5]],
    ['publicUrl', managerOptions.publicUrl,
      ['https://www2.example.com', 'http://127.0.0.1:8080', 'https://WWW2.example.com:443/', 'http://[::1]:80'],
      ['', 'www2.example.com', '//www2.example.com', 'ftp://www2.example.com', 'javascript:alert(1)', 'https://ada:secret@www2.example.com', 'https://ada@www2.example.com',
        'https://www2.example.com/shop', 'https://www2.example.com/?a', 'https://www2.example.com/#a', 'https://', 'http:x.com', ' https://www2.example.com', 'https://www2.example.com\n', 'http://a#', 'http://a?', 'http:\\\\a', 7, null]],
    ['onLocked', managerOptions.onLocked, ['wait', 'error', 'redirect', () => 'wait'], ['queue', '', null, true]],
    ['codec', managerOptions.codec, [managerOptions.codec.default], [{}, null, { encode: () => '', decode: () => '' }]],
    ['clock', managerOptions.clock, [systemClock], [{}, Date, null]],
  ])('%s accepts and refuses', (_, spec, accepted, refused) => {
    for (const value of accepted) expect([value, spec.accepts(value)]).toEqual([value, true]);
    for (const value of refused) expect([value, spec.accepts(value)]).toEqual([value, false]);
  });
});

describe('managerOptions', () => {
  it.each(Object.entries(managerOptions))('%s has a default that it accepts itself, and a meaning', (_, spec: OptionSpec<unknown>) => {
    expect(spec.accepts(spec.default)).toBe(true);
    expect(spec.meaning).toMatch(/\.$/);
    expect(spec.expected).not.toBe('');
  });

  it('needs none', () => {
    expect(resolveOptions('Manager', managerOptions, undefined)).toMatchObject({
      context: 'default', idleTimeoutMs: 1_800_000, lockTimeoutMs: 15_000, leaseMs: 10_000, readLeaseMs: 200, affinity: 'auto', onConflict: 'merge',
    });
  });
});

describe('the options of a manager', () => {
  it.each([
    ['readLeaseMs beside leaseMs', { leaseMs: 300, readLeaseMs: 200 }, /^DistributedManager: readLeaseMs: expected at most half of leaseMs \(300\), found 200$/],
    ["'redirect' without an address", { onLocked: 'redirect' }, /^DistributedManager: publicUrl is required with onLocked 'redirect': expected an http or https address/],
  ] as const)('are refused together: %s', (_, options, text) => {
    expect(() => resolveManagerOptions(options)).toThrow(text);
  });

  it('shows nothing that may be a secret of a value in the wrong place', () => {
    const nameless = Object.setPrototypeOf({}, Object.setPrototypeOf({}, null) as object) as object;
    expect(['redis://user:s3cr3t@host:6379', { host: 'x', password: 's3cr3t' }, [1, 2], {}, new Map(), nameless].map(shown))
      .toEqual(["'redis://***@host:6379'", '{ host, password }', 'an array of 2', '{}', 'Map', '{}']);
  });
});
