// The page: the camera's frames go to the worker, one at a time, and its answers are shown.

import { amount } from "../page/api.js";
import { Camera, available } from "../page/camera.js";
import { chosen, keepChoice, keepToken, token } from "../page/memory.js";
import { Boxes, Cards, sentence } from "../page/view.js";
import { keepOffline } from "./offline.js";
import { SENTENCES } from "./reasons.js";

const LONGER_SIDE_PX = 640;
const WANTED = "splitfer-answers-from";
const KEPT_LINES = 36_000; // an hour at ten a second, some 25 MB
const LINK_WORDS = {
  none: "not started", ready: "server", connecting: "no server yet", open: "no server", half_open: "no server",
};

const at = (id) => document.getElementById(id);
const ms = (value) => (value < 10 ? value.toFixed(1) : value.toFixed(0)) + " ms";
const camera = new Camera(at("video"));
const boxes = new Boxes();
const cards = new Cards();
const canvas = document.createElement("canvas");
const pen = canvas.getContext("2d", { willReadFrequently: true });
const lines = []; // JSON, which takes less room than objects
const counts = { frames: 0, found: 0, answered: 0, failed: 0, cloud: 0, local: 0, sent_bytes: 0 };
let worker = null;
let ready = null; // the promise of a worker that answers
let turn = 0; // of start and stop: what an earlier one waited for is no longer wanted
let on = false; // whether the camera is to be
let facing = "user";
let loadedBytes = 0;
let frameId = 0;
let waiting = null; // what the answer to frame `frameId` resolves

// -- scripts: the page's policy takes addresses of scripts from here alone --------------------------

const scripts = globalThis.trustedTypes?.createPolicy("edge", {
  createScriptURL: (name) => new URL(name, import.meta.url).href,
});
const script = (name) => scripts?.createScriptURL(name) ?? new URL(name, import.meta.url).href;

// -- the worker ---------------------------------------------------------------------------------------

function openWorker() {
  worker?.terminate();
  worker = new Worker(script("worker.js"), { type: "module" });
  loadedBytes = 0;
  return new Promise((done, failed) => {
    worker.addEventListener("error", (event) => {
      failed(new Error(event.message || "The worker could not be started."));
      broke(event.message || "It may have run out of memory.");
    });
    worker.addEventListener("message", ({ data }) => {
      if (data.type === "ready") done(data);
      else if (data.type === "problem" && data.during === "open") failed(Object.assign(new Error(data.sentence), data));
      else HEAR[data.type]?.(data);
    });
    worker.postMessage({ type: "open", token: token() });
  });
}

async function makeReady() {
  try {
    await keepOffline(script);
    await openWorker();
  } catch (error) {
    forgetWorker();
    throw error;
  }
}

function forgetWorker() {
  worker?.terminate();
  worker = ready = null;
}

// A worker that answered breaks: what it was asked has no answer, and no other frame will have one.
function broke(why) {
  if (document.body.dataset.state !== "running") return;
  forgetWorker();
  stop();
  showProblem("This device's part broke off. Start it again.", why);
}

const HEAR = {
  loaded({ bytes }) {
    loadedBytes += bytes;
    at("loading").textContent = `Loading: ${amount(loadedBytes)}`;
  },
  link({ state, cause }) {
    at("link").dataset.state = state;
    at("link-word").textContent = LINK_WORDS[state];
    at("ask-token").hidden = cause !== "unauthorised" || state === "ready";
    if (cause === "model_mismatch" && state !== "ready") {
      showProblem("The server has other weights now. Load this page again.", "");
    }
  },
  answer(data) {
    if (data.id === frameId) waiting?.(data);
  },
  note({ sentence: words }) {
    showProblem("This browser rounds otherwise than others.", words);
  },
  problem({ id, sentence: words, code, faces }) {
    counts.found += faces;
    counts.failed += faces;
    showProblem("This device failed on a frame.", `${words} (${code})`);
    if (id === undefined || id === frameId) waiting?.(null);
  },
};

function settings() {
  worker?.postMessage({ type: "settings", wanted: at("wanted").value, token: token() });
}

// -- frames -------------------------------------------------------------------------------------------

