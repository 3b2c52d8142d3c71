import { setImmediate as breathe } from 'node:timers/promises';
import type { DistributedManager, Session } from '@cluster/core';

declare module '@cluster/core' {
  interface SessionData { count: number; user: { id: number; name: string }; text: string }
}

export const uses = ['find + send, unchanged', 'snapshot, one attribute read', 'one attribute changed'] as const;
export type Use = typeof uses[number];

// Timers must run, or the lease's beats would not.
const BREATHE_EVERY = 200;

const found = (session: Session | undefined): Session => {
  if (session === undefined) throw new Error('a session is gone');
  return session;
};

const turns: Readonly<Record<Use, (manager: DistributedManager, id: string) => Promise<void>>> = {
  'find + send, unchanged': async (manager, id) => { await manager.sendSession(found(await manager.findSession(id))); },
  'snapshot, one attribute read': async (manager, id) => {
    const session = found(await manager.findSession(id, { access: 'snapshot' }));
    if (session.count === undefined) throw new Error('an attribute is gone');
    await manager.sendSession(session);
  },
  'one attribute changed': async (manager, id) => {
    const session = found(await manager.findSession(id));
    session.count = (session.count ?? 0) + 1;
    await manager.sendSession(session);
  },
};

/** One turn after the other on sessions drawn at random. */
export async function takeTurns(manager: DistributedManager, idAt: (index: number) => string, among: number, use: Use, count: number): Promise<void> {
  const turn = turns[use];
  for (let done = 0; done < count; done += 1) {
    await turn(manager, idAt(Math.floor(Math.random() * among)));
    if (done % BREATHE_EVERY === 0) await breathe();
  }
}

/** A new session; with `text` it has about that many bytes. */
export async function create(manager: DistributedManager, number: number, text: number): Promise<string> {
  const session = manager.createSession();
  Object.assign(session, { count: number, user: { id: number, name: 'somebody' }, ...(text === 0 ? {} : { text: String(number).padStart(text, 'x') }) });
  await manager.sendSession(session);
  return session.id;
}
