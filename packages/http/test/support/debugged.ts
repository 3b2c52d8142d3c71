// A program for NODE_DEBUG=cluster: a few requests, one after the other.
import { MemoryStore } from '@cluster/core';
import { session } from '@cluster/http';
import { counter } from './counter.js';
import { hosts } from './cluster.js';
import { ask, closeAll, serve, Visitor } from './servers.js';

const sessions = session({ store: new MemoryStore() });
const { url } = await serve(hosts['node:http']?.(sessions, (req, res) => (req.url === '/unused' ? res.end() : counter(req, res))) ?? (() => undefined));
const visitor = new Visitor();
await visitor.get(`${url}/unused?token=secret`);
await visitor.post(url);
await visitor.post(url);
await visitor.get(url);
await ask(url, { headers: { cookie: `sid=${'u'.repeat(32)}` } });
await visitor.post(`${url}/logout`);
await closeAll();
await sessions.stop();
