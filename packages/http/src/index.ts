import './express-types.js';

export { session, type SessionMiddleware } from './session-middleware.js';
export type { SessionOptions, CookieOptions } from './options.js';
