import { afterEach, describe, expect, it } from '@jest/globals';
import { MemoryStore } from '@cluster/core';
import { Clock } from '@cluster/core/driver';
import { signIn } from '@cluster/http/testing';
import { express5, instance, one, stopAll, SwitchStore } from './support/cluster.js';
import { closeAll, serve } from './support/servers.js';

afterEach(async () => {
  await closeAll();
  await stopAll();
});

const who = (sessions: ReturnType<typeof instance>) => serve(express5(sessions, (req, res) => {
  if (req.method === 'POST') req.session.count = (req.session.count ?? 0) + 1;
  res.end(JSON.stringify({ ...req.session }));
}));

describe('signIn', () => {
  it.each([
    ['by default', {}], ['with a secret', { secret: ['new', 'old'] }], ['with another name', { name: '__Secure-shop.sid' }],
    ['with an age', { cookie: { maxAge: 600_000 } }], ['with both', { secret: 'secret', cookie: { maxAge: 600_000 } }],
  ])('resolves to a Cookie header: %s', async (_name, options) => {
    const sessions = instance(options);
    const { url } = await who(sessions);
    const headers = { cookie: await signIn(sessions, { user: 'ada', cart: ['book'] }) };
    const reply = await fetch(url, { headers });
    expect(await reply.json()).toEqual({ user: 'ada', cart: ['book'] });
    expect(reply.headers.get('set-cookie')).toBe(null);
    expect(await (await fetch(url, { method: 'POST', headers })).json()).toEqual({ user: 'ada', cart: ['book'], count: 1 });
  });

  it('makes a session of its own each time, over any store', async () => {
    const sessions = one({ store: new SwitchStore() });
    const { url } = await who(sessions);
    const cookies = [await signIn(sessions, { user: 'ada' }), await signIn(sessions, { user: 'grace' })];
    const users = await Promise.all(cookies.map(async (cookie) => (await fetch(url, { headers: { cookie } })).json()));
    expect(users).toEqual([{ user: 'ada' }, { user: 'grace' }]);
  });

  it('resolves to the bare id where it travels in another way', async () => {
    const sessions = instance({ transport: {
      read: (req) => req.headers['x-session'], write: (res, id) => { res.setHeader('X-Session', id); }, clear: (res) => { res.removeHeader('X-Session'); },
    } });
    const { url } = await who(sessions);
    const id = await signIn(sessions, { user: 'ada' });
    expect(await (await fetch(url, { headers: { 'x-session': id } })).json()).toEqual({ user: 'ada' });
  });

  it('goes with a manual clock: the session ends when its time has passed', async () => {
    const clock = Clock.manual();
    const sessions = one({ store: new MemoryStore({ clock }), clock, idleTimeoutMs: 60_000 });
    const { url } = await who(sessions);
    const headers = { cookie: await signIn(sessions, { user: 'ada' }) };
    await clock.advance(59_000);
    expect(await (await fetch(url, { headers })).json()).toEqual({ user: 'ada' });
    await clock.advance(67_000);
    expect(await (await fetch(url, { headers })).json()).toEqual({});
  });

  it('gives the session an age of its own', async () => {
    const clock = Clock.manual();
    const sessions = one({ store: new MemoryStore({ clock }), clock, idleTimeoutMs: 60_000 });
    const { url } = await who(sessions);
    const headers = { cookie: await signIn(sessions, { user: 'ada' }, { maxAge: 3_600_000 }) };
    await clock.advance(1_700_000);
    const reply = await fetch(url, { headers });
    expect([await reply.json(), reply.headers.get('set-cookie')]).toEqual([{ user: 'ada' }, null]);
    await clock.advance(200_000);
    expect((await fetch(url, { headers })).headers.get('set-cookie')).toContain('Max-Age=3600');
    for (const maxAge of [0, -1, 1.5, '1h']) await expect(signIn(sessions, { user: 'ada' }, { maxAge: maxAge as number })).rejects.toMatchObject({ code: 'CLUSTER_BAD_OPTION', message: expect.stringContaining('maxAge') });
  });

  it('refuses what cannot work', async () => {
    const sessions = instance();
    for (const none of [{}, null, undefined, 'ada', ['ada'], 7]) {
      await expect(signIn(sessions, none as Parameters<typeof signIn>[1])).rejects.toMatchObject({ code: 'CLUSTER_BAD_OPTION', message: expect.stringContaining('attributes') });
    }
    for (const other of [() => undefined, {}, undefined]) {
      await expect(signIn(other as typeof sessions, { user: 'ada' })).rejects.toMatchObject({ code: 'CLUSTER_BAD_OPTION', message: expect.stringContaining('session(') });
    }
    await expect(signIn(sessions, { user: (() => 'ada') as unknown as string })).rejects.toMatchObject({ code: 'CLUSTER_NOT_ENCODABLE' });
    // @ts-expect-error a number where the application has declared a string
    await signIn(sessions, { user: 7 });
  });
});
