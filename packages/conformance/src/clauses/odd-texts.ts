import { Random } from '../processes/random.js';

/** Every character that a key may have. */
export const KEY_ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-';
export const MAX_KEY_LENGTH = 200;

/** Texts that a store may spoil on their way. No U+0000: some databases have none in a text. */
export const ODD_TEXTS: readonly string[] = [
  '', ' ', '\n', '\r\n', '\t', '\u0001\u001b', '\u007f', 'é', 'e\u0301', 'ß', '\ufeff', '\u2028\u2029', '\uffff', '漢字', 'שלום', '👩‍👩‍👧', '𝄞',
  '"', '\'', '\\', '\\"', '\\u0041', '`', '$&', '${1}', '%s', '%00', '../..', 'null', 'undefined', '0', '{"a":1}', '<!-- -->', '; drop table',
  Array.from({ length: 0x250 - 0x20 }, (_unused, n) => String.fromCharCode(n + 0x20)).join(''),
];

/** Attribute names that languages, stores and paths have a meaning for. */
export const ODD_NAMES: readonly string[] = [
  '__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'length', '', ' ', 'a b', 'a.b', 'a.b.c', 'a/b', '../a', 'a:b', '$a', '$set',
  'a"b', 'a\'b', 'a\\b', 'a\nb', '0', '1', '-1', 'null', 'ключ', '鍵', '🔑', 'é', 'e\u0301', 'A', 'a', 'holder', 'stamp', 'version', 'grant', 'x'.repeat(200),
];

/** Text of about this many bytes that compresses badly and spans the alphabets; the same each time. */
export function longText(bytes: number): string {
  const random = new Random(1);
  let text = '';
  while (text.length < bytes) text += random.next().toString(36).slice(2);
  return text.slice(0, bytes);
}
