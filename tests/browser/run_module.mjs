// What the browser edge's modules give for what stands in a JSON file: the tests read it.
// node run_module.mjs WHAT FILE; arrays of bytes are base64.

import { readFileSync } from "node:fs";

const edge = new URL("../../cloud_server/rest_api/edge/", import.meta.url);
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
const text = (array) => Buffer.from(array).toString("base64");
const load = (name) => import(new URL(name, edge));

const RUN = {
  async payloads({ wasm, tables, latents }) {
    const { PayloadCodec } = await load("payload.js");
    const codec = await PayloadCodec.open(readFileSync(wasm), tables && bytes(tables));
    return latents.map(({ symbols, rate }) => {
      const payload = codec.encode(bytes(symbols), rate);
      const back = codec.decode(payload);
      return { payload: text(payload), symbols: text(back.symbols), rate: back.rate };
    });
  },

  async refused({ wasm, tables, payloads }) {
    const { PayloadCodec } = await load("payload.js");
    const codec = await PayloadCodec.open(readFileSync(wasm), bytes(tables));
    return payloads.map((payload) => {
      try {
        codec.decode(bytes(payload));
        return "";
      } catch (error) {
        return error.message;
      }
    });
  },

  async symbols({ z, gains, limit }) {
    const { quantised } = await load("payload.js");
    const values = new Float32Array(bytes(z).buffer);
    return gains.map((of) => text(quantised(values, of, limit)));
  },

  async crops({ frames }) {
    const { cropFace, toGrey } = await load("vision.js");
    return frames.map(({ rgba, width, height, boxes, cropping }) => {
      const grey = toGrey(bytes(rgba));
      return { grey: text(grey), crops: boxes.map((box) => text(cropFace(grey, width, height, box, cropping))) };
    });
  },

  async faces({ wasm, classifiers, frames }) {
    const { FaceDetector } = await load("frontal.js");
    const { findFaces } = await load("vision.js");
    const detector = await FaceDetector.open(readFileSync(wasm), readFileSync(classifiers));
    return frames.map(({ grey, width, height, limits }) =>
      findFaces(detector, bytes(grey), width, height, limits),
    );
  },

  async breaker({ cases }) {
    const { played } = await load("breaker.js");
    return cases.map(({ events }) => played(events));
  },

  async paths({ cases }) {
    const { played } = await load("policy.js");
    return cases.map(played);
  },
};

const [what, file] = process.argv.slice(2);
process.stdout.write(JSON.stringify(await RUN[what](JSON.parse(readFileSync(file, "utf8")))));
