// A latent's payload, byte for byte as docs/api/payload.md has it, and the CRC-32 on the way.

import { roundedToEven } from "./vision.js";
import { Wasm } from "./wasm.js";

export const SYMBOLS = 8 * 28 * 28;
const HEADER_BYTES = 5;
const RAW = 1;
const ENTROPY = 2;

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

// Of `bytes`, after those whose checksum is `before`.
export function crc32(bytes, before = 0) {
  let crc = ~before;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}

export class PayloadCodec {
  #entropy;

  // `module`: the bytes of codec.wasm; `tables`: those of the weights, null where they have none.
  static async open(module, tables) {
    const made = new PayloadCodec();
    if (tables) {
      made.#entropy = await Wasm.from(module);
      if (!made.#entropy.call.codec_open(made.#entropy.keep(tables), tables.length)) {
        throw new Error(`not entropy tables: ${made.#why()}`);
      }
    }
    return made;
  }

  // Uint8Array of 6,272 symbols -> the payload.
  encode(symbols, rate) {
    const body = this.#entropy ? this.#encoded(symbols, rate) : symbols;
    const raw = body === symbols || body.length > SYMBOLS;
    return framed((rate << 4) | (raw ? RAW : ENTROPY), raw ? symbols : body);
  }

  // A payload of `encode` -> { rate, symbols }.
  decode(payload) {
    const [rate, codec] = [payload[0] >> 4, payload[0] & 15];
    const body = payload.subarray(HEADER_BYTES);
    const sent = new DataView(payload.buffer, payload.byteOffset + 1).getUint32(0);
    if (sent !== crc32(body, crc32(payload.subarray(0, 1)))) throw new Error("wrong checksum");
    if (codec === RAW) return { rate, symbols: body.slice() };
    const { call } = this.#entropy;
    this.#entropy.bytes(call.codec_body(), body.length).set(body);
    if (!call.codec_decode(rate, body.length)) throw new Error(this.#why());
    return { rate, symbols: this.#entropy.bytes(call.codec_symbols(), SYMBOLS).slice() };
  }

  #encoded(symbols, rate) {
    const { call } = this.#entropy;
    if (rate >= call.codec_rates()) throw new Error(`no rate ${rate}`);
    this.#entropy.bytes(call.codec_symbols(), SYMBOLS).set(symbols);
    const length = call.codec_encode(rate);
    if (length < 0) throw new Error(this.#why());
    return this.#entropy.bytes(call.codec_body(), length).slice();
  }

  #why() {
    return this.#entropy.text(this.#entropy.call.codec_why());
  }
}

function framed(first, body) {
  const payload = new Uint8Array(HEADER_BYTES + body.length);
  payload[0] = first;
  payload.set(body, HEADER_BYTES);
  const checksum = crc32(body, crc32(payload.subarray(0, 1)));
  new DataView(payload.buffer).setUint32(1, checksum);
  return payload;
}

// z Float32Array (8, 28, 28) -> symbols, halves to even, as the Python edge's quantiser has them.
export function quantised(z, gains, limit) {
  const symbols = new Uint8Array(SYMBOLS);
  const channel = SYMBOLS / gains.length;
  const most = Math.min(limit, 127);
  for (let i = 0; i < SYMBOLS; i++) {
    const scaled = Math.fround(z[i] * Math.fround(gains[Math.floor(i / channel)]));
    symbols[i] = 128 + Math.max(-limit, Math.min(most, roundedToEven(scaled)));
  }
  return symbols;
}
