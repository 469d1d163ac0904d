// A WebSocket of latents, as docs/api/stream.md has it: calls go up and their replies come back in
// any order.

import { CallFailed } from "./reasons.js";

const SUBPROTOCOL = "splitfer.latents";
const TOKEN_PREFIX = "splitfer.token.";
const HEADER_BYTES = 16;
// What waits to be sent is late; more would be later.
const MOST_WAITING_BYTES = 64 * 1024;
const OPEN = 1;

export class LatentStream {
  #address;
  #Socket;
  #socket = null;
  #calls = new Map();
  #id = 0;

  // `root`: the server's address; `Socket`: the browser's WebSocket.
  constructor(root, fingerprint, Socket = globalThis.WebSocket) {
    this.#address = `${root.replace(/^http/, "ws")}v1/latents/stream?fingerprint=${fingerprint}`;
    this.#Socket = Socket;
  }

  get isOpen() {
    return this.#socket?.readyState === OPEN;
  }

  // Begin to open one, unless there is one.
  open(token = "") {
    if (this.#socket || !this.#Socket) return;
    const words = token ? [SUBPROTOCOL, TOKEN_PREFIX + packed(token)] : [SUBPROTOCOL];
    const socket = new this.#Socket(this.#address, words);
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => this.#heard(data));
    socket.addEventListener("close", () => socket === this.#socket && this.close());
    this.#socket = socket;
  }

  // Calls that wait have failed.
  close() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    for (const id of [...this.#calls.keys()]) this.#ended(id)?.failed(new CallFailed("link_down"));
  }

  // The body of POST /v1/latents -> the text of its reply; throws CallFailed. `sentMs` is now.
  call(body, remainingMs, sentMs) {
    if (!this.isOpen) throw new CallFailed("link_down");
    if (this.#socket.bufferedAmount > MOST_WAITING_BYTES) throw new CallFailed("deadline");
    const id = (this.#id = (this.#id + 1) >>> 0);
    this.#socket.send(message(id, remainingMs, sentMs, body));
    return new Promise((done, failed) => {
      const late = () => this.#ended(id)?.failed(new CallFailed("deadline"));
      this.#calls.set(id, { done, failed, timer: setTimeout(late, remainingMs) });
    });
  }

  #heard(text) {
    try {
      this.#ended(JSON.parse(text).id)?.done(text); // none: it came too late
    } catch {
      this.close(); // no server of ours
    }
  }

  #ended(id) {
    const call = this.#calls.get(id);
    clearTimeout(call?.timer);
    this.#calls.delete(id);
    return call;
  }
}

// One message, Uint8Array.
export function message(id, remainingMs, sentMs, body) {
  const bytes = new Uint8Array(HEADER_BYTES + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, id);
  view.setUint32(4, Math.max(1, Math.round(remainingMs)));
  view.setBigUint64(8, BigInt(Math.round(sentMs)));
  bytes.set(body, HEADER_BYTES);
  return bytes;
}

// A token in URL-safe base64, without padding.
export function packed(token) {
  const letters = String.fromCharCode(...new TextEncoder().encode(token));
  return btoa(letters).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
