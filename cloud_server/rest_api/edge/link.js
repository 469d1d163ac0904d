// The link to the server: handshakes beside the frames, and one call a frame, by a WebSocket or by
// POST, whichever is quicker.

import * as states from "./breaker.js";
import { crc32 } from "./payload.js";
import { CallFailed, reasonOfCode, reasonOfReply } from "./reasons.js";
import { LatentStream } from "./stream.js";
import { Ways } from "./ways.js";

const SCHEMA_VERSION = 2; // of the messages between edge and server
const HANDSHAKE_MS = 2000;
const KEEP_MS = 50;
const STREAM_AGAIN_S = 30; // after one that ended, such as for silence

export class Link {
  #root;
  #fingerprint;
  #now;
  #changed;
  #timer = null;
  #breaker = states.newBreaker();
  #stream;
  #streamAtS = 0;
  #ways = new Ways();
  token = "";

  // `root`: the server's address; `now` gives seconds; `changed` is told of every new state.
  constructor(root, fingerprint, changed = () => {}, now = () => performance.now() / 1000) {
    this.#root = root;
    this.#fingerprint = fingerprint;
    this.#changed = changed;
    this.#now = now;
    this.#stream = new LatentStream(root, fingerprint);
  }

  get refusal() {
    return states.refusal(this.#breaker);
  }

  get state() {
    return this.#breaker.state;
  }

  get cause() {
    return this.#breaker.cause;
  }

  keep() {
    this.#changed(this);
    this.#timer ??= setInterval(() => this.#probe(), KEEP_MS);
  }

  close() {
    clearInterval(this.#timer);
    this.#timer = null;
    this.#stream.close();
  }

  // The device has no network: what is on its way does not come any more.
  networkLost() {
    this.#stream.close();
  }

  // What may have changed meanwhile, such as the token or the network, is tried at once.
  tryNow() {
    if (this.state !== "ready" && this.state !== "half_open") this.#set(states.newBreaker());
  }

  // A frame's payloads -> { faces, serverMs, linkMs, sentBytes, receivedBytes }; throws CallFailed.
  async infer(payloads, remainingMs) {
    const start = this.#now();
    try {
      const found = await this.#infer(payloads, remainingMs);
      this.#set(states.callSucceeded(this.#breaker));
      const tookMs = (this.#now() - start) * 1000;
      return { ...found, linkMs: Math.max(0, tookMs - found.serverMs) };
    } catch (error) {
      const failed = error instanceof CallFailed ? error : new CallFailed(reasonOfError(error), error.message);
      this.#set(states.callFailed(this.#breaker, failed.reason, this.#now(), Math.random()));
      throw failed;
    }
  }

  async #infer(payloads, remainingMs) {
    const body = framed(payloads);
    const text = await this.#asked(body, remainingMs);
    const reply = JSON.parse(text);
    if (reply.error) throw new CallFailed(reasonOfCode(reply.error.code), reply.error.message);
    if (reply.faces?.length !== payloads.length || replyChecksum(payloads, reply.faces) !== reply.checksum) {
      throw new CallFailed("server_error", "the reply was damaged, or is that of another request");
    }
    const faces = reply.faces.map((face) => (face.error ? { reason: reasonOfCode(face.error.code) } : face));
    const { tail: tailMs, total: serverMs } = reply.latency_ms;
    return { faces, tailMs, serverMs, sentBytes: body.length, receivedBytes: text.length };
  }

  // The text of a reply, by the quicker way; where a stream breaks, by the other.
  async #asked(body, remainingMs) {
    const start = this.#now();
    const elapsedMs = () => (this.#now() - start) * 1000;
    const way = this.#ways.next(this.#stream.isOpen);
    try {
      if (way === "post") return await this.#post(body, remainingMs);
      try {
        return await this.#stream.call(body, remainingMs, start * 1000);
      } catch (error) {
        if (error.reason !== "link_down" || elapsedMs() >= remainingMs) throw error;
        return await this.#post(body, remainingMs - elapsedMs());
      }
    } finally {
      this.#ways.took(way, elapsedMs());
    }
  }

  async #post(body, remainingMs) {
    const response = await fetch(`${this.#root}v1/latents`, {
      method: "POST",
      body,
      cache: "no-store",
      signal: AbortSignal.timeout(Math.ceil(remainingMs)),
      headers: {
        ...this.#headers(),
        "Content-Type": "application/octet-stream",
        "X-SplitFER-Fingerprint": this.#fingerprint,
        "X-SplitFER-Deadline-Ms": String(Math.max(1, Math.round(remainingMs))),
      },
    });
    const text = await response.text();
    await readReply(response, text);
    return text;
  }

  async #probe() {
    if (this.state === "ready" && this.#now() >= this.#streamAtS) this.#openStream();
    if (!states.probeDue(this.#breaker, this.#now()) || this.#probing) return;
    this.#probing = true;
    this.#set(states.probeStarted(this.#breaker));
    try {
      await this.#handshake();
      this.#set(states.handshakeSucceeded());
    } catch (error) {
      const reason = error instanceof CallFailed ? error.reason : "link_down";
      this.#set(states.handshakeFailed(this.#breaker, reason, this.#now(), Math.random()));
    } finally {
      this.#probing = false;
    }
  }

  #probing = false;

  async #handshake() {
    const response = await fetch(`${this.#root}v1/model`, {
      cache: "no-store",
      headers: this.#headers(),
      signal: AbortSignal.timeout(HANDSHAKE_MS),
    });
    const model = await readReply(response, await response.text());
    if (model.schema_version !== SCHEMA_VERSION || !model.served?.includes(this.#fingerprint)) {
      throw new CallFailed("model_mismatch");
    }
  }

  // It carries calls once it is open; where it does not come, POST does.
  #openStream() {
    this.#streamAtS = this.#now() + STREAM_AGAIN_S;
    this.#stream.open(this.token);
  }

  #headers() {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  }

  #set(breaker) {
    const before = this.#breaker;
    this.#breaker = breaker;
    if (breaker.state !== "ready") this.#stream.close();
    else if (before.state !== "ready") this.#openStream();
    if (before.state !== breaker.state || before.cause !== breaker.cause) this.#changed(this);
  }
}

// Each payload behind its length: two bytes, big endian.
export function framed(payloads) {
  const body = new Uint8Array(payloads.reduce((sum, one) => sum + 2 + one.length, 0));
  let at = 0;
  for (const payload of payloads) {
    new DataView(body.buffer).setUint16(at, payload.length);
    body.set(payload, at + 2);
    at += 2 + payload.length;
  }
  return body;
}

// What the reply's own must be: see docs/api/rest.md.
export function replyChecksum(payloads, faces) {
  let checksum = payloads.reduce((sum, payload) => crc32(payload, sum), 0);
  const words = new TextEncoder();
  for (const face of faces) {
    if (face.error) {
      checksum = crc32(words.encode(face.error.code), checksum);
      continue;
    }
    const shares = Object.values(face.probabilities);
    const bytes = new Uint8Array(4 * shares.length);
    shares.forEach((share, place) => new DataView(bytes.buffer).setFloat32(4 * place, share, true));
    checksum = crc32(words.encode(face.model), crc32(bytes, checksum));
  }
  return checksum;
}

async function readReply(response, text) {
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
    // a proxy's own page
  }
  if (!response.ok) throw new CallFailed(reasonOfReply(response.status, body?.error?.code), body?.error?.message);
  if (!body) throw new CallFailed("server_error", "the reply is no JSON");
  return body;
}

const reasonOfError = (error) => (error.name === "TimeoutError" ? "deadline" : "link_down");
