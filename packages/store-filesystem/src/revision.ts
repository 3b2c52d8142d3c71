/**
 * One content of a key. Its bytes are a *body*, a file under a name that is never used again (`id`); what makes it revision n
 * is a *slot*, a second name of the same file: `<n>~<id of the revision before>`. See key-folder.ts for why.
 */
export interface Revision {
  readonly number: number;
  /** The number, random digits, and the time at which this content expires. */
  readonly id: string;
  /** `id` of the revision before; the first one names itself. */
  readonly base: string;
  /** `base` of the revision before, by which its slot is found; `-` for the first one. */
  readonly beforeBase: string;
}

export interface Slot {
  readonly number: number;
  readonly base: string;
}

const NUMBER = '[1-9][0-9]{0,14}';
const ID = `${NUMBER}-[0-9a-f]{16}\\.[0-9a-z]{1,11}`;
const revisionPattern = new RegExp(`^(${ID})~(${ID})~(${ID}|-)$`);
const slotPattern = new RegExp(`^(${NUMBER})~(${ID})$`);

/** Makes a name for content that is to be revision `number`. */
export const newId = (number: number, randomHex: (bytes: number) => string, expiresMs: number): string =>
  `${number}-${randomHex(8)}.${Math.ceil(Math.min(expiresMs, Number.MAX_SAFE_INTEGER)).toString(36)}`;

/** Wall clock time at which the content of this name expires. */
export const expiresMsOf = (id: string): number => parseInt(id.slice(id.indexOf('.') + 1), 36);

/** Number of the revision for which content of this name was made. */
export const numberOf = (id: string): number => parseInt(id, 10);

export const firstRevision = (id: string): Revision => ({ number: 1, id, base: id, beforeBase: '-' });

export const successor = (before: Revision, id: string): Revision =>
  ({ number: before.number + 1, id, base: before.id, beforeBase: before.base });

export const slotName = (number: number, base: string): string => `${number}~${base}`;

export const revisionText = ({ id, base, beforeBase }: Revision): string => `${id}~${base}~${beforeBase}`;

/** Undefined if this is no revision that {@link revisionText} made. */
export function parseRevision(text: string): Revision | undefined {
  const [, id, base, beforeBase] = revisionPattern.exec(text) ?? [];
  if (id === undefined || base === undefined || beforeBase === undefined) return undefined;
  return { number: numberOf(id), id, base, beforeBase };
}

/** Undefined if the file name is not that of a slot. */
export function parseSlot(name: string): Slot | undefined {
  const [, number, base] = slotPattern.exec(name) ?? [];
  return number === undefined || base === undefined ? undefined : { number: Number(number), base };
}

/** The slots among the names of a key's folder, oldest first. */
export const slotsIn = (names: readonly string[]): Slot[] =>
  names.flatMap((name) => parseSlot(name) ?? []).sort((a, b) => a.number - b.number);

/** The newest slot that counts: only one whose base is still there does. */
export function newestSlot(names: readonly string[]): Slot | undefined {
  const present = new Set(names);
  return slotsIn(names).findLast((slot) => present.has(slot.base));
}

/**
 * A key as the name of a folder, at most 252 characters: the same for no two keys also where file names ignore case, and
 * never `.`, `..` or hidden. Capital letters become small ones, and a suffix says which.
 */
export function folderName(key: string): string {
  const hidden = key.startsWith('.') ? '~' : '';
  if (!/[A-Z]/.test(key)) return hidden + key;
  let capitals = 0n;
  for (const letter of key) capitals = (capitals << 1n) | (letter >= 'A' && letter <= 'Z' ? 1n : 0n);
  return `${hidden}${key.toLowerCase()}~${capitals.toString(16)}`;
}

/** The key that {@link folderName} made a name of; undefined if it made no such name. */
export function keyOfFolder(folder: string): string | undefined {
  const [small = '', capitals] = folder.replace(/^~/, '').split('~');
  const key = capitals === undefined ? small : withCapitals(small, capitals);
  return key !== '' && folderName(key) === folder ? key : undefined;
}

function withCapitals(small: string, capitals: string): string {
  if (!/^[0-9a-f]+$/.test(capitals)) return '';
  const bits = BigInt(`0x${capitals}`).toString(2).padStart(small.length, '0');
  return small.replace(/./g, (letter, index: number) => (bits[index] === '1' ? letter.toUpperCase() : letter));
}

/** Which of 256 folders a key's folder is in: FNV-1a, two hex digits. */
export function shardOf(key: string): string {
  let hash = 0x811c9dc5;
  for (let index = 0; index < key.length; index++) hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
  return (hash >>> 24).toString(16).padStart(2, '0');
}

/** Whether {@link shardOf} may give this name. */
export const isShard = (name: string): boolean => /^[0-9a-f]{2}$/.test(name);
