import { fork } from 'node:child_process';
import { once } from 'node:events';

export interface KvProcess {
  readonly port: number;
  readonly stop: () => Promise<void>;
}

/** Starts the key-value process on a free port, as this process was started; it ends with this one. */
export async function startKvServer(execArgv: readonly string[] = process.execArgv): Promise<KvProcess> {
  const child = fork(new URL('./kv-server.ts', import.meta.url), { execArgv: [...execArgv] });
  const [message] = await once(child, 'message') as [{ readonly port: number }]; // its only one
  return {
    port: message.port,
    async stop() {
      const exit = once(child, 'exit');
      child.disconnect();
      await exit;
    },
  };
}
