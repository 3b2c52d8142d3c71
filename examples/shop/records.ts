/** What a shopper was told about one request. */
export type Answer =
  /** 200, with the whole cart. `newSession`: the shop gave the shopper another session than before. */
  | { readonly kind: 'ok'; readonly by: string; readonly cart: readonly string[]; readonly newSession: boolean }
  /** The process went away before it answered. */
  | { readonly kind: 'cut off'; readonly by: string }
  /** 503 by the shop itself. */
  | { readonly kind: 'refused'; readonly by: string }
  | { readonly kind: 'other'; readonly what: string };

/** One request of a shopper, as the shopper noted it down. */
export interface RequestRecord {
  readonly shopper: number;
  /** The item that it adds, unlike any other; undefined if it only looks at the cart. */
  readonly item: string | undefined;
  readonly sentAtMs: number;
  readonly tookMs: number;
  readonly answer: Answer;
}

/** What the demo did to the processes; it decides which failures were to be expected. */
export interface Incidents {
  readonly killed: readonly string[];
  readonly paused: readonly string[];
}

export interface Figures {
  readonly requests: number;
  readonly answered: number;
  readonly cutOff: number;
  /** 503 by a process that was paused: it found that it had lost the session. */
  readonly refused: number;
  /** Answers that nothing explains. */
  readonly other: readonly string[];
  readonly changes: { readonly answered: number; readonly found: number; readonly lost: readonly string[] };
  /** Changes without an answer of success, and how many of them are in the carts all the same. */
  readonly unanswered: { readonly changes: number; readonly found: number };
  /** Answers or carts that show what they must not show, or lack what they must show. */
  readonly wrong: readonly string[];
  readonly waits: { readonly medianMs: number; readonly longestMs: number; readonly longestAtPausedMs: number };
}

const endedAtMs = ({ sentAtMs, tookMs }: RequestRecord) => sentAtMs + tookMs;

/** Compares what the shoppers were told with the carts that they found at the end. */
export function judge(records: readonly RequestRecord[], carts: ReadonlyMap<number, readonly string[]>, incidents: Incidents): Figures {
  const changes = records.filter(({ item }) => item !== undefined);
  const acknowledged = changes.filter(({ answer }) => answer.kind === 'ok');
  const unanswered = changes.filter(({ answer }) => answer.kind !== 'ok');
  const inCart = ({ shopper, item }: RequestRecord) => carts.get(shopper)?.includes(item ?? '') ?? false;
  const lost = acknowledged.filter((record) => !inCart(record)).map(({ item }) => item ?? '');
  const count = (kind: Answer['kind']) => records.filter(({ answer }) => answer.kind === kind).length;
  const other = records.flatMap(({ answer }) => unexplained(answer, incidents));
  return {
    requests: records.length,
    answered: count('ok'),
    cutOff: records.filter(({ answer }) => answer.kind === 'cut off' && incidents.killed.includes(answer.by)).length,
    refused: records.filter(({ answer }) => answer.kind === 'refused' && incidents.paused.includes(answer.by)).length,
    other,
    changes: { answered: acknowledged.length, found: acknowledged.length - lost.length, lost },
    unanswered: { changes: unanswered.length, found: unanswered.filter(inCart).length },
    wrong: [...wrongAnswers(records), ...wrongCarts(records, carts)],
    waits: waits(records, incidents),
  };
}

/** True if the demo ends with success. */
export function passed(figures: Figures, lockTimeoutMs: number): boolean {
  return figures.requests > 0 && figures.changes.lost.length === 0 && figures.other.length === 0 && figures.wrong.length === 0
    && Math.max(figures.waits.longestMs, figures.waits.longestAtPausedMs) <= lockTimeoutMs;
}

function unexplained(answer: Answer, { killed, paused }: Incidents): string[] {
  if (answer.kind === 'other') return [answer.what];
  if (answer.kind === 'cut off' && !killed.includes(answer.by)) return [`cut off by ${answer.by}, which was not killed`];
  if (answer.kind === 'refused' && !paused.includes(answer.by)) return [`refused by ${answer.by}, which was not paused`];
  return [];
}

/** Every answer must show what this shopper's earlier answers acknowledged, and come from the same session. */
function wrongAnswers(records: readonly RequestRecord[]): string[] {
  const ended = [...records].sort((one, another) => endedAtMs(one) - endedAtMs(another));
  return ended.flatMap((record) => {
    const { answer, shopper, item, sentAtMs } = record;
    if (answer.kind !== 'ok') return [];
    const shown = new Set(answer.cart);
    const due = ended.filter((earlier) => earlier.shopper === shopper && earlier.item !== undefined
      && earlier.answer.kind === 'ok' && endedAtMs(earlier) <= sentAtMs).map((earlier) => earlier.item ?? '');
    const missing = [...due, ...(item === undefined ? [] : [item])].filter((each) => !shown.has(each));
    return [
      ...missing.map((each) => `shopper ${shopper}: an answer by ${answer.by} lacks ${each}`),
      ...(answer.newSession ? [`shopper ${shopper}: ${answer.by} began a new session`] : []),
    ];
  });
}

/** A cart must hold what its shopper sent, each item once. */
function wrongCarts(records: readonly RequestRecord[], carts: ReadonlyMap<number, readonly string[]>): string[] {
  return [...carts].flatMap(([shopper, cart]) => {
    const sent = new Set(records.filter((record) => record.shopper === shopper).map(({ item }) => item));
    return [
      ...cart.filter((item) => !sent.has(item)).map((item) => `shopper ${shopper}: ${item} is in the cart and was never sent`),
      ...cart.filter((item, at) => cart.indexOf(item) !== at).map((item) => `shopper ${shopper}: ${item} is in the cart twice`),
    ];
  });
}

function waits(records: readonly RequestRecord[], { paused }: Incidents): Figures['waits'] {
  const byPaused = ({ answer }: RequestRecord) => 'by' in answer && paused.includes(answer.by);
  const longest = (some: readonly RequestRecord[]) => Math.max(0, ...some.map(({ tookMs }) => tookMs));
  const sorted = records.map(({ tookMs }) => tookMs).sort((a, b) => a - b);
  return {
    medianMs: sorted[Math.floor(sorted.length / 2)] ?? 0,
    longestMs: longest(records.filter((record) => !byPaused(record))),
    longestAtPausedMs: longest(records.filter(byPaused)),
  };
}
