// The page: the camera's frames go to the worker, one at a time, and its answers are shown.

import { Camera, available } from "../page/camera.js";
import { chosen, keepChoice, keepToken, token } from "../page/memory.js";
import { anyKept, countFailed, countFrame, hideBoxes, showAnswer, showCost } from "./answers.js";
import { keepOffline, onOtherVersion } from "./offline.js";

const LONGER_SIDE_PX = 640;
const FILES = 8; // that the worker loads
// Choices, and under which name each is kept for the next visit.
const KEPT = { wanted: "splitfer-answers-from", own: "splitfer-own-network" };
const LINK_WORDS = {
  none: "not started", ready: "server", connecting: "no server yet", open: "no server", half_open: "no server",
};

const at = (id) => document.getElementById(id);
const camera = new Camera(at("video"));
const canvas = document.createElement("canvas");
const pen = canvas.getContext("2d", { willReadFrequently: true });
let worker = null;
let ready = null; // the promise of a worker that answers
let turn = 0; // of start and stop: what an earlier one waited for is no longer wanted
let on = false; // whether the camera is to be
let facing = "user";
let loadedFiles = 0;
let frameId = 0;
let outdated = false; // whether a new worker would be of another version
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
  loadedFiles = 0;
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
  if (outdated) return reload();
  try {
    await keepOffline(script);
    return await openWorker();
  } catch (error) {
    forgetWorker();
    throw error;
  }
}

// What is on its way to the end of the page has no end.
function reload() {
  location.reload();
  return new Promise(() => {});
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
  loaded() {
    at("progress").value = ++loadedFiles / FILES;
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
    countFailed(faces);
    showProblem("This device failed on a frame.", `${words} (${code})`);
    if (id === undefined || id === frameId) waiting?.(null);
  },
};

function settings() {
  worker?.postMessage({ type: "settings", wanted: at("wanted").value, own: at("own").value, token: token() });
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
    at("loading").textContent = "Loading, about 7 MB the first time";
    const { lighter } = await (ready ??= makeReady());
    if (mine !== turn) return;
    at("own-choice").hidden = !lighter;
    settings();
  } catch (error) {
    if (mine !== turn) return;
    stop();
    document.body.dataset.state = "empty";
    at("answer").hidden = !anyKept();
    at("loading").textContent = "Ready when you are";
    showProblem(error.message, error.detail ?? "");
    if (error.code === "unauthorised") {
      at("ask-token").hidden = false;
      at("token").focus();
    }
    return;
  }
  at("progress").hidden = true;
  document.body.dataset.state = "running";
  for (const id of ["frame", "turn"]) at(id).hidden = false;
  run(mine);
}

async function openCamera() {
  const came = await camera.start("", () => {
    stop();
    showProblem("The camera went away.", "It was unplugged, another program took it, or it is no longer allowed.");
  }, facing);
  if (came) at("video").classList.toggle("mirrored", camera.mirrored);
  return came;
}

function stop() {
  turn++;
  on = false;
  camera.stop();
  hideBoxes();
  if (document.activeElement === at("turn")) at("start").focus(); // which stays
  for (const id of ["frame", "turn", "progress"]) at(id).hidden = true;
  at("loading").textContent = "Stopped";
  at("start").textContent = "Start the camera";
  document.body.dataset.state = "stopped";
}

async function run(mine) {
  const times = [];
  while (mine === turn) {
    await shown();
    await seeing(mine);
    await nextPicture();
    if (mine !== turn) return;
    const answer = await ask();
    if (mine !== turn) return;
    if (!answer) continue;
    times.push(performance.now());
    if (times.length > 20) times.shift();
    const ratePerS = times.length > 1 ? (1000 * (times.length - 1)) / (times.at(-1) - times[0]) : null;
    showAnswer(answer, ratePerS, camera.mirrored, canvas);
  }
}

// Nobody sees a page in the background, and its camera may stand still.
function shown() {
  if (!document.hidden) return null;
  return new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
}

// While a call, or another program, has the camera, its video stands still: nothing is answered.
async function seeing(mine) {
  if (!camera.muted) return;
  showProblem("The camera gives no picture.", "A call or another program may have it. The page goes on once it is back.");
  await camera.unmuted();
  if (mine === turn) hideProblem();
}

function nextPicture() {
  const video = at("video");
  if (video.paused) video.play().catch(() => {}); // as a browser left it whose page was away
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
  const takenMs = performance.now();
  pen.drawImage(at("video"), 0, 0, canvas.width, canvas.height);
  const { data, width, height } = pen.getImageData(0, 0, canvas.width, canvas.height);
  countFrame();
  return new Promise((done) => {
    waiting = done;
    const ageMs = performance.now() - takenMs;
    worker.postMessage({ type: "frame", id: ++frameId, rgba: data, width, height, ageMs }, [data.buffer]);
  });
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

at("start").addEventListener("click", () => (on ? (hideProblem(), stop()) : start()));
at("turn").addEventListener("click", async () => {
  facing = facing === "user" ? "environment" : "user";
  await openCamera().catch((error) => (stop(), showProblem(error.message, error.detail ?? "")));
});
for (const [id, key] of Object.entries(KEPT)) {
  const before = [...at(id).options].find(({ value }) => value === chosen(key));
  if (before) at(id).value = before.value;
  at(id).addEventListener("change", () => {
    keepChoice(key, at(id).value);
    if (document.body.dataset.state === "running") settings(); // else the start does
  });
}
addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  if (at("ask-token").contains(document.activeElement)) at("start").focus();
  at("ask-token").hidden = true;
  hideProblem();
});
at("ask-token").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(at("token").value.trim());
  at("token").value = "";
  at("ask-token").hidden = true;
  if (document.body.dataset.state === "running") settings();
  else start();
});
for (const name of ["online", "offline"]) {
  addEventListener(name, () => worker?.postMessage({ type: "network", lost: name === "offline" }));
}

onOtherVersion(() => {
  outdated = true;
  if (document.body.dataset.state === "empty" && !at("token").value) reload();
});
addEventListener("pagehide", () => on && stop()); // a page that comes back must not have it on

if (!available) {
  at("start").disabled = true;
  at("insecure").hidden = window.isSecureContext;
}
