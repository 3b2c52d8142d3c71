import type { Handler } from './cluster.js';

/** Counts up on POST, shows the count on GET, logs in and out. */
export const counter: Handler = async (req, res) => {
  if (req.url === '/login') {
    await req.session.regenerate();
    req.session.user = 'ada';
    res.writeHead(303, { Location: '/' }).end();
  } else if (req.url === '/logout') {
    req.session = null;
    res.end('out');
  } else if (req.method === 'POST') {
    req.session.count = (req.session.count ?? 0) + 1;
    res.writeHead(303, { Location: '/' }).end();
  } else {
    res.end(JSON.stringify({ ...req.session }));
  }
};

/** Asks again and again, since the other side of a connection is heard in its own time; for ten seconds at most. */
export const until = async (holds: () => boolean) => {
  for (const endMs = Date.now() + 10_000; !holds();) {
    if (Date.now() > endMs) throw new Error(`not within ten seconds: ${holds.toString()}`);
    await new Promise((resolve) => { setTimeout(resolve, 2); });
  }
};
