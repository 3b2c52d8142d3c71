import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { inspect } from 'node:util';
import type { Manager } from '@cluster/core';

/** Both as PEM. */
export interface Certified { readonly key: string; readonly certificate: string }

/** A key, and a certificate for 127.0.0.1 that it signed itself. */
export function certified(): Certified {
  const both = execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', '/CN=cluster test', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', '-', '-out', '-'], { stdio: 'pipe', encoding: 'utf8' });
  const at = both.indexOf('-----BEGIN CERTIFICATE');
  return { key: both.slice(0, at), certificate: both.slice(at) };
}

/** Why a manager cannot be started; it is stopped again. */
export async function refusalOf(manager: Manager): Promise<unknown> {
  try {
    await manager.start();
  } catch (error) {
    return error;
  } finally {
    await manager.stop();
  }
  throw new Error('it has started');
}

/** Each of two instances sees what the other one has changed. */
async function changeSessions(managers: readonly [Manager, Manager]): Promise<void> {
  const [first, second] = managers;
  await Promise.all(managers.map((manager) => manager.start()));
  const session = first.createSession();
  session.set('user', 'Anna');
  await first.sendSession(session);
  await second.update(session.id, (found) => { found.set('user', `${String(found.get('user'))} B`); });
  assert.equal(await first.update(session.id, (found) => found.get('user')), 'Anna B');
  await Promise.all(managers.map((manager) => manager.stop()));
}

export interface User {
  /** Gives it the rights that the store's page names, and no others. */
  readonly allow: () => Promise<unknown>;
  /** A manager whose store connects as this user; with a password that is not its own, if one is given. */
  readonly managerOf: (password?: string) => Manager;
  /** What `start` says of a wrong password. */
  readonly refusal: RegExp;
}

/** Registers what holds of the user of any store whose server knows users. */
export function testUser(it: (title: string, test: () => Promise<void>) => void, { allow, managerOf, refusal }: User): void {
  it('with the rights that the page names makes what the sessions are kept in, and changes sessions', async () => {
    await allow();
    await changeSessions([managerOf(), managerOf()]);
  });

  it('with a wrong password is refused by start, which does not show it', async () => {
    const error = await refusalOf(managerOf('not-the-secret'));
    assert.throws(() => { throw error; }, { code: 'CLUSTER_UNAVAILABLE', message: refusal });
    assert.doesNotMatch(inspect(error, { depth: 9 }), /not-the-secret/);
  });
}
