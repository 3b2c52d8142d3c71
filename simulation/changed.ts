/** An object with some of its methods in another way. */
export function changed<T extends object>(inner: T, change: Partial<T>): T {
  const own = new Map(Object.entries(change));
  // The same names and signatures, some of them replaced.
  return new Proxy(inner, { get: (target, name) => {
    const value: unknown = own.get(String(name)) ?? Reflect.get(target, name, target);
    return typeof value === 'function' ? value.bind(target) as unknown : value;
  } });
}
