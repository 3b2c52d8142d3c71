import assert from 'node:assert/strict';
import type { SessionMap } from '@cluster/core/driver';
import type { RemoteStore } from './processes/remote-store.js';
import { canonical } from './proof.js';

type Method = (...args: readonly unknown[]) => Promise<unknown>;

/** The same object, but for what these methods resolve to, which is looked at first. */
function looked<T extends object>(subject: T, looks: ReadonlyMap<string | symbol, (answer: unknown) => void>): T {
  return new Proxy(subject, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      const look = looks.get(name);
      // It is called as it was given, so that private members are found.
      const method = member.bind(target) as Method; // a method of the contract, which resolves to something
      if (look === undefined) return method;
      return async (...args: readonly unknown[]) => {
        const answer = await method(...args);
        look(answer);
        return answer;
      };
    },
  });
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null;
const isNumber = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value);
const tagOf = (value: unknown): string => Object.prototype.toString.call(value).slice(8, -1);

function lookAtEntry(answer: unknown): void {
  if (answer === undefined) return;
  const fits = isObject(answer) && typeof answer.value === 'string' && typeof answer.revision === 'string' && (answer.ageMs === undefined || isNumber(answer.ageMs));
  assert.ok(fits, `get resolved to ${canonical(answer)}: expected undefined where there is nothing, else { value, revision, ageMs? }, with value and revision as text`);
}

function lookAtRevision(answer: unknown): void {
  assert.ok(answer === undefined || typeof answer === 'string',
    `compareAndSet resolved to ${canonical(answer)}: expected the new revision as text, or undefined where the expected revision is not the present one`);
}

const isEncoded = (value: unknown): boolean => typeof value === 'string' || tagOf(value) === 'Uint8Array';

function faultOf({ id, attributes, ageMs, idleMs, lifetimeMs }: Readonly<Record<string, unknown>>): string | undefined {
  if (typeof id !== 'string') return `id: expected text, found ${canonical(id)}`;
  if (tagOf(attributes) !== 'Map') return `attributes: expected a Map, found ${canonical(attributes)}`;
  // The tag says that it is one; the compiler cannot follow a tag.
  const odd = [...attributes as ReadonlyMap<unknown, unknown>].find(([name, value]) => typeof name !== 'string' || !isEncoded(value));
  if (odd !== undefined) return `attributes: expected text or a Uint8Array under a name, found ${canonical(odd)}`;
  const times = Object.entries({ ageMs, idleMs, lifetimeMs }).find(([, value]) => !isNumber(value));
  return times && `${times[0]}: expected a number, found ${canonical(times[1])}`;
}

const lookAtSession = (method: string) => (answer: unknown): void => {
  if (answer === undefined) return;
  const fault = isObject(answer) ? faultOf(answer) : `expected undefined where there is nothing, else a SessionSnapshot, found ${canonical(answer)}`;
  assert.ok(fault === undefined, `what ${method} resolved to: ${fault}`);
};

const ofMap = new Map([['get', lookAtEntry], ['compareAndSet', lookAtRevision]]);
const ofStore = new Map([['find', lookAtSession('findSession')], ['read', lookAtSession('readSession')]]);

/** A map whose answers are held to their types: not every author has a compiler that does. */
export const answeringMap = (map: SessionMap): SessionMap => looked(map, ofMap);

/** The same for a store. */
export const answeringStore = (store: RemoteStore): RemoteStore => looked(store, ofStore);
