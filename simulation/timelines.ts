import type { Operation, Recorder, View } from './recorder.js';

const NAMES = ['$id', 'a', 'b', 'c'];

const nameOf = (view: View): string => NAMES.map((name) => `${name}=${String(view[name] ?? null)}`).join(' ');
const viewOf = (value: Operation['value'] | undefined): View => (typeof value === 'object' && value !== null ? value : {});
const isWhole = (view: View): boolean => NAMES.every((name) => Object.hasOwn(view, name));

/**
 * What must hold although the store rolls back: every content that was seen is one that some request made of one that was there,
 * so that two timelines never mix. Resolves to how many acknowledged changes the last content knows nothing of.
 */
export function checkTimelines(recorder: Recorder): number {
  let lost = 0;
  for (const { name: key } of recorder.sessions) {
    const operations = recorder.operations.filter((operation) => operation.key === key);
    const parents = new Map<string, string | undefined>();
    for (const { op, expect, value } of operations) {
      if (op !== 'cas') continue;
      const before = expect === null || expect === undefined ? undefined : viewOf(expect);
      parents.set(nameOf({ ...before, ...viewOf(value) }), before && nameOf(before));
    }
    for (const operation of operations) {
      const seen = viewOf(operation.value);
      if (operation.op !== 'read' || !isWhole(seen) || parents.has(nameOf(seen))) continue;
      recorder.violation('timelines', `${key}: ${String(operation.client)} saw what no request made: ${JSON.stringify(seen)}`);
      break;
    }
    lost += lostOf(operations, parents);
  }
  return lost;
}

function lostOf(operations: readonly Operation[], parents: ReadonlyMap<string, string | undefined>): number {
  const acknowledged = operations.filter(({ op, result }) => op === 'cas' && result === 'ok');
  const made = new Set(acknowledged.map(({ expect, value }) => nameOf({ ...viewOf(expect), ...viewOf(value) })));
  const last = acknowledged.reduce<Operation | undefined>((latest, each) => ((each.return_ns ?? 0) > (latest?.return_ns ?? -1) ? each : latest), undefined);
  // A removed attribute can lead back to a content that was there before.
  const visited = new Set<string>();
  for (let name = last && nameOf({ ...viewOf(last.expect), ...viewOf(last.value) }); name !== undefined && !visited.has(name); name = parents.get(name)) {
    visited.add(name);
    made.delete(name);
  }
  return made.size;
}
