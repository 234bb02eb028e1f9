/** A cable between a client and the product, which can be cut. */

import { once } from "node:events";
import net from "node:net";
import { PRODUCT } from "./product.js";

export class Cable {
  #ends = new Set();
  #whole = true;
  #listener = net.createServer((near) => this.#join(near));

  static async laid() {
    const cable = new Cable();
    cable.#listener.listen(0, "127.0.0.1");
    await once(cable.#listener, "listening");
    return cable;
  }

  get http() {
    return `http://127.0.0.1:${this.#listener.address().port}`;
  }

  get ws() {
    return this.http.replace("http", "ws");
  }

  /** Nothing gets through any more, until it is mended; both sides see their connections reset. */
  cut() {
    this.#whole = false;
    for (const end of this.#ends) end.resetAndDestroy();
  }

  mend() {
    this.#whole = true;
  }

  remove() {
    this.cut();
    this.#listener.close();
  }

  #join(near) {
    if (!this.#whole) {
      near.resetAndDestroy();
      return;
    }
    const { hostname, port } = new URL(PRODUCT);
    const far = net.connect(port, hostname);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ]) {
      this.#ends.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        this.#ends.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }
}
