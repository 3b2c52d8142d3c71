import { connect, type Socket } from 'node:net';
import { once } from 'node:events';

export interface Answer { readonly status: number; readonly body: string; readonly cookie: string | undefined }

interface Waiting { resolve: (answer: Answer) => void; reject: (error: Error) => void }

/** What the answer sets, as the next request sends it. */
function cookiesOf(head: string): string | undefined {
  const set = Array.from(head.matchAll(/^set-cookie: ([^;\r\n]+)/gim), ([, cookie]) => cookie);
  return set.length === 0 ? undefined : set.join('; ');
}

/** One keep-alive connection with one request at a time: as little work for the client as an honest reading of answers takes. */
export class Connection {
  #received = '';
  #waiting: Waiting | undefined;

  private constructor(private readonly socket: Socket) {
    socket.setNoDelay(true);
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => { this.#take(chunk); });
    socket.on('close', () => { this.#waiting?.reject(new Error('the server closed the connection')); });
    socket.on('error', (error) => { this.#waiting?.reject(error); });
  }

  static async open(port: number): Promise<Connection> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new Connection(socket);
  }

  ask(method: string, path: string, cookie: string | undefined): Promise<Answer> {
    const length = method === 'POST' ? 'Content-Length: 0\r\n' : '';
    this.socket.write(`${method} ${path} HTTP/1.1\r\nHost: bench\r\n${length}${cookie === undefined ? '' : `Cookie: ${cookie}\r\n`}\r\n`);
    return new Promise((resolve, reject) => { this.#waiting = { resolve, reject }; });
  }

  close(): void { this.socket.destroy(); }

  #take(chunk: string): void {
    this.#received += chunk;
    const headEnd = this.#received.indexOf('\r\n\r\n');
    if (headEnd < 0) return;
    const head = this.#received.slice(0, headEnd);
    const body = this.#bodyOf(head, this.#received.slice(headEnd + 4));
    if (body === undefined) return;
    this.#received = '';
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve({ status: Number(head.slice(9, 12)), body, cookie: cookiesOf(head) });
  }

  /** Undefined: not all of it has arrived. */
  #bodyOf(head: string, rest: string): string | undefined {
    const length = /^content-length: (\d+)/im.exec(head)?.[1];
    if (length !== undefined) return rest.length < Number(length) ? undefined : rest;
    throw new Error(`expected an answer with a Content-Length, found:\n${head}`);
  }
}
