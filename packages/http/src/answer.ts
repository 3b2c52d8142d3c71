import { STATUS_CODES, type ServerResponse } from 'node:http';

interface HttpError { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly text: string }

/** What an error says about its answer: status 400 to 599, headers, and a text that is safe to show. */
function httpErrorOf(error: unknown): HttpError {
  const given = typeof error === 'object' && error !== null ? error : {};
  const asked: unknown = Reflect.get(given, 'status') ?? Reflect.get(given, 'statusCode');
  const status = typeof asked === 'number' && asked >= 400 && asked <= 599 ? asked : 500;
  const headers: unknown = Reflect.get(given, 'headers');
  const shown = error instanceof Error && Reflect.get(given, 'expose') === true ? error.message : undefined;
  return {
    status,
    headers: typeof headers === 'object' && headers !== null ? headers as Record<string, string> : {},
    text: `${shown ?? STATUS_CODES[status] ?? 'Error'}\n`,
  };
}

/** What was thrown, as an error. */
export const asError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown }));

// Of the answer that is replaced. What else is set stays: for CORS, HSTS and the like the error is an answer as any other.
const REPLACED = new Set([
  'etag', 'last-modified', 'expires', 'cache-control', 'location', 'set-cookie', 'trailer', 'transfer-encoding', 'accept-ranges', 'age', 'refresh', 'retry-after',
]);

const isReplaced = (name: string) => REPLACED.has(name) || (name.startsWith('content-') && !name.startsWith('content-security-policy'));

type Method = (...args: unknown[]) => unknown;

/** The methods of a response as they were before anything was held back. */
export interface PlainMethods { readonly writeHead: Method; readonly write: Method; readonly end: Method }

/** Answers with the error alone: what describes the answer that it replaces is taken back. */
export function answerError(res: ServerResponse, error: unknown, plain = res as PlainMethods): void {
  const { status, headers, text } = httpErrorOf(error);
  for (const name of res.getHeaderNames()) if (isReplaced(name)) res.removeHeader(name);
  for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
  res.setHeader('Content-Type', 'text/plain; charset=utf-8');
  res.setHeader('Content-Length', Buffer.byteLength(text));
  res.setHeader('X-Content-Type-Options', 'nosniff');
  res.setHeader('Cache-Control', 'no-store');
  // Through the methods given: a wrapper laid over them later may have begun to transform the body that is replaced.
  if (res.req.httpVersionMajor === 1) {
    plain.writeHead.call(res, status, STATUS_CODES[status] ?? 'Error');
    plain.end.call(res, text);
  } else {
    // HTTP/2 warns about words beside the status, and its `end` would call the method `write` that stands there now.
    plain.writeHead.call(res, status);
    plain.write.call(res, text);
    plain.end.call(res);
  }
}
