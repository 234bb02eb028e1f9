/** A TCP proxy between a client and the product, which can cut all connections. */

import { once } from "node:events";
import net from "node:net";
import { PRODUCT } from "./product.js";

export class TcpProxy {
  #sockets = new Set();
  #open = true;
  #server = net.createServer((client) => this.#connect(client));

  static async start() {
    const proxy = new TcpProxy();
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get http() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  get ws() {
    return this.http.replace("http", "ws");
  }

  /** Reset all connections on both sides, and refuse new ones until `restore`. */
  cut() {
    this.#open = false;
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  restore() {
    this.#open = true;
  }

  stop() {
    this.cut();
    this.#server.close();
  }

  #connect(client) {
    if (!this.#open) {
      client.resetAndDestroy();
      return;
    }
    const { hostname, port } = new URL(PRODUCT);
    const upstream = net.connect(port, hostname);
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ]) {
      this.#sockets.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        this.#sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }
}
