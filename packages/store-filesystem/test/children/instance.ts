import cluster from 'node:cluster';
import { FilesystemMap } from '../../src/filesystem-map.js';

// instance <directory> <instanceId> <sweepIntervalMs> [worker]: runs until it is killed; prints `ready <pid>`, then each message. `worker`: as a worker of node:cluster.
const [directory = '', instanceId = '', sweepIntervalMs = '', worker] = process.argv.slice(2);

async function main(): Promise<void> {
  const map = new FilesystemMap({ directory, sweepIntervalMs: Number(sweepIntervalMs), allowNetworkMounts: false });
  await map.start({ context: 'shop', instanceId, receive: (message) => { console.log(`message ${message}`); }, listening: () => undefined });
  setInterval(() => undefined, 60_000);
  console.log(`ready ${process.pid}`);
}

if (worker !== undefined && cluster.isPrimary) cluster.fork();
else void main();
