import { inspect } from 'node:util';
import { describe, it, expect } from '@jest/globals';
import { ClusterError, type Session } from '../src/index.js';
import { textCodec } from '../src/codec.js';
import { handleOf, SessionState, stateOf } from '../src/session.js';

const make = (attributes: Readonly<Record<string, unknown>> = {}, isNew = false) => {
  const base = new Map(Object.entries(attributes).map(([name, value]) => [name, textCodec.encode(value)]));
  const state = new SessionState('the-id', isNew, textCodec, base);
  // Attributes of any name, as an application's own declaration would have them.
  return { state, session: handleOf(state) as Session<Record<string, unknown>> };
};

const code = (action: () => unknown): string | undefined => {
  try {
    action();
    return undefined;
  } catch (error) {
    return ClusterError.is(error) ? error.code : String(error);
  }
};

describe('a session handle', () => {
  it('has its attributes as its only enumerable keys', () => {
    const { session } = make({ cart: ['a'], user: { id: 7 } });
    session.color = 'red';
    expect(Object.keys(session)).toEqual(['cart', 'user', 'color']);
    expect({ ...session }).toEqual({ cart: ['a'], user: { id: 7 }, color: 'red' });
    expect(JSON.stringify(session)).toBe('{"cart":["a"],"user":{"id":7},"color":"red"}');
    const names = [];
    for (const name in session) names.push(name);
    expect(names).toEqual(['cart', 'user', 'color']);
    expect(Object.entries(make({ n: 1 }).session)).toEqual([['n', 1]]);
  });

  it('answers in, delete, get, set and delete()', () => {
    const { session } = make({ a: 1, b: 2, c: 3 });
    expect(['a' in session, 'x' in session, 'id' in session]).toEqual([true, false, true]);
    delete session.a;
    expect(session.delete('b')).toBe(true);
    expect(session.delete('b')).toBe(false);
    expect(session.set('c', 4)).toBe(session);
    expect([session.get('a'), session.get('c'), session.get('id'), Object.keys(session)]).toEqual([undefined, 4, undefined, ['c']]);
    session.a = 5;
    expect(Object.keys(session).sort()).toEqual(['a', 'c']);
  });

  it('can be awaited, printed and compared, and shows attributes only', async () => {
    const { session } = make({ n: 1 });
    expect(await Promise.resolve(session)).toBe(session);
    expect(inspect(session)).toBe('{ n: 1 }');
    expect(inspect({ session }, { depth: 3 })).not.toContain('the-id');
    expect(session).toEqual({ n: 1 });
  });

  it('has the methods of a plain object where no attribute hides them', () => {
    const { session } = make({ n: 1 });
    expect(Object.prototype.hasOwnProperty.call(session, 'n')).toBe(true);
    // Libraries of the express-session kind do it this way.
    // eslint-disable-next-line no-prototype-builtins
    expect([session.hasOwnProperty('n'), session.hasOwnProperty('x')]).toEqual([true, false]);
    // eslint-disable-next-line @typescript-eslint/no-base-to-string -- what a careless template makes of it
    expect(String(session)).toBe('[object Object]');
    expect(Object.keys(session)).toEqual(['n']);
    session.set('toString', 'mine');
    expect(session.get('toString')).toBe('mine');
  });

  it('refuses reserved names', () => {
    const { session } = make();
    for (const name of ['id', 'isNew', 'cookie', 'get', 'save', 'destroy', 'regenerate', 'then', 'constructor', '__proto__']) {
      expect([name, code(() => { session[name] = 1; })]).toEqual([name, 'CLUSTER_RESERVED_NAME']);
      expect([name, code(() => session.set(name, 1))]).toEqual([name, 'CLUSTER_RESERVED_NAME']);
      expect([name, code(() => Object.defineProperty(session, name, { value: 1 }))]).toEqual([name, 'CLUSTER_RESERVED_NAME']);
    }
    expect(code(() => Object.assign(session, JSON.parse('{"__proto__":{"admin":true}}')))).toBe('CLUSTER_RESERVED_NAME');
    expect(Object.keys(session)).toEqual([]);
    expect(Reflect.get({}, 'admin')).toBe(undefined);
  });

  it('refuses names that are not Unicode text, which stores could not tell apart', () => {
    const { session } = make();
    for (const name of ['\ud800', 'cart\udc00']) {
      expect(code(() => session.set(name, 1))).toBe('CLUSTER_NOT_ENCODABLE');
      expect(code(() => { session[name] = 1; })).toBe('CLUSTER_NOT_ENCODABLE');
    }
    session['\ud83d\ude00'] = 1;
    expect(session.get('\ud83d\ude00')).toBe(1);
  });

  it('keeps the prototype it has', () => {
    const { session } = make();
    expect(Object.getPrototypeOf(session)).toBe(Object.prototype);
    expect(Reflect.setPrototypeOf(session, {})).toBe(false);
    expect(Reflect.preventExtensions(session)).toBe(false);
    expect(session.constructor).toBe(Object);
  });

  it('does not show a field of its own state as an attribute', () => {
    const { session } = make();
    for (const name of ['base', 'codec', 'seen', 'ended', 'keysSeen', 'stored', 'changes']) expect([name, session[name]]).toEqual([name, undefined]);
    session.base = 1;
    expect(Object.keys(session)).toEqual(['base']);
  });

  it('is told from anything else', () => {
    const { session, state } = make();
    expect(stateOf(session)).toBe(state);
    for (const other of [{}, null, undefined, 'x', state]) expect(code(() => stateOf(other as never))).toBe('CLUSTER_BAD_OPTION');
  });
});

