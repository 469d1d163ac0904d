// The device's own part of the work: find faces, cut them out, run the head, run the local tail.

import { FaceDetector } from "./frontal.js";
import { PayloadCodec, SYMBOLS, quantised } from "./payload.js";
import { quality, trust } from "./quality.js";
import { CROP_SIDE, cropFace, findFaces, toGrey } from "./vision.js";
import { WeightsProblem } from "./weights.js";

const FEATURES = 116 * 28 * 28;
const SYMBOL_SHARE = 1e-4;
const LOGIT_TOLERANCE = 1e-4;
const LIMITS = { smallestFacePx: 40, mostFaces: 32 };
// Of the searched picture. A face is found where it has 80 px there.
export const SEARCH_SIDE_PX = 480;
export const QUICK_SEARCH_SIDE_PX = 320;

export class Device {
  #ort;
  #head;
  #tail;
  #codec;
  #detector;
  #rate;
  labels;
  labelSet;
  model;

  // `ort`: onnxruntime-web; `files`: { codec, frontal, classifiers } as bytes.
  static async open(ort, files, weights) {
    const { manifest } = weights;
    const device = new Device();
    device.#ort = ort;
    device.manifest = manifest;
    device.labels = manifest.labels;
    device.labelSet = labelSetOf(manifest);
    device.model = `${manifest.fingerprint}/local`;
    device.#rate = manifest.rates.findIndex((rate) => rate.name === manifest.default_rate);
    device.#codec = await PayloadCodec.open(files.codec, weights.tables);
    device.#detector = await FaceDetector.open(files.frontal, files.classifiers);
    const options = { executionProviders: ["wasm"], graphOptimizationLevel: "all" };
    device.#head = await ort.InferenceSession.create(weights.head, options);
    device.#tail = await ort.InferenceSession.create(weights.tail, options);
    await device.#check(weights.golden, weights.logits);
    return device;
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
    const count = crops.length / CROP_SIDE ** 2;
    const crop = new this.#ort.Tensor("uint8", crops, [count, 1, CROP_SIDE, CROP_SIDE]);
    const { features, z, latent } = await this.#head.run({ crop });
    // The first weights' head rounds by itself.
    return { features: features.data, z: z ? z.data : Float32Array.from(latent.data, (symbol) => symbol - 128) };
  }

  // The payload of each face at the default rate.
  payloads(z) {
    return this.#symbols(z, this.#rate).map((symbols) => this.#codec.encode(symbols, this.#rate));
  }

  // Features -> probabilities of each face by the device's own tail.
  async local(features) {
    const { temperature } = this.manifest.tails.local.answers[this.labelSet];
    const logits = (await this.#logits(features))[this.labelSet];
    return rows(logits, this.labels.length).map((row) => softmax(row, temperature));
  }

  #symbols(z, rate) {
    const { gains } = this.manifest.rates[rate];
    return rows(z, SYMBOLS).map((one) => quantised(one, gains, this.manifest.symbol_limit));
  }

  async #logits(features) {
    const input = new this.#ort.Tensor("float32", features, [features.length / FEATURES, 116, 28, 28]);
    const found = await this.#tail.run({ features: input });
    const only = this.#tail.outputNames.length === 1; // one label set, FER2013's
    return Object.fromEntries(
      this.#tail.outputNames.map((name) => [only ? "fer2013" : name, found[name].data]),
    );
  }

  // The golden input through head and tail, in this very browser. Throws a WeightsProblem.
  async #check(golden, expectedLogits) {
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
    for (const [labelSet, logits] of Object.entries(await this.#logits(features))) {
      const expected = expectedLogits[labelSet];
      const most = Math.max(1, ...expected.map(Math.abs));
      const away = Math.max(...logits.map((logit, i) => Math.abs(logit - expected[i])));
      if (!(away <= LOGIT_TOLERANCE * most)) {
        throw new WeightsProblem("weights", `The local tail is off by ${away.toPrecision(2)} in this browser.`);
      }
    }
  }
}

// Whose labels are answered where nobody says: those of the crowd, where every tail has them.
function labelSetOf({ tails }) {
  return Object.values(tails).every((tail) => "crowd" in tail.answers) ? "crowd" : "fer2013";
}

function rows(values, length) {
  return Array.from({ length: values.length / length }, (_, i) => values.subarray(i * length, (i + 1) * length));
}

function softmax(logits, temperature) {
  const scaled = Array.from(logits, (logit) => logit / temperature);
  const most = Math.max(...scaled);
  const powers = scaled.map((value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}
