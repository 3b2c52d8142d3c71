import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A file for each doorbell of this checkout: its port, and the word that shows that it is the right one. */
const FOLDER = fileURLToPath(new URL('../../node_modules/.cache/services/', import.meta.url));

/** Lets another process of this checkout ask this one to end, and wait until it has. */
export class Doorbell {
  readonly #visitors = new Set<Socket>();
  readonly #word = randomBytes(16).toString('hex');
  readonly #file = join(FOLDER, String(process.pid));
  readonly #server = createServer((visitor) => {
    visitor.on('error', () => undefined);
    visitor.once('data', (said) => {
      if (said.toString() !== this.#word) visitor.destroy();
      else {
        this.#visitors.add(visitor);
        this.#server.emit('rung');
      }
    });
  });

  /** Resolves when somebody rings. */
  readonly rung = once(this.#server, 'rung');

  async open(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    await mkdir(FOLDER, { recursive: true });
    // A server that listens on TCP has an address of this shape.
    await writeFile(this.#file, `${(this.#server.address() as AddressInfo).port} ${this.#word}`, { mode: 0o600 });
  }

  /** Lets go who has rung. */
  async close(): Promise<void> {
    await rm(this.#file, { force: true });
    this.#server.close();
    for (const visitor of this.#visitors) visitor.end();
  }
}

/** Rings at every doorbell of this checkout; resolves to how many have answered, when all of them have ended. */
export async function ringAll(): Promise<number> {
  const files = await readdir(FOLDER).catch(() => []);
  const answers = await Promise.all(files.map((file) => ring(join(FOLDER, file))));
  return answers.filter((answered) => answered).length;
}

/** False: nobody is there any more, and the file is removed. */
async function ring(file: string): Promise<boolean> {
  const [port, word = ''] = (await readFile(file, 'utf8')).split(' ');
  const visitor = connect(Number(port), '127.0.0.1');
  try {
    await once(visitor, 'connect');
    visitor.resume().write(word);
    await once(visitor, 'close');
    return true;
  } catch {
    await rm(file, { force: true });
    return false;
  }
}
