// A network that answers on the device: the local tail, which takes the head's features, or one
// that takes crops and needs no head.

import { CROP_SIDE } from "./vision.js";
import { WeightsProblem } from "./weights.js";

export const OPTIONS = { executionProviders: ["wasm"], graphOptimizationLevel: "all" };
export const LARGER = "local"; // the weights' own local tail
const FEATURES = [116, 28, 28];
const FEATURES_SIZE = 116 * 28 * 28;
const LOGIT_TOLERANCE = 1e-4;
// What a lighter one may be right less often.
const MOST_LOST = 0.01;

export class LocalModel {
  #ort;
  #session;
  #temperature;
  #labelSet;
  #classes;
  name;
  model; // as answers name it

  static async open(ort, bytes, name, manifest, labelSet) {
    const made = new LocalModel();
    made.#ort = ort;
    made.#session = await ort.InferenceSession.create(bytes, OPTIONS);
    made.#temperature = manifest.tails[name].answers[labelSet].temperature;
    made.#labelSet = labelSet;
    made.#classes = manifest.labels.length;
    made.name = name;
    made.model = `${manifest.fingerprint}/${name}`;
    return made;
  }

  get takesCrops() {
    return this.#session.inputNames[0] === "crop";
  }

  // { crops, features }, of which it takes one -> probabilities of each face.
  async run(faces) {
    const logits = (await this.#logits(faces))[this.#labelSet];
    return rows(logits, this.#classes).map((row) => softmax(row, this.#temperature));
  }

  // Throws a WeightsProblem where golden faces do not give these logits, by label set.
  async check(faces, expected) {
    for (const [labelSet, logits] of Object.entries(await this.#logits(faces))) {
      const most = Math.max(1, ...expected[labelSet].map(Math.abs));
      const away = Math.max(...logits.map((logit, i) => Math.abs(logit - expected[labelSet][i])));
      if (!(away <= LOGIT_TOLERANCE * most)) {
        throw new WeightsProblem("weights", `${this.name}: a logit is off by ${away.toPrecision(2)} in this browser.`);
      }
    }
  }

  async #logits({ crops, features }) {
    const input = this.takesCrops
      ? { crop: cropTensor(this.#ort, crops) }
      : { features: new this.#ort.Tensor("float32", features, [features.length / FEATURES_SIZE, ...FEATURES]) };
    const found = await this.#session.run(input);
    const names = this.#session.outputNames;
    // Where there is one label set, it is FER2013's.
    return Object.fromEntries(names.map((name) => [names.length === 1 ? "fer2013" : name, found[name].data]));
  }
}

export function cropTensor(ort, crops) {
  return new ort.Tensor("uint8", crops, [crops.length / CROP_SIDE ** 2, 1, CROP_SIDE, CROP_SIDE]);
}

// The best of the weights' other local models with a smaller file, where it is hardly less often right; else
// null. Those in 8 bits are for processors whose kernels they were measured with, not for WebAssembly.
export function lighterOf({ tails, bytes }, labelSet) {
  const right = (name) => Object.values(tails[name].answers[labelSet]?.accuracy ?? {})[0] ?? -1;
  const others = Object.keys(tails).filter((name) => tails[name].path === "local" && name !== LARGER);
  const size = (name) => bytes[tails[name].file];
  const names = others.filter((name) => !name.endsWith("-int8") && size(name) < size(LARGER));
  const best = names.sort((a, b) => right(b) - right(a))[0];
  return best && right(best) >= right(LARGER) - MOST_LOST ? best : null;
}

export function rows(values, length) {
  return Array.from({ length: values.length / length }, (_, i) => values.subarray(i * length, (i + 1) * length));
}

function softmax(logits, temperature) {
  const scaled = Array.from(logits, (logit) => logit / temperature);
  const most = Math.max(...scaled);
  const powers = scaled.map((value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}
