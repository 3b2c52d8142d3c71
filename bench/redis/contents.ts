/** What an application of the bench keeps in a session. */
export interface Counted { count?: number; user?: { id: number; name: string }; items?: { id: number; name: string; priceCents: number }[] }

declare module '@cluster/core' {
  interface SessionData { count: number; user: { id: number; name: string }; items: { id: number; name: string; priceCents: number }[] }
}

const item = (id: number) => ({ id, name: `item number ${id}, as it is called in the shop`, priceCents: 1_999 });

/** Adds one to the counter; the first time it fills the session with items up to `bytes` of JSON. */
export function increment(session: Counted, bytes: number): void {
  if (session.count === undefined) {
    session.user = { id: 1, name: 'somebody' };
    const count = itemsFor(bytes);
    if (count > 0) session.items = Array.from({ length: count }, (_, id) => item(id));
  }
  session.count = (session.count ?? 0) + 1;
}

/** How many items the session has. */
export const listed = (session: Counted): number => session.items?.length ?? 0;

/** How many items make a session of `bytes`. */
export const itemsFor = (bytes: number): number => Math.floor(Math.max(0, bytes - 100) / JSON.stringify(item(1_000)).length);
