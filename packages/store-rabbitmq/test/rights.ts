import { readFileSync } from 'node:fs';
import type { RabbitServer } from '../../../scripts/services/rabbitmq.js';

const page = readFileSync(new URL('../../../docs/stores/rabbitmq.md', import.meta.url), 'utf8');
const NONE = '^$';

export type Right = 'configure' | 'write' | 'read';

/** What the page has `rabbitmqctl set_permissions` give to the user shop. */
const [, configure = NONE, write = NONE, read = NONE] = /set_permissions shop '(.+)' '(.+)' '(.+)'/.exec(page) ?? [];

export const setRights = (server: RabbitServer, without?: Right): Promise<string> => {
  const rights = Object.entries({ configure, write, read }).map(([right, pattern]) => (right === without ? NONE : pattern));
  return server.tell('rabbitmqctl', 'set_permissions', 'shop', ...rights);
};

/** Makes the user shop, with the rights that the page names and no others. */
export async function grant(server: RabbitServer, password: string): Promise<void> {
  await server.tell('rabbitmqctl', 'add_user', 'shop', password);
  await setRights(server);
}
