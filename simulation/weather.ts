/** How likely each fault of a single call or signal is, and which stores answer at all. Changed while a run goes on. */
export interface Weather {
  /** Of the call, on its way to the store: it never gets there. */
  lost: number;
  /** Executed, and its reply is lost. */
  replyLost: number;
  /** Given up by its caller and executed afterwards. */
  late: number;
  /** Executed, and executed once more later. */
  twice: number;
  /** Executed twice by the client before it answers. */
  repeated: number;
  slow: number;
  refused: number;
  signalLost: number;
  signalTwice: number;
  signalSlow: number;
  /** A signal to a living instance is said to have no listener. */
  signalDenied: number;
  /** Longest delay of one way to the store, of a signal, and of what is executed late. */
  readonly wayMs: number;
  readonly lateMs: number;
}

export type CallFault = 'lost' | 'replyLost' | 'late' | 'twice' | 'repeated' | 'slow' | 'refused';
export const CALL_FAULTS: readonly CallFault[] = ['lost', 'replyLost', 'late', 'twice', 'repeated', 'slow', 'refused'];

export const calm = (wayMs: number, lateMs: number): Weather => ({
  lost: 0, replyLost: 0, late: 0, twice: 0, repeated: 0, slow: 0, refused: 0, signalLost: 0, signalTwice: 0, signalSlow: 0, signalDenied: 0, wayMs, lateMs,
});

/** Whether nothing goes wrong but that everything takes its time. */
export const isCalmWeather = (weather: Weather): boolean => Object.entries(weather).every(([name, rate]) => rate === 0 || name === 'wayMs' || name === 'lateMs');

/** From now on nothing goes wrong; what is on its way still arrives. */
export function calmDown(weather: Weather): void {
  Object.assign(weather, calm(weather.wayMs, weather.lateMs));
}

/** How often each kind of fault was injected, and into what: `late commit`. */
export class FaultCounts {
  readonly counts: Record<string, number> = {};
  add(kind: string, what: string): void {
    const name = `${kind} ${what}`;
    this.counts[name] = (this.counts[name] ?? 0) + 1;
  }
}
