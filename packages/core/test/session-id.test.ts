import { describe, it, expect } from '@jest/globals';
import { systemClock } from '../src/clock.js';
import { checkSessionId, digestOf, newSessionId, shortName } from '../src/session-id.js';

describe('session ids', () => {
  it('are 192 bits as 32 characters that may stand in a cookie, each new', () => {
    const ids = Array.from({ length: 1000 }, () => newSessionId(systemClock));
    expect(new Set(ids).size).toBe(1000);
    for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9_-]{32}$/);
  });

  it('are kept as SHA-256 in hex', () => {
    expect(digestOf('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(digestOf('abd')).not.toBe(digestOf('abc'));
  });

  it('are named by 12 digits of the digest, whatever stands before it in the key', () => {
    expect(shortName(digestOf('abc'))).toBe('ba7816bf8f01');
    expect(shortName(`shop.s.${digestOf('abc')}`)).toBe('ba7816bf8f01');
  });

  it.each(['x', '../../etc/passwd', 'ü', 'a'.repeat(512)])('may be any text of 1 to 512 characters (%#)', (id) => {
    expect(() => { checkSessionId(id); }).not.toThrow();
  });

  it.each([['', 'one of 0 characters'], ['a'.repeat(513), 'one of 513 characters'], ['a'.repeat(10_000_000), 'one of 10000000 characters'],
    [7, 'a value of type number'], [undefined, 'a value of type undefined'], [null, 'a value of type object'], [['id'], 'a value of type object'],
  ])('are refused otherwise, without being quoted (%#)', (id, found) => {
    expect(() => { checkSessionId(id); }).toThrow(expect.objectContaining({
      code: 'CLUSTER_BAD_OPTION', message: `session id: expected a string of 1 to 512 characters, found ${found}`,
    }));
  });
});
