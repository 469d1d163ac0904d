// Upright faces in a grey picture, by dlib's frontal detector: the boxes that a Python edge has.

import { Wasm } from "./wasm.js";

const CELL = 8;
const WINDOW = 10;
const PAD_BEFORE = 4;
const RECORD_BYTES = 16;
// dlib's own for this detector: two windows are one face where their common part is more than the
// first share of both together, or more than the second of either.
const MOST_SHARED = 0.33008212188056446;
const MOST_COVERED = 0.7885714285714286;

export class FaceDetector {
  #wasm;

  // `module`: the bytes of frontal.wasm; `classifiers`: those of frontal.bin.
  static async open(module, classifiers) {
    const made = new FaceDetector();
    made.#wasm = await Wasm.from(module);
    if (!made.#wasm.call.frontal_open(made.#wasm.keep(classifiers), classifiers.length)) {
      throw new Error("frontal.bin holds no classifiers");
    }
    return made;
  }

  // Grey Uint8Array (height, width) -> [{ score, left, top, right, bottom }], surest first; the
  // last pixels belong to the face.
  search(grey, width, height) {
    const { call } = this.#wasm;
    const at = call.frontal_picture(width, height);
    if (!at) throw new Error("no memory");
    this.#wasm.bytes(at, grey.length).set(grey);
    const count = call.frontal_search(width, height);
    const view = this.#wasm.view(call.frontal_found(), count * RECORD_BYTES);
    const windows = Array.from({ length: count }, (_, i) => windowOf(view, i * RECORD_BYTES));
    windows.sort((a, b) => b.score - a.score);
    const faces = [];
    for (const one of windows) if (!faces.some((face) => same(face, one))) faces.push(one);
    return faces;
  }
}

function windowOf(view, at) {
  const level = view.getInt32(at + 4, true);
  const top = view.getInt32(at + 8, true);
  const left = view.getInt32(at + 12, true);
  const edge = (cell) => {
    let pixel = (cell + 1 - PAD_BEFORE) * CELL + 1;
    pixel += pixel >= 0 ? CELL / 2 : -CELL / 2;
    for (let up = 0; up < level; up++) pixel = pixel * 1.2 + 0.3;
    return Math.floor(pixel + 0.5);
  };
  return {
    score: view.getFloat32(at, true),
    left: edge(left),
    top: edge(top),
    right: edge(left + WINDOW - 1),
    bottom: edge(top + WINDOW - 1),
  };
}

function area(left, top, right, bottom) {
  return left > right || top > bottom ? 0 : (right - left + 1) * (bottom - top + 1);
}

function same(a, b) {
  const common = area(
    Math.max(a.left, b.left), Math.max(a.top, b.top),
    Math.min(a.right, b.right), Math.min(a.bottom, b.bottom),
  );
  const both = area(
    Math.min(a.left, b.left), Math.min(a.top, b.top),
    Math.max(a.right, b.right), Math.max(a.bottom, b.bottom),
  );
  const own = (one) => area(one.left, one.top, one.right, one.bottom);
  return common / both > MOST_SHARED || common / own(a) > MOST_COVERED || common / own(b) > MOST_COVERED;
}
