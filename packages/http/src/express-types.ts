import type { HttpSession } from './http-session.js';

// The one place that types `req.session`. @types/express-session types it too, and one of the two would win silently.
declare global {
  // Express's own typings are extended through this namespace.
  // eslint-disable-next-line @typescript-eslint/no-namespace
  namespace Express {
    interface Request {
      get session(): HttpSession;
      /** `null` ends the session, as `destroy()` does; done when the response leaves. */
      set session(value: HttpSession | null);
      /** The id of `session`. */
      readonly sessionID: string;
    }
  }
}
