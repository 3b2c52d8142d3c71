import type { IncomingMessage } from 'node:http';
import proxyAddr from 'proxy-addr';

/** Which addresses are believed when they forward a request: as Express's `trust proxy`, without its function. */
export type TrustProxy = boolean | number | string | readonly string[];

/** Whether a request that came from this address was forwarded by a proxy that is believed. */
export type Trusts = (address: string | undefined) => boolean;

const addressesOf = (setting: string | readonly string[]): string[] =>
  (typeof setting === 'string' ? setting.split(',') : [...setting]).map((address) => address.trim());

const isText = (value: unknown): value is string => typeof value === 'string';
const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every(isText);

export function isTrustProxy(value: unknown): value is TrustProxy {
  if (typeof value === 'boolean') return true;
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0;
  if (!isText(value) && !isTexts(value)) return false;
  try {
    proxyAddr.compile(addressesOf(value));
    return true;
  } catch {
    return false;
  }
}

export function trustsOf(setting: TrustProxy): Trusts {
  if (typeof setting === 'boolean') return () => setting;
  // The address is that of the last hop, so that any number but none covers it.
  if (typeof setting === 'number') return () => setting > 0;
  const trusts = proxyAddr.compile(addressesOf(setting));
  return (address) => address !== undefined && trusts(address, 0);
}

/** Whether X-Forwarded-Proto says that the client spoke TLS. Of several words the first is that of the proxy next to the client. */
export function saysHttps({ headers }: IncomingMessage): boolean {
  const said = headers['x-forwarded-proto'];
  return typeof said === 'string' && said.split(',', 1)[0]?.trim().toLowerCase() === 'https';
}

/** Whether the client spoke TLS, to this process or to a proxy that is believed. */
export function isOverTls(req: IncomingMessage, trusts: Trusts): boolean {
  // A TLSSocket's; there is no socket left where an HTTP/2 connection has ended.
  const socket = req.socket as { readonly encrypted?: boolean; readonly remoteAddress?: string } | undefined;
  if (socket?.encrypted === true) return true;
  // Express's, which goes by its own setting `trust proxy`.
  const secure: unknown = Reflect.get(req, 'secure');
  return typeof secure === 'boolean' ? secure : saysHttps(req) && trusts(socket?.remoteAddress);
}
