import cluster from 'node:cluster';
import { FilesystemMap } from '../../src/filesystem-map.js';

// instance <directory> <instanceId> [worker]: runs until it is killed; prints `ready <pid>`, then each message, and sweeps every 50 ms. `worker`: as a worker of node:cluster.
const [directory = '', instanceId = '', worker] = process.argv.slice(2);

async function main(): Promise<void> {
  const map = new FilesystemMap({ directory, allowNetworkMounts: false });
  await map.start({ context: 'shop', instanceId, receive: (message) => { console.log(`message ${message}`); }, listening: () => undefined });
  setInterval(() => { void map.sweep(1_000); }, 50);
  console.log(`ready ${process.pid}`);
}

if (worker !== undefined && cluster.isPrimary) cluster.fork();
else void main();