async function start() {
  const mine = ++turn;
  on = true;
  hideProblem();
  at("start").textContent = "Stop";
  document.body.dataset.state = "loading";
  at("answer").hidden = false; // now, where a tap is the cause: later it would push things about
  showCost([], null);
  at("loading").textContent = "Waiting for the camera: the browser may ask whether this page gets it";
  at("progress").hidden = false;
  at("progress").removeAttribute("value");
  try {
    // The camera first: iOS gives it only to what a tap began.
    if (!(await openCamera())) return;
    at("loading").textContent = loadedBytes ? `Loading: ${amount(loadedBytes)}` : "Loading, about 7 MB the first time";
    await (ready ??= makeReady());
    if (mine !== turn) return;
    settings();
  } catch (error) {
    if (mine !== turn) return;
    stop();
    document.body.dataset.state = "empty";
    at("answer").hidden = !lines.length;
    at("loading").textContent = "Ready when you are";
    if (error.code === "unauthorised") at("ask-token").hidden = false;
    return showProblem(error.message, error.detail ?? "");
  }
  at("progress").hidden = true;
  document.body.dataset.state = "running";
  for (const id of ["frame", "turn"]) at(id).hidden = false;
  run(mine);
}

async function openCamera() {
  const came = await camera.start("", () => {
    stop();
    showProblem("The camera went away.", "Another program may have taken it, or it was unplugged.");
  }, facing);
  if (came) at("video").classList.toggle("mirrored", camera.mirrored);
  return came;
}

function stop() {
  turn++;
  on = false;
  camera.stop();
  boxes.show(null);
  for (const id of ["frame", "turn", "progress"]) at(id).hidden = true;
  at("loading").textContent = "Stopped";
  at("start").textContent = "Start the camera";
  document.body.dataset.state = "stopped";
}

async function run(mine) {
  const times = [];
  while (mine === turn) {
    await shown();
    await nextPicture();
    if (mine !== turn) return;
    const answer = await ask();
    if (mine !== turn) return;
    if (!answer) continue;
    times.push(performance.now());
    if (times.length > 20) times.shift();
    show(answer, times.length > 1 ? (1000 * (times.length - 1)) / (times.at(-1) - times[0]) : null);
  }
}

// Nobody sees a page in the background, and its camera may stand still.
function shown() {
  if (!document.hidden) return null;
  return new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
}

function nextPicture() {
  const video = at("video");
  return new Promise((done) => {
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(done);
    else requestAnimationFrame(done);
    setTimeout(done, 500); // a video that stands still
  });
}

// The canvas as large as the camera's picture is now: a phone that is turned turns it, too.
function fit() {
  const { videoWidth, videoHeight } = at("video");
  if (!videoWidth) return; // between two cameras
  const ratio = Math.min(1, LONGER_SIDE_PX / Math.max(videoWidth, videoHeight));
  const [width, height] = [videoWidth, videoHeight].map((side) => Math.round(side * ratio));
  if (canvas.width === width && canvas.height === height) return;
  Object.assign(canvas, { width, height });
  at("shown").style.setProperty("--ratio", width / height);
}

// The picture of now through the worker.
function ask() {
  fit();
  const takenMs = performance.timeOrigin + performance.now();
  pen.drawImage(at("video"), 0, 0, canvas.width, canvas.height);
  const { data, width, height } = pen.getImageData(0, 0, canvas.width, canvas.height);
  counts.frames++;
  return new Promise((done) => {
    waiting = done;
    worker.postMessage({ type: "frame", id: ++frameId, rgba: data, width, height, takenMs }, [data.buffer]);
  });
}

// -- answers ------------------------------------------------------------------------------------------

