// Instead of @types/express-session, which types `req.session` and would clash with the declaration of @cluster/http.
declare module 'express-session' {
  function session(options: { secret: string; resave: boolean; saveUninitialized: boolean; store?: unknown }): import('express').RequestHandler;
  export default session;
}
