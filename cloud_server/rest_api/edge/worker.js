// The edge, away from the page's own thread: frames in, answers out.

import * as ort from "./ort.mjs";
import { Device } from "./device.js";
import { Link } from "./link.js";
import { Offload } from "./offload.js";
import { loadFile, loadWeights } from "./weights.js";

const here = new URL(".", import.meta.url);
const root = new URL("..", here).href;
const weightsRoot = new URL("weights/", here).href;
let token = "";
let link = null;
let offload = null;

const ask = (url) => fetch(url, token ? { headers: { Authorization: `Bearer ${token}` } } : {});

async function bytesOf(name) {
  const response = await fetch(new URL(name, here));
  if (!response.ok) throw new Error(`${name}: the server answered ${response.status}.`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  postMessage({ type: "loaded" });
  return bytes;
}

async function open() {
  const told = () => postMessage({ type: "loaded" });
  const names = ["codec.wasm", "frontal.wasm", "frontal.bin", "ort.wasm"];
  const load = (half) => loadWeights(weightsRoot, ask, told, half);
  const weights = await load(true);
  const [codec, frontal, classifiers, runtime] = await Promise.all(names.map(bytesOf));
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = runtime;
  const start = performance.now();
  const device = await opened({ codec, frontal, classifiers }, weights, load);
  const { fingerprint } = weights.manifest;
  link = new Link(root, fingerprint, ({ state, cause }) => postMessage({ type: "link", state, cause }));
  link.token = token;
  offload = new Offload(device, link, () => loadLighter(device));
  await offload.measure();
  link.keep();
  const { lighterName: lighter } = device;
  postMessage({ type: "ready", fingerprint, lighter, startMs: performance.now() - start });
}

// With the smaller file of the local tail where it comes out right here, else with the whole one.
async function opened(files, weights, load) {
  try {
    return await Device.open(ort, files, weights);
  } catch (error) {
    if (error.code !== "weights" || !weights.manifest.half) throw error;
    const device = await Device.open(ort, files, await load(false));
    postMessage({ type: "note", sentence: `The larger file was loaded. ${error.message}` });
    return device;
  }
}

// The device's lighter network, and a word to the page where it does not come out right here.
async function loadLighter(device) {
  const entry = device.manifest.tails[device.lighterName];
  const bytes = await loadFile(weightsRoot, device.manifest, entry, ask);
  try {
    await device.addLighter(bytes);
  } catch (error) {
    postMessage({ type: "note", sentence: `The larger network goes on. ${error.message}` });
    throw Object.assign(error, { lasts: true });
  }
}

async function answer({ id, rgba, width, height, ageMs }) {
  // Clocks of threads begin at different instants, and that of the day may have been set between.
  const frame = { rgba, width, height, takenMs: performance.now() - ageMs };
  const faces = await offload.answer(frame);
  postMessage({ type: "answer", id, width, height, faces });
}

const DO = {
  open: async (message) => {
    token = message.token;
    await open();
  },
  frame: answer,
  settings: ({ wanted, own, deadlineMs, token: given }) => {
    if (wanted) offload.wanted = wanted;
    if (own) offload.ownWanted = own;
    if (deadlineMs) offload.deadlineMs = deadlineMs;
    if (given !== undefined) link.token = token = given;
    link.tryNow();
  },
  network: ({ lost }) => (lost ? link?.networkLost() : link?.tryNow()),
};

addEventListener("message", async ({ data }) => {
  try {
    await DO[data.type](data);
  } catch (error) {
    const code = error.code ?? "device";
    const faces = data.type === "frame" ? offload.faces : 0; // that have no answer
    postMessage({ type: "problem", during: data.type, id: data.id, code, sentence: error.message, faces });
  }
});
