import { describe, it, expect } from '@jest/globals';
import { OrderOfUse, type Linked } from '../src/order-of-use.js';

interface Item extends Linked<Item> { readonly name: string }

const item = (name: string): Item => ({ name, older: undefined, newer: undefined });

describe('the order of use', () => {
  it('is that of appending, whatever is taken out', () => {
    const order = new OrderOfUse<Item>();
    const [a, b, c, d] = [item('a'), item('b'), item('c'), item('d')];
    for (const each of [a, b, c, d]) order.append(each);
    order.take(b); // from the middle
    order.take(d); // from the end
    order.append(b);
    order.take(a); // from the begin
    const names: string[] = [];
    for (let next = order.oldest; next !== undefined; next = next.newer) names.push(next.name);
    expect(names).toEqual(['c', 'b']);
    expect([order.newest?.name, b.older?.name, c.older]).toEqual(['b', 'c', undefined]);
    order.take(c);
    order.take(b);
    expect([order.oldest, order.newest]).toEqual([undefined, undefined]);
    order.append(a);
    expect([order.oldest, order.newest]).toEqual([a, a]);
    order.clear();
    expect(order.oldest).toBe(undefined);
  });
});
