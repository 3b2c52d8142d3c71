import type { Manager } from '@cluster/core';
import type { Request } from 'express';

export interface Tokens {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly expiresAtMs: number;
}

declare module '@cluster/core' {
  interface SessionData { tokens: Tokens }
}

/** A token that ends while the request that carries it is under way would be refused. */
const MARGIN_MS = 5000;
/** Less than `lockHoldMs` (30 s), after which those who wait for the session get it. */
const PROVIDER_TIMEOUT_MS = 10_000;

const isFresh = (tokens: Tokens) => tokens.expiresAtMs > Date.now() + MARGIN_MS;

/**
 * The visitor's access token, refreshed if it has expired. Of all the requests of this session on all processes that find it
 * expired, one asks the provider; the others wait for it and find its answer. Undefined: there is no session any more, or no tokens in it.
 */
export async function accessToken(req: Request, manager: Manager, providerUrl: string): Promise<string | undefined> {
  const { tokens } = req.session;
  if (tokens !== undefined && isFresh(tokens)) return tokens.accessToken; // most requests end here, and none of them waits
  return manager.update(req.session.id, async (session) => {
    if (session.tokens === undefined) return undefined;
    // Here the session is locked, and as the request before left it.
    if (!isFresh(session.tokens)) session.tokens = await askFor({ grant_type: 'refresh_token', refresh_token: session.tokens.refreshToken }, providerUrl);
    return session.tokens.accessToken;
  }, { label: 'refresh of an access token' });
}

/** Asks the provider for tokens; rejects if it refuses. */
export async function askFor(grant: Readonly<Record<string, string>>, providerUrl: string): Promise<Tokens> {
  const response = await fetch(`${providerUrl}/token`, {
    method: 'POST', body: new URLSearchParams(grant), signal: AbortSignal.timeout(PROVIDER_TIMEOUT_MS),
  });
  if (!response.ok) throw new Error(`the provider refused ${grant['grant_type'] ?? 'a grant'}: ${response.status} ${await response.text()}`);
  // RFC 6749, section 5.1.
  const answer = await response.json() as { access_token: string; refresh_token: string; expires_in: number };
  return { accessToken: answer.access_token, refreshToken: answer.refresh_token, expiresAtMs: Date.now() + answer.expires_in * 1000 };
}