function show({ id, width, height, faces }, ratePerS) {
  const seen = faces.map((face) => {
    const [label] = Object.entries(face.probabilities).reduce((a, b) => (b[1] > a[1] ? b : a));
    return { ...face, label };
  });
  counts.found += seen.length;
  for (const face of seen) {
    counts.answered++;
    counts[face.path]++;
    counts.sent_bytes += face.sent_bytes;
    lines.push(`${JSON.stringify({ frame: id, width, height, taken: new Date().toISOString(), ...face })}\n`);
  }
  if (lines.length > KEPT_LINES) lines.splice(0, lines.length - KEPT_LINES);
  at("save").disabled = !lines.length;
  boxes.show({ width, height, faces: seen }, camera.mirrored);
  cards.show(seen);
  seen.forEach((face, i) => showWay(at("faces").children[i], face));
  const words = sentence(seen);
  if (at("status").textContent !== words) at("status").textContent = words;
  announce(seen);
  showCost(seen, ratePerS);
  // For whoever builds on this page: the answer, and the picture that it is of.
  dispatchEvent(new CustomEvent("answer", { detail: { id, width, height, faces: seen, counts, picture: canvas } }));
}

function showWay(card, { path, reason }) {
  let line = card.querySelector(".way-word");
  if (!line) {
    line = document.createElement("p");
    line.className = "way-word";
    line.append(document.createElement("b"), document.createElement("span"));
    card.append(line);
  }
  line.children[0].textContent = path;
  line.children[1].textContent = reason ? ` · ${SENTENCES[reason]}` : path === "cloud" ? " · by the server" : " · by this device";
}

// A screen reader hears of changes, not of frames.
let announced = "";
function announce(faces) {
  const words = faces.map((face) => face.label + (face.uncertain ? ", uncertain" : "")).join("; ") || "no face";
  const path = faces[0]?.path ?? "";
  if (`${words}${path}` === announced) return;
  announced = `${words}${path}`;
  at("announced").textContent = path ? `${words}, ${path}` : words;
}

let detectMs = null; // of the last frame that was searched
function showCost(faces, ratePerS) {
  detectMs = faces[0]?.latency_ms.detect ?? detectMs;
  const { head, encode, link, tail, total } = faces[0]?.latency_ms ?? {};
  const stages = [
    ["Finding faces", detectMs], ["First part of the network", head], ["Encoding", encode],
    ["On the way", link], ["The rest of the network", tail], ["From the frame to the answer", total],
  ];
  fill("times", stages.map(([name, value]) => [name, value == null ? "–" : ms(value)]));
  const sent = faces.reduce((sum, face) => sum + face.sent_bytes, 0);
  fill("wire", [
    ["Sent for this frame", amount(sent)],
    ["Sent in all", amount(counts.sent_bytes)],
    ["Answers: server, this device", `${counts.cloud}, ${counts.local}`],
    ["Frames answered a second", ratePerS === null ? "–" : ratePerS.toFixed(1)],
  ]);
}

function fill(id, rows) {
  const list = at(id);
  while (list.children.length < 2 * rows.length) {
    list.append(document.createElement("dt"), document.createElement("dd"));
  }
  rows.flat().forEach((words, place) => (list.children[place].textContent = words));
}

// -- the rest -----------------------------------------------------------------------------------------

function showProblem(words, detail) {
  at("sentence").textContent = words;
  at("detail").textContent = detail;
  at("problem").hidden = false;
}

function hideProblem() {
  at("problem").hidden = true;
}

at("start").addEventListener("click", () => (on ? stop() : start()));
at("turn").addEventListener("click", async () => {
  facing = facing === "user" ? "environment" : "user";
  await openCamera().catch((error) => (stop(), showProblem(error.message, error.detail ?? "")));
});
at("wanted").addEventListener("change", () => {
  keepChoice(WANTED, at("wanted").value);
  if (document.body.dataset.state === "running") settings(); // else the start does
});
at("ask-token").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(at("token").value.trim());
  at("token").value = "";
  at("ask-token").hidden = true;
  if (document.body.dataset.state === "running") settings();
  else start();
});
at("save").addEventListener("click", () => {
  const url = URL.createObjectURL(new Blob(lines, { type: "application/x-ndjson" }));
  Object.assign(document.createElement("a"), { href: url, download: "answers.jsonl" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
});
for (const name of ["online", "offline"]) {
  addEventListener(name, () => worker?.postMessage({ type: "network", lost: name === "offline" }));
}

addEventListener("pagehide", () => on && stop()); // a page that comes back must not have it on

const before = [...at("wanted").options].find(({ value }) => value === chosen(WANTED));
if (before) at("wanted").value = before.value;
if (!available) {
  at("start").disabled = true;
  at("insecure").hidden = window.isSecureContext;
}
