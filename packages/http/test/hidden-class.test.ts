import { IncomingMessage, ServerResponse } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import { afterEach, describe, expect, it } from '@jest/globals';
import express from 'express';
import { shareClass } from '../src/hidden-class.js';
import { hosts, instance, stopAll } from './support/cluster.js';
import { ask, closeAll, serve } from './support/servers.js';

// V8 compiles what asks for a hidden class only under this flag.
setFlagsFromString('--allow-natives-syntax');
// eslint-disable-next-line @typescript-eslint/no-implied-eval
const haveSameClass = new Function('a', 'b', 'return %HaveSameMap(a, b)') as (a: object, b: object) => boolean;
// eslint-disable-next-line @typescript-eslint/no-implied-eval
const isFast = new Function('object', 'return %HasFastProperties(object)') as (object: object) => boolean;
setFlagsFromString('--no-allow-natives-syntax');

afterEach(async () => {
  await closeAll();
  await stopAll();
});

describe('hidden classes', () => {
  /** Whether two requests that are under way in a new application have the same class, and whether their responses have. */
  async function areShared(host: string): Promise<boolean[]> {
    const seen: [object, object][] = [];
    let compare: (areSame: boolean[]) => void = () => undefined;
    const compared = new Promise<boolean[]>((resolve) => { compare = resolve; });
    const { url } = await serve(hosts[host]!(instance(), async (req, res) => {
      seen.push([req, res]);
      const [first, second] = seen;
      // While both are in the same state.
      if (first !== undefined && second !== undefined) compare([haveSameClass(first[0], second[0]), haveSameClass(first[1], second[1])]);
      await compared;
      res.end();
    }));
    await Promise.all([ask(url), ask(url)]);
    return compared;
  }

  // In one application of 64 the two take the same place of V8's cache; in all six that is one run in 10^10.
  it.each(Object.keys(hosts))('%s: requests and responses share theirs behind the session layer', async (host) => {
    const applications: boolean[][] = [];
    while (applications.length < 6) applications.push(await areShared(host));
    expect(applications).toContainEqual([true, true]);
  });

  it('a request of node:http keeps its own', () => {
    const req = new IncomingMessage(null as never);
    shareClass(req, IncomingMessage.prototype);
    expect([isFast(req), haveSameClass(req, new IncomingMessage(null as never))]).toEqual([true, true]);
  });

  it('nothing that anybody can see changes', () => {
    const res = new ServerResponse(new IncomingMessage(null as never));
    const { response } = express();
    Object.setPrototypeOf(res, response);
    const before = Object.entries(Object.getOwnPropertyDescriptors(res));
    const symbols = Object.getOwnPropertySymbols(res);
    shareClass(res, ServerResponse.prototype);
    expect(Object.entries(Object.getOwnPropertyDescriptors(res))).toEqual(before);
    expect(Object.getOwnPropertySymbols(res)).toEqual(symbols);
    expect(Object.getPrototypeOf(res)).toBe(response);
  });
});
