import type { Manager } from '@cluster/core';
import type { Clock } from '@cluster/core/driver';
import type { Settings } from './options.js';
import type { Redirects } from './redirects.js';
import type { Transport } from './transport.js';

/** What all requests of one `session` share. */
export interface Site {
  readonly manager: Manager;
  readonly clock: Clock;
  readonly transport: Transport;
  /** Undefined without a cookie, which marks who was sent on. */
  readonly redirects: Redirects | undefined;
  readonly cookie: Settings['cookie'];
  readonly access: Settings['access'];
  readonly reentrant: boolean;
  readonly onStoreError: Settings['onStoreError'];
}
