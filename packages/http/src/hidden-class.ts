// V8 12 is that of Node.js 23; from 13 on all this is so no more, and a dictionary would be the slower one.
const isNeeded = Number.parseInt(process.versions.v8) < 13;

const PASSING = Symbol('passing');

/**
 * Spares an object whose prototype a framework has exchanged, as Express does with each request and response, a hidden class of
 * its own: up to V8 12 it gets another one, copied from the one before, with each property that is added, and no look at a
 * property is found in the caches of the code that looks. That costs about a microsecond each time, in Node's own code as well.
 * An object that loses a property becomes a dictionary there, and dictionaries share their class. One with a class that others
 * share gets that class back when its last property goes again.
 *
 * V8 finds the class of a dictionary in a cache of 64 places, by a random number of the prototype. In one application of 64 the
 * prototypes of requests and responses have the same place, and each goes on getting a class of its own.
 */
export function shareClass(object: object, usual: object): void {
  if (!isNeeded || Object.getPrototypeOf(object) === usual) return;
  const passing = object as { [PASSING]?: boolean };
  passing[PASSING] = true;
  // Reflect would make a dictionary of any object.
  // eslint-disable-next-line @typescript-eslint/no-dynamic-delete
  delete passing[PASSING];
}
