import { AsyncLocalStorage } from 'node:async_hooks';
import type { Session } from '../session.js';
import type { Turn } from './turn.js';

/** A turn that finds in its asynchronous context come back to. Empty before the grant and after the end. */
export interface Scope {
  /** Of the session's present id. */
  key: string;
  readonly outer: Scope | undefined;
  session: Session | undefined;
  /** Something may still be found in it, now or when its turn has its lock. */
  isOpen: boolean;
}

// One for all managers of the process: each storage that is in use makes every promise dearer, up to Node.js 22 by a lot.
const storage = new AsyncLocalStorage<ReadonlyMap<Nesting, Scope>>();
let isInUse = false;
let openScopes = 0;

function openScope(key: string, outer: Scope | undefined): Scope {
  isInUse = true;
  openScopes += 1;
  return { key, outer, session: undefined, isOpen: true };
}

/** Its turn has ended, or was never granted. */
export function closeScope(scope: Scope | undefined): void {
  if (scope?.isOpen !== true) return;
  scope.session = undefined;
  scope.isOpen = false;
  openScopes -= 1;
}

/** Turns by asynchronous context, so that a request that asks for the session it has does not wait for itself. */
export class Nesting {
  /** The handle that this context has of the session already. */
  find(key: string): Session | undefined {
    for (let scope = this.#present; scope !== undefined; scope = scope.outer) {
      if (scope.key === key && scope.session !== undefined) return scope.session;
    }
    return undefined;
  }

  /**
   * From here on the context, and what it starts, comes back to the turn that `fill` names, and to nothing from before: on a
   * connection whose requests do not wait for each other that is another request.
   */
  enter(key: string): Scope {
    const scope = openScope(key, undefined);
    storage.enterWith(this.#with(scope));
    return scope;
  }

  /** The same for a turn that gets its lock while it runs: turns around it are come back to as before. */
  nest(key: string): Scope {
    const scope = openScope(key, this.#outer);
    storage.enterWith(this.#with(scope));
    return scope;
  }

  /** From here on the context comes back to nothing. */
  leave(): void {
    if (openScopes === 0) {
      // What it has noted is of turns that have ended.
      if (isInUse) storage.disable();
      isInUse = false;
      return;
    }
    if (this.#present === undefined) return;
    const others = new Map(storage.getStore());
    others.delete(this);
    storage.enterWith(others);
  }

  /** Runs work whose finds come back to these turns. */
  run<T>(turns: readonly (readonly [turn: Turn, session: Session])[], work: () => T): T {
    const [first, ...rest] = turns;
    if (first === undefined) return work();
    const scope = openScope(first[0].key, this.#outer);
    fill(scope, ...first);
    return storage.run(this.#with(scope), () => this.run(rest, work));
  }

  /** What has ended must not pile up in a context where one update follows the other. */
  get #outer(): Scope | undefined {
    let outer = this.#present;
    while (outer !== undefined && outer.session === undefined) outer = outer.outer;
    return outer;
  }

  get #present(): Scope | undefined { return storage.getStore()?.get(this); }
  #with(scope: Scope): ReadonlyMap<Nesting, Scope> { return new Map(storage.getStore()).set(this, scope); }
}

/** The turn was granted; it empties the scope when it ends. */
export function fill(scope: Scope, turn: Turn, session: Session): void {
  scope.session = session;
  turn.scope = scope;
}
