import { ServerResponse, type IncomingMessage } from 'node:http';
import { answerError } from './answer.js';

/** Whether this is a response that will end, of HTTP/1 or 2; else it is the socket of an upgrade, or what somebody passes in its place. */
export function isResponse(res: object): res is ServerResponse {
  const { writeHead, on } = res as Partial<ServerResponse>;
  return typeof writeHead === 'function' && typeof on === 'function';
}

/** Answers a request for an upgrade with the error, and ends the connection. */
export function refuseUpgrade(req: IncomingMessage, error: unknown): void {
  const { socket } = req;
  const res = new ServerResponse(req);
  res.shouldKeepAlive = false;
  res.on('finish', () => { socket.destroySoon(); });
  res.assignSocket(socket);
  answerError(res, error);
}
