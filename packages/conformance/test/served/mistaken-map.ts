import { ClusterError, type ClusterStore } from '@cluster/core';
import { ClusterStoreBase, type Entry } from '@cluster/core/driver';
import type { Address } from './client.js';
import { ServedMap } from './served-map.js';

const PATIENCE_MS = 300;

const isRefusal = (error: unknown): boolean => ClusterError.is(error, 'CLUSTER_UNAVAILABLE');
const nothingChanged = (): never => { throw new ClusterError('CLUSTER_UNAVAILABLE', 'nothing was changed, or so it seems'); };

/** What clients of a server take something for. */
const mistakes = {
  'no answer is a refusal': (sent: Promise<string | undefined>) =>
    Promise.race([sent, new Promise<void>((resolve) => { setTimeout(resolve, PATIENCE_MS); }).then(nothingChanged)]),
  'a lost connection is a refusal': (sent: Promise<string | undefined>) => sent.catch((error: unknown) => { throw isRefusal(error) ? error : nothingChanged(); }),
  'a refusal is an answer': (sent: Promise<string | undefined>) => sent.catch((error: unknown) => { if (isRefusal(error)) return 'taken'; throw error; }),
};
export type Mistake = keyof typeof mistakes;

class MistakenMap extends ServedMap {
  constructor(address: Address, private readonly mistake: Mistake) { super(address); }

  override compareAndSet(key: string, expected: string | undefined, entry: Entry): Promise<string | undefined> {
    return mistakes[this.mistake](super.compareAndSet(key, expected, entry));
  }
}

/** A store whose driver is mistaken about what it hears from its server. */
export const createStore = ({ instanceId, config }: { instanceId: string; config: Address & { readonly mistake: Mistake } }): ClusterStore =>
  new ClusterStoreBase(new MistakenMap(config, config.mistake), { instanceId });
