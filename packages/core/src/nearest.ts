const MAX_LENGTH = 40;

/** Letters to insert, remove, replace or swap with their neighbour, to make one of the other. */
function distance(a: string, b: string): number {
  let beforeLast: readonly number[] = [];
  let last: readonly number[] = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const present = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const isSame = a[row - 1] === b[column - 1];
      let least = Math.min((last[column] ?? 0) + 1, (present[column - 1] ?? 0) + 1, (last[column - 1] ?? 0) + (isSame ? 0 : 1));
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) least = Math.min(least, (beforeLast[column - 2] ?? 0) + 1);
      present.push(least);
    }
    beforeLast = last;
    last = present;
  }
  return last[b.length] ?? 0;
}

/** What somebody may have meant by a name: of one in a group, like `cookie.path`, the last part will do. Undefined: nothing is near. */
export function nearest(name: string, names: readonly string[]): string | undefined {
  const meant = name.slice(0, MAX_LENGTH).toLowerCase();
  let best: { readonly name: string; readonly distance: number } | undefined;
  for (const each of names) {
    const whole = each.toLowerCase();
    const ways = [whole, whole.slice(whole.lastIndexOf('.') + 1)].map((way) => (way.startsWith(meant) && meant.length > 3 ? 1 : distance(meant, way)));
    const least = Math.min(...ways);
    if (least <= Math.max(1, Math.floor(meant.length / 3)) && (best === undefined || least < best.distance)) best = { name: each, distance: least };
  }
  return best?.name;
}
