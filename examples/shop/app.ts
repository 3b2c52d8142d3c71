import { setTimeout as pause } from 'node:timers/promises';
import { session } from '@cluster/http';
import { FilesystemStore } from '@cluster/store-filesystem';
import { KafkaStore } from '@cluster/store-kafka';
import { NatsStore } from '@cluster/store-nats';
import { RabbitStore } from '@cluster/store-rabbitmq';
import { RedisStore } from '@cluster/store-redis';
import express from 'express';

declare module '@cluster/core' {
  interface SessionData { cart: string[] }
}

export const idleTimeoutMs = 30 * 60_000;
export const absoluteTimeoutMs = 8 * 3_600_000;

function storeAt(place: string) {
  if (place.startsWith('nats://')) return new NatsStore({ connect: { servers: place } });
  if (place.startsWith('kafka://')) return new KafkaStore({ connect: { brokers: [place.slice('kafka://'.length)] }, replicas: 1 });
  if (place.startsWith('amqp')) return new RabbitStore({ urls: [place] });
  return place.includes('://') ? new RedisStore({ url: place }) : new FilesystemStore({ directory: place });
}

/** A shop on sessions in a folder, or in the Redis, NATS, Kafka or RabbitMQ of a URL. Any process that runs it on the same one can serve any request. */
export function shop(place: string) {
  const sessions = session({
    context: 'shop',
    store: storeAt(place),
    affinity: 'keep', // every process keeps what it served, so that a kill finds sessions to take over
    leaseMs: 2000, // short, so that a paused process is replaced while you watch; the default is 10 s
    idleTimeoutMs,
    absoluteTimeoutMs,
  });
  const app = express();
  app.use(sessions);

  app.get('/cart', (req, res) => { res.json(req.session.cart ?? []); });

  app.post('/cart/:item', async (req, res) => {
    await pause(20); // the warehouse is asked whether it has the item
    (req.session.cart ??= []).push(req.params.item);
    res.json(req.session.cart); // leaves after the cart is stored
  });

  app.post('/slow', async (req, res) => {
    await pause(3000);
    res.json(req.session.cart ?? []);
  });

  app.post('/logout', async (req, res) => {
    await req.session.destroy();
    res.json([]);
  });

  return { app, sessions };
}
