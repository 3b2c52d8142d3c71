import type { Attributes, HistoryOperation, Scalar, Value } from './operation.js';

/** What a key has at one moment: nothing, a plain value, or the attributes of a session. `name` is the same for equal contents. */
export interface Content {
  readonly name: string;
  readonly value: Value;
}

const isAttributes = (value: Value): value is Attributes => typeof value === 'object' && value !== null;

export function contentOf(value: Value): Content {
  if (!isAttributes(value)) return { name: JSON.stringify(value), value };
  const present = Object.entries(value).filter(([, scalar]) => scalar !== null).sort(([a], [b]) => (a < b ? -1 : 1));
  return { name: JSON.stringify(present), value: Object.fromEntries(present) };
}

const attributeOf = (value: Attributes, name: string): Scalar => (Object.hasOwn(value, name) ? value[name] ?? null : null);

function isSeenIn(content: Content, seen: Value): boolean {
  const { value } = content;
  if (!isAttributes(seen)) return value === seen;
  if (!isAttributes(value)) return false;
  for (const name in seen) if (attributeOf(value, name) !== seen[name]) return false;
  return true;
}

/** Undefined: attributes cannot be changed where there is no session. */
function written(content: Content, value: Value): Content | undefined {
  if (!isAttributes(value)) return contentOf(value);
  return isAttributes(content.value) ? contentOf({ ...content.value, ...value }) : undefined;
}

/** The content after the operation; undefined if the operation cannot have happened at that moment. */
export function after(content: Content, { op, value, expect = null }: HistoryOperation): Content | undefined {
  if (op === 'read') return isSeenIn(content, value) ? content : undefined;
  if (op === 'write') return written(content, value);
  if (!isSeenIn(content, expect)) return undefined;
  return expect === null ? contentOf(value) : written(content, value);
}
