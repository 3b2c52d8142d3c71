import { session } from '@cluster/http';
import { RedisStore } from '@cluster/store-redis';
import express from 'express';
import { accessToken, askFor } from './tokens.js';

/** An application that asks an API in its visitors' names. */
export function createApp(redisUrl: string, providerUrl: string) {
  const sessions = session({ context: 'refresh-token-once', store: new RedisStore({ url: redisUrl }) });
  const app = express();
  app.use(sessions);

  app.post('/login', async (req, res) => {
    req.session.tokens = await askFor({ grant_type: 'authorization_code', code: 'given by the provider after its login page' }, providerUrl);
    res.sendStatus(204);
  });

  app.get('/profile', async (req, res) => {
    const token = await accessToken(req, sessions.manager, providerUrl);
    if (token === undefined) {
      res.sendStatus(401);
      return;
    }
    const answer = await fetch(`${providerUrl}/me`, { headers: { authorization: `Bearer ${token}` } });
    res.status(answer.status).send(await answer.text());
  });

  return { app, sessions };
}
