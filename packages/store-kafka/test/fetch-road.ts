import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

interface Address { readonly host: string; readonly port: number }

const FETCH = 1;

/** Whole frames of Kafka's protocol: a length in four bytes, and so many more. */
function eachFrame(socket: Socket, take: (frame: Buffer) => void): void {
  let left = Buffer.alloc(0);
  socket.on('data', (bytes: Buffer) => {
    left = Buffer.concat([left, bytes]);
    while (left.length >= 4 && left.length >= 4 + left.readInt32BE(0)) {
      const end = 4 + left.readInt32BE(0);
      take(left.subarray(0, end));
      left = left.subarray(end);
    }
  });
}

/** The way to a broker, on which the answers to fetches can get lost; all else arrives. Never keeps the process alive. */
export class FetchRoad {
  /** From now on no fetch is answered. */
  isLossy = false;
  readonly #sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {}

  static async open(to: Address): Promise<FetchRoad> {
    const road: FetchRoad = new FetchRoad(createServer((client) => { road.#join(client, connect(to.port, to.host)); }));
    road.server.listen(0, '127.0.0.1').unref();
    await once(road.server, 'listening');
    return road;
  }

  // It listens on a port, so this is not the path of a pipe.
  get address(): Address { return { host: '127.0.0.1', port: (this.server.address() as AddressInfo).port }; }

  close(): void {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #join(client: Socket, broker: Socket): void {
    const fetches = new Set<number>();
    for (const [socket, other] of [[client, broker], [broker, client]] as const) {
      this.#sockets.add(socket.unref().setNoDelay());
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    // What is asked stands after the length, and the number of the question after its version; an answer begins with that number.
    eachFrame(client, (frame) => {
      if (frame.readInt16BE(4) === FETCH) fetches.add(frame.readInt32BE(8));
      broker.write(frame);
    });
    eachFrame(broker, (frame) => {
      if (!fetches.delete(frame.readInt32BE(4)) || !this.isLossy) client.write(frame);
    });
  }
}