describe('what changed', () => {
  const changes = (change: (session: Session<Record<string, unknown>>) => void, attributes: Readonly<Record<string, unknown>> = { n: 1, list: [1], user: { name: 'x' } }) => {
    const { session, state } = make(attributes);
    change(session);
    const found = state.changes();
    return found && { set: Object.fromEntries(found.set), remove: found.remove };
  };

  it('is nothing after reads, also of nested values', () => {
    expect(changes((session) => { JSON.stringify([session, (session.user as { name: string }).name, session.missing, 'n' in session]); })).toBe(undefined);
  });

  it('is nothing where the same value is written, or a new attribute is gone again', () => {
    expect(changes((session) => { session.n = 1; session.list = [1]; session.fresh = 1; delete session.fresh; })).toBe(undefined);
  });

  it('is a mutation inside a value that was read', () => {
    expect(changes((session) => { (session.list as number[]).push(2); (session.user as { name: string }).name = 'y'; }))
      .toEqual({ set: { list: '[1,2]', user: '{"name":"y"}' }, remove: [] });
  });

  it('is a mutation of a value after it was written', () => {
    expect(changes((session) => { const list = [5]; session.list = list; list.push(6); })).toEqual({ set: { list: '[5,6]' }, remove: [] });
  });

  it('is a removal, unless the attribute comes back as it was', () => {
    expect(changes((session) => { delete session.n; })).toEqual({ set: {}, remove: ['n'] });
    expect(changes((session) => { delete session.n; session.n = 1; })).toBe(undefined);
    expect(changes((session) => { delete session.n; session.n = 2; })).toEqual({ set: { n: '2' }, remove: [] });
  });

  it('is an attribute that was set to undefined', () => {
    expect(changes((session) => { session.n = undefined; })?.set).toHaveProperty('n');
  });

  it('names the attribute that cannot be encoded', () => {
    const { session, state } = make();
    session.socket = () => undefined;
    expect(code(() => state.changes())).toBe('CLUSTER_NOT_ENCODABLE');
    expect(() => state.changes()).toThrow("'socket'");
  });

  it('names the attribute that cannot be decoded', () => {
    const state = new SessionState('id', false, textCodec, new Map([['bad', '{']]));
    expect(code(() => state.read('bad'))).toBe('CLUSTER_UNREADABLE');
    expect(() => state.read('bad')).toThrow("'bad'");
  });
});
