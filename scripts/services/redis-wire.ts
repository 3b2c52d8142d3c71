import { connect } from 'node:net';

export type Reply = string | number | null | readonly Reply[];

/**
 * Sends one command on a connection of its own; rejects with the server's error. The tests of the servers need no more of a
 * client, and one that reconnects by itself would hide what they are about.
 */
export function ask(port: number, command: readonly string[], timeoutMs = 5000): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let bytes = Buffer.alloc(0);
    const fail = (error: Error) => { socket.destroy(); reject(error); };
    const late = setTimeout(() => fail(new Error(`${command.join(' ')}: no answer from port ${port} within ${timeoutMs} ms`)), timeoutMs);
    socket.once('error', fail);
    socket.once('close', () => {
      clearTimeout(late);
      reject(new Error(`${command.join(' ')}: port ${port} closed the connection`));
    });
    socket.on('data', (part) => {
      bytes = Buffer.concat([bytes, part]);
      try {
        const found = parse(bytes, 0);
        if (found === undefined) return;
        resolve(found.reply);
        socket.destroy();
      } catch (error) {
        fail(error instanceof Error ? error : new Error(String(error)));
      }
    });
    socket.write([`*${command.length}`, ...command.flatMap((word) => [`$${Buffer.byteLength(word)}`, word]), ''].join('\r\n'));
  });
}

/** The reply that begins at `at`, and where it ends; undefined while a part of it is missing. */
function parse(bytes: Buffer, at: number): { readonly reply: Reply; readonly end: number } | undefined {
  const lineEnd = bytes.indexOf('\r\n', at);
  if (lineEnd < 0) return undefined;
  const line = bytes.toString('utf8', at + 1, lineEnd);
  const rest = lineEnd + 2;
  switch (String.fromCharCode(bytes[at] ?? 0)) {
    case '+': return { reply: line, end: rest };
    case ':': return { reply: Number(line), end: rest };
    case '$': return parseText(bytes, rest, Number(line));
    case '*': return parseList(bytes, rest, Number(line));
    case '-': throw new Error(line);
    default: throw new Error(`expected a reply of Redis, found ${JSON.stringify(line.slice(0, 40))}`);
  }
}

function parseText(bytes: Buffer, at: number, length: number) {
  if (length < 0) return { reply: null, end: at };
  return bytes.length < at + length + 2 ? undefined : { reply: bytes.toString('utf8', at, at + length), end: at + length + 2 };
}

function parseList(bytes: Buffer, at: number, count: number) {
  if (count < 0) return { reply: null, end: at };
  const reply: Reply[] = [];
  let end = at;
  while (reply.length < count) {
    const found = parse(bytes, end);
    if (found === undefined) return undefined;
    reply.push(found.reply);
    end = found.end;
  }
  return { reply, end };
}
