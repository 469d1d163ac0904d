// The device's own part of the work: find faces, cut them out, run the head, answer.

import { FaceDetector } from "./frontal.js";
import { LARGER, LocalModel, OPTIONS, cropTensor, lighterOf, rows } from "./local_model.js";
import { PayloadCodec, SYMBOLS, quantised } from "./payload.js";
import { quality, trust } from "./quality.js";
import { CROP_SIDE, cropFace, findFaces, toGrey } from "./vision.js";
import { WeightsProblem, logitsOf } from "./weights.js";

const SYMBOL_SHARE = 1e-4;
const LIMITS = { smallestFacePx: 40, mostFaces: 32 };
// Of the searched picture. A face is found where it has 80 px there.
export const SEARCH_SIDE_PX = 480;
export const QUICK_SEARCH_SIDE_PX = 320;

export class Device {
  #ort;
  #head;
  #codec;
  #detector;
  #rate;
  #golden;
  labels;
  labelSet;
  // Local models: the weights' own, and once `addLighter` was called another one.
  larger;
  lighter = null;

  // `ort`: onnxruntime-web; `files`: { codec, frontal, classifiers } as bytes.
  static async open(ort, files, weights) {
    const { manifest } = weights;
    const device = new Device();
    device.#ort = ort;
    device.manifest = manifest;
    device.labels = manifest.labels;
    device.labelSet = labelSetOf(manifest);
    device.#rate = manifest.rates.findIndex((rate) => rate.name === manifest.default_rate);
    device.#codec = await PayloadCodec.open(files.codec, weights.tables);
    device.#detector = await FaceDetector.open(files.frontal, files.classifiers);
    device.#golden = weights.golden;
    device.#head = await ort.InferenceSession.create(weights.head, OPTIONS);
    device.larger = await LocalModel.open(ort, weights.tail, LARGER, manifest, device.labelSet);
    await device.#check(weights.logits);
    return device;
  }

  // The name of the lighter local model that the weights have for this device, or null.
  get lighterName() {
    return lighterOf(this.manifest, this.labelSet);
  }

  // Takes that file. Throws a WeightsProblem where it comes out wrong here.
  async addLighter(bytes) {
    const name = this.lighterName;
    const model = await LocalModel.open(this.#ort, bytes, name, this.manifest, this.labelSet);
    const crops = this.#golden.crops.data;
    const features = model.takesCrops ? null : (await this.head(crops)).features;
    await model.check({ crops, features }, logitsOf(this.manifest, this.#golden, name));
    this.lighter = model;
  }

  // What one face takes now: { head, tail }, ms, of the larger local model or of this one.
  async measured(model = this.larger) {
    const crops = this.#golden.crops.data.subarray(0, CROP_SIDE ** 2);
    const times = { head: 0, tail: 0 };
    for (let run = 0; run < 2; run++) { // the first one is slow
      const start = performance.now();
      const { features } = model.takesCrops ? {} : await this.head(crops);
      times.head = performance.now() - start;
      await model.run({ crops, features });
      times.tail = performance.now() - start - times.head;
    }
    return times;
  }

  // RGBA -> grey Uint8Array.
  grey(rgba) {
    return toGrey(rgba);
  }

  // Boxes in a grey frame, the largest first.
  find(grey, width, height, searchSidePx = SEARCH_SIDE_PX) {
    return findFaces(this.#detector, grey, width, height, { ...LIMITS, searchSidePx });
  }

  // Crops of boxes, Uint8Array (N, 224, 224).
  crops(grey, width, height, boxes) {
    const all = new Uint8Array(boxes.length * CROP_SIDE ** 2);
    boxes.forEach((box, i) => all.set(cropFace(grey, width, height, box, this.manifest.crop), i * CROP_SIDE ** 2));
    return all;
  }

  // 0 to 1: how much each crop shows.
  qualities(crops, boxes) {
    const { scale } = this.manifest.crop;
    return rows(crops, CROP_SIDE ** 2).map((crop, i) => quality(crop, (scale * (boxes[i][2] + boxes[i][3])) / 2));
  }

  // How far to go by probabilities, for a picture of this quality.
  trust(probabilities, quality) {
    return trust(probabilities, quality, this.manifest.priors?.[this.labelSet] ?? null);
  }

  // Crops -> { features, z }, Float32Arrays (N, 116, 28, 28) and (N, 8, 28, 28).
  async head(crops) {
    const { features, z, latent } = await this.#head.run({ crop: cropTensor(this.#ort, crops) });
    // The first weights' head rounds by itself.
    return { features: features.data, z: z ? z.data : Float32Array.from(latent.data, (symbol) => symbol - 128) };
  }

  // The payload of each face at the default rate.
  payloads(z) {
    return this.#symbols(z, this.#rate).map((symbols) => this.#codec.encode(symbols, this.#rate));
  }

  #symbols(z, rate) {
    const { gains } = this.manifest.rates[rate];
    return rows(z, SYMBOLS).map((one) => quantised(one, gains, this.manifest.symbol_limit));
  }

  // The golden input through head and tail, in this very browser. Throws a WeightsProblem.
  async #check(expectedLogits) {
    const golden = this.#golden;
    const { features, z } = await this.head(golden.crops.data);
    const symbols = this.#symbols(z, this.#rate);
    let off = 0;
    let furthest = 0;
    symbols.forEach((one, face) =>
      one.forEach((symbol, i) => {
        const distance = Math.abs(symbol - golden.latents.data[face * SYMBOLS + i]);
        off += distance > 0;
        furthest = Math.max(furthest, distance);
      }),
    );
    if (furthest > 1 || off > Math.max(1, SYMBOL_SHARE * symbols.length * SYMBOLS)) {
      throw new WeightsProblem("weights", `The head gives wrong latents in this browser: ${off} symbols differ.`);
    }
    await this.larger.check({ features }, expectedLogits);
  }
}

// Whose labels are answered where nobody says: those of the crowd, where every tail has them.
function labelSetOf({ tails }) {
  return Object.values(tails).every((tail) => "crowd" in tail.answers) ? "crowd" : "fer2013";
}
