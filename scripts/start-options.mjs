// What `npm start` takes. Read before node_modules exists, so it uses Node alone.
/** As `parseArgs` of node:util takes them; `meaning` is for people. */
export const options = {
  once: { type: 'boolean', default: false, meaning: 'ends after the summary; status 0 only if nothing was lost or wrong' },
  store: { type: 'string', default: 'filesystem', meaning: 'filesystem, redis, nats, kafka or rabbitmq: where sessions are; a server is started and ended' },
  url: { type: 'string', meaning: 'a server that runs already: redis://, rediss://, nats://, kafka://, amqp:// or amqps://' },
  port: { type: 'string', default: '8080', meaning: 'of the page, or the next free one; 0: any' },
  'no-color': { type: 'boolean', default: false, meaning: 'plain text; so without a terminal' },
  help: { type: 'boolean', default: false, short: 'h', meaning: 'prints this' },
};

const lines = Object.entries(options).map(([name, { type, default: value, meaning }]) =>
  `  ${`--${name}${type === 'string' ? ` <${name}>` : ''}`.padEnd(18)}${meaning}${typeof value === 'string' ? ` (default: ${value})` : ''}`);

export const usage = `usage: npm start -- [options]
A shop on three processes, one of which is killed and one paused; then a page to try it.
${lines.join('\n')}`;
