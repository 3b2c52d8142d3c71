import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';

const GREETING = 'CONNECT {"verbose":false,"lang":"wire","version":"0","headers":true,"no_responders":true}\r\n';

/** Says this to the NATS server on a port of 127.0.0.1, by a connection of its own; `find` picks the answer out of what came so far. */
function converse<T>(port: number, lines: string, find: (received: Buffer) => T | undefined, withinMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let received = Buffer.alloc(0);
    socket.setTimeout(withinMs, () => { socket.destroy(new Error(`NATS on port ${port}: no answer within ${withinMs} ms`)); });
    socket.once('error', reject);
    socket.once('close', () => { reject(new Error(`NATS on port ${port}: the connection was closed before an answer`)); });
    socket.once('connect', () => { socket.write(GREETING + lines); });
    socket.on('data', (part: Buffer) => {
      received = Buffer.concat([received, part]);
      try {
        const found = find(received);
        if (found === undefined) return;
        resolve(found);
        socket.destroy();
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
        socket.destroy();
      }
    });
  });
}

/** Resolves when the server answers, also that it does not let this in; it does so after it has read what is on its disk. */
export async function pingNats(port: number, withinMs = 1000): Promise<void> {
  await converse(port, 'PING\r\n', (received) => (['\r\nPONG\r\n', "-ERR 'Authorization"].some((answer) => received.includes(answer)) ? true : undefined), withinMs);
}

/** Sends a request and resolves to the answer, which is JSON; rejects if nobody listens to the subject. */
export function askNats(port: number, subject: string, question?: object, withinMs = 2000): Promise<object> {
  const text = question === undefined ? '' : JSON.stringify(question);
  // Of this request alone: nodes of a cluster pass an answer on to whoever listens to its subject anywhere.
  const answer = `_INBOX.${randomUUID()}`;
  const request = `SUB ${answer} 1\r\nPUB ${subject} ${answer} ${Buffer.byteLength(text)}\r\n${text}\r\n`;
  return converse(port, request, (received) => {
    const readable = received.toString('latin1');
    if (readable.includes('NATS/1.0 503')) throw new Error(`${subject}: nobody listens on port ${port}`);
    const head = /\r\nMSG \S+ 1 (\d+)\r\n/.exec(readable);
    if (head === null) return undefined;
    const begin = head.index + head[0].length;
    const end = begin + Number(head[1]);
    // JetStream's API answers with objects only.
    return received.length < end ? undefined : JSON.parse(received.toString('utf8', begin, end)) as object;
  }, withinMs);
}
