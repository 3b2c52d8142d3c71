import { readFileSync } from 'node:fs';
import { expect } from '@jest/globals';
import type { RedisServer } from '../../../scripts/services/redis.js';

const page = readFileSync(new URL('../../../docs/stores/redis.md', import.meta.url), 'utf8');

/** The user that the store's page makes: for a single server, or for Redis Cluster. */
export function documentedUser(where: 'single' | 'cluster') {
  const line = page.split('\n').filter((each) => each.startsWith('ACL SETUSER '))[where === 'single' ? 0 : 1] ?? '';
  const command = line.split(' ');
  const [, , username = '', , password = ''] = command;
  const rights = command.filter((word) => word.startsWith('+')).map((word) => word.slice(1));
  return { username, password: password.slice(1), rights, makeAt: (server: RedisServer) => server.send(...command) };
}

/** The commands of a server that were called at all, by its own count. */
async function calledAt(server: RedisServer): Promise<Set<string>> {
  const stats = String(await server.send('INFO', 'commandstats'));
  return new Set(Array.from(stats.matchAll(/^cmdstat_(\S+?):calls=/gm), ([, name = '']) => name));
}

/** Nothing was denied, and nothing is allowed without need. Where nothing is written to the disk CONFIG is not asked how. */
export async function expectEachRightUsed(servers: readonly RedisServer[], rights: readonly string[]): Promise<void> {
  const called = new Set<string>();
  for (const server of servers) {
    expect(await server.send('ACL', 'LOG')).toEqual([]);
    for (const name of await calledAt(server)) called.add(name);
  }
  expect(rights.filter((right) => right !== 'config|get' && !called.has(right))).toEqual([]);
}

/** Those of the commands that came after 6.2, with the version. */
export async function newerThan62(server: RedisServer, rights: readonly string[]): Promise<string[]> {
  const newer: string[] = [];
  for (const right of rights) {
    const [, facts] = await server.send('COMMAND', 'DOCS', right) as readonly [name: string, facts: readonly unknown[]]; // as Redis documents it
    const since = String(facts[facts.indexOf('since') + 1]);
    const [major = NaN, minor = NaN] = since.split('.').map(Number);
    if (!(major < 6 || (major === 6 && minor <= 2))) newer.push(`${right} ${since}`);
  }
  return newer;
}
