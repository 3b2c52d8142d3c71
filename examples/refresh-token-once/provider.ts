import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';

const ANSWERS_AFTER_MS = 50;

/**
 * Stands in for an OAuth provider that rotates refresh tokens (RFC 9700, section 4.14): each can be used once. The first access
 * token of a login has expired already, later ones live for an hour.
 */
export class Provider {
  readonly #server = createServer((request, response) => { void this.#answer(request, response).catch(() => response.destroy()); });
  readonly #refreshTokens = new Set<string>();
  readonly #accessTokens = new Set<string>();
  /** How often it was asked to refresh. */
  refreshes = 0;
  /** How often with a token that had been used. */
  refused = 0;

  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    // A server that listens on TCP has an address of this shape.
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const grant = new URLSearchParams(await text(request));
    await pause(ANSWERS_AFTER_MS);
    if (request.url === '/me') this.#me(request, response);
    else if (grant.get('grant_type') === 'refresh_token') this.#refresh(grant.get('refresh_token') ?? '', response);
    else this.#give(response, 0);
  }

  #me({ headers }: IncomingMessage, response: ServerResponse): void {
    const isKnown = this.#accessTokens.has(headers.authorization?.replace('Bearer ', '') ?? '');
    response.writeHead(isKnown ? 200 : 401).end(isKnown ? 'Ada' : 'expired');
  }

  #refresh(token: string, response: ServerResponse): void {
    this.refreshes += 1;
    if (this.#refreshTokens.delete(token)) {
      this.#give(response, 3600);
      return;
    }
    this.refused += 1;
    response.writeHead(400).end('invalid_grant');
  }

  #give(response: ServerResponse, expiresInSeconds: number): void {
    const [accessToken, refreshToken] = [randomUUID(), randomUUID()];
    if (expiresInSeconds > 0) this.#accessTokens.add(accessToken);
    this.#refreshTokens.add(refreshToken);
    response.writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ access_token: accessToken, refresh_token: refreshToken, token_type: 'Bearer', expires_in: expiresInSeconds }));
  }
}
