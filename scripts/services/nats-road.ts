import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** The way from one node of a cluster to another, which can be shut: what is under way then arrives when it is opened again. Never keeps the process alive. */
export class Road {
  readonly #sockets = new Set<Socket>();
  #isShut = false;

  private constructor(private readonly server: Server) {}

  static async open(to: { readonly host: string; readonly port: number }): Promise<Road> {
    const server = createServer({ pauseOnConnect: true });
    const road = new Road(server);
    server.on('connection', (from: Socket) => { road.#join(from, connect(to.port, to.host)); });
    server.listen(0, '127.0.0.1').unref();
    await once(server, 'listening');
    return road;
  }

  get port(): number {
    // It listens on a port, so this is not the path of a pipe.
    return (this.server.address() as AddressInfo).port;
  }

  shut(): void {
    this.#isShut = true;
    for (const socket of this.#sockets) socket.pause();
  }

  reopen(): void {
    this.#isShut = false;
    for (const socket of this.#sockets) socket.resume();
  }

  close(): void {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #join(...ends: readonly [Socket, Socket]): void {
    for (const [at, socket] of ends.entries()) {
      const other = at === 0 ? ends[1] : ends[0];
      // Else small messages wait for acknowledgements of earlier ones, 40 ms each.
      this.#sockets.add(socket.unref().setNoDelay());
      socket.on('error', () => undefined);
      socket.on('data', (bytes: Buffer) => { other.write(bytes); });
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
      if (this.#isShut) socket.pause();
      else socket.resume();
    }
  }
}
