import { session } from '@cluster/http';
import { RedisStore } from '@cluster/store-redis';
import express from 'express';

declare module '@cluster/core' {
  interface SessionData { cart: string[] }
}

/** A shop with its sessions in Redis. As many processes as you like may serve it together. */
export function createApp(redisUrl: string) {
  const sessions = session({ context: 'express-redis', store: new RedisStore({ url: redisUrl }) });
  const app = express();
  app.use(sessions);

  app.post('/cart/:item', (req, res) => {
    (req.session.cart ??= []).push(req.params.item);
    res.redirect(303, '/cart'); // leaves after the cart is stored: whichever process answers GET /cart sees the item
  });
  app.get('/cart', (req, res) => { res.json(req.session.cart ?? []); });

  return { app, sessions };
}
