import type { Session } from '@cluster/core';
import type { Scalar } from './recorder.js';

/** What sessions have; `c` is an object, so that changes inside of one are seen too. */
export const NAMES = ['a', 'b', 'c'] as const;

export const scalarOf = (value: unknown): Scalar => {
  if (value === undefined) return null;
  return typeof value === 'object' && value !== null ? Reflect.get(value, 'token') as number : value as number;
};

/** Gives an attribute a value that nobody else writes, or removes it; false: there was none to remove. */
export function setToken(session: Session, name: string, token: number | null): boolean {
  if (token === null) return session.delete(name);
  if (name !== 'c') {
    session.set(name, token);
    return true;
  }
  const value: unknown = session.get('c');
  if (typeof value === 'object' && value !== null) Reflect.set(value, 'token', token);
  else session.set('c', { token });
  return true;
}
