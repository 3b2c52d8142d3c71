import type { Cluster, Name, State } from './cluster.js';
import type { Report } from './instance.js';
import { duration } from './timeline.js';

/** A session that went from one process to another, or what else is worth telling. */
export interface Move {
  readonly number: number;
  /** The first 12 digits of the session's digest; undefined if it is about a process. */
  readonly session: string | undefined;
  readonly text: string;
}

export interface Takeover { readonly by: Name; readonly from: Name; readonly atMs: number; readonly sinceMs: number }

/** Who has a session, and when it was first heard of, in ms since 1970. */
export interface Owner { readonly name: Name; readonly sinceMs: number }

const SHOWN = 10;
const OWNERS_KEPT = 100;

/** Follows the reports of the processes: who has which session, and how it came there. */
export class Moves {
  readonly takeovers: Takeover[] = [];
  readonly owners = new Map<string, Owner>();
  readonly recent: Move[] = [];
  fenced = 0;
  lapsed = 0;
  #number = 0;

  constructor(private readonly cluster: () => Cluster) {}

  take(by: Name, report: Report): void {
    if (report.kind === 'changed') this.#owns(by, report.session);
    if (report.kind === 'fenced') {
      this.fenced++;
      this.#tell(`${by}: a late write was refused`, report.event.session);
    }
    if (report.kind === 'lapsed') {
      this.lapsed++;
      this.#tell(`${by} had lost its lease, goes on as a new incarnation`);
    }
    if (report.kind === 'takeover') this.#takeover(by, report.event);
    if (report.kind === 'handover' && report.event.direction === 'in') {
      const { session, peer, waitedMs } = report.event;
      this.#owns(by, session);
      this.#tell(`moved ${this.cluster().nameOf(peer) ?? '?'} → ${by} in ${duration(waitedMs)}, handed over`, session);
    }
  }

  state(name: Name, what: string): void {
    this.#tell(`${name} ${what}`);
  }

  #takeover(by: Name, event: (Report & { kind: 'takeover' })['event']): void {
    const from = this.cluster().nameOf(event.from);
    this.#owns(by, event.session);
    if (from === undefined) return;
    this.takeovers.push({ by, from, atMs: performance.now(), sinceMs: event.sinceMs });
    const why = event.evidence === 'silence' ? `${from} was silent for its lease` : `${from} was ${event.evidence === 'dead' ? 'killed' : 'cut off'}`;
    this.#tell(`moved ${from} → ${by} in ${duration(event.sinceMs)}, because ${why}`, event.session);
  }

  #owns(by: Name, session: string): void {
    const sinceMs = this.owners.get(session)?.sinceMs ?? Date.now();
    this.owners.delete(session); // so that the map ends with the one used last
    this.owners.set(session, { name: by, sinceMs });
    for (const oldest of this.owners.keys()) {
      if (this.owners.size <= OWNERS_KEPT) break;
      this.owners.delete(oldest);
    }
  }

  #tell(text: string, session?: string): void {
    this.recent.unshift({ number: ++this.#number, session, text });
    this.recent.length = Math.min(this.recent.length, SHOWN);
  }
}

/** What the page shows of the processes and sessions. */
export interface Picture {
  readonly processes: readonly { readonly name: Name; readonly pid: number | undefined; readonly state: State; readonly held: number }[];
  readonly owners: Readonly<Record<string, Owner>>;
  readonly recent: readonly Move[];
}

export function picture(cluster: Cluster, moves: Moves): Picture {
  return {
    processes: cluster.members.map(({ name, pid, state, health }) => ({ name, pid, state, held: state === 'dead' ? 0 : health?.held ?? 0 })),
    owners: Object.fromEntries(moves.owners),
    recent: moves.recent,
  };
}
