import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { NatsServer, type NatsRelease } from '../../../scripts/services/nats.js';
import { entry, mapAt, nobody } from './set-up.js';

describe('the rights of a user', () => {
  const page = readFileSync(new URL('../../../docs/stores/nats.md', import.meta.url), 'utf8');
  /** From `publish:` and `subscribe:` of the page's block of NATS settings. */
  const listed = (kind: string): string[] => [...(new RegExp(`${kind}: \\[(.*?)\\]`, 's').exec(page)?.[1] ?? '').matchAll(/"(.+?)"/g)].map(([, subject = '']) => subject);
  const rights = ['publish', 'subscribe'].flatMap((kind) => listed(kind).map((subject) => ({ kind, subject })));
  const started = async (given: typeof rights, release?: NatsRelease) => {
    const of = (kind: string) => JSON.stringify(given.filter((right) => right.kind === kind).map(({ subject }) => subject));
    const own = await NatsServer.start({ ...release && { release }, lines: `authorization { users: [{ user: all, password: all }, { user: shop, password: shop,
      permissions: { publish: ${of('publish')}, subscribe: ${of('subscribe')} } }] }\nno_auth_user: all` });
    const map = mapAt(own.url, { source: { connect: { servers: own.url, user: 'shop', pass: 'shop' } } });
    return { map, own, start: map.start(nobody) };
  };

  it('that the page lists are enough', async () => {
    const { map, own, start } = await started(rights);
    await start;
    expect(rights.length).toBeGreaterThan(7);
    expect(await map.compareAndSet('shop.s.a', undefined, entry('x'))).toBeDefined();
    const keys: string[] = [];
    for await (const key of map.keys()) keys.push(key);
    expect(keys).toEqual(['shop.s.a']);
    expect(await map.signal('one', 'hello')).toBe(true);
    await map.stop();
    await own.stop();
  });

  // Only where sessions do not expire by themselves is something deleted.
  it.each(rights)('to $kind $subject is missed by start', async (right) => {
    const { own, start } = await started(rights.filter((each) => each !== right), right.subject.includes('DELETE') ? 'installed' : undefined);
    const error = await start.then(() => undefined, (thrown: unknown) => thrown);
    await own.stop();
    expect(error).toMatchObject({ code: 'CLUSTER_UNAVAILABLE', message: expect.stringContaining(right.subject.replace('>', '').replace('*', '').slice(0, 24)) });
  });
});
