// Pictures in, answers out: what a person does on the page, tied to the API and the view.

import { Problem, amount, askFaces, curlCommand } from "./api.js";
import { Camera, available, reduced, webcams } from "./camera.js";
import { keepToken, token } from "./memory.js";
import { Boxes, Cards, sentence, showCost } from "./view.js";

const SMALLER_SIDE_PX = 1600;
const ANNOUNCE_EVERY_MS = 4000; // a screen reader cannot follow a webcam frame by frame
const WHERE_NONE = "Faces that are small in the picture, or turned, are missed: try a part of it.";
const EXAMPLE_CREDIT = "Eileen Collins; NASA, public domain";

const at = (id) => document.getElementById(id);
const picture = at("picture");
const boxes = new Boxes();
const cards = new Cards();
const camera = new Camera(at("video"));

let sent = null; // what was sent last: { blob, name }
let asking = null; // AbortController of the request under way
let running = false; // whether the webcam is
let retry = null; // what to do again once there is a token
let pictureUrl = null;

// --- A still picture

async function showStill(blob, name, credit = "") {
  leaveCamera();
  hideProblem();
  const mine = (asking = new AbortController());
  sent = { blob, name };
  const caption = [name, amount(blob.size), credit].filter(Boolean);
  setState("busy");
  at("answer").hidden = false;
  say("Looking for faces…");
  boxes.show(null);
  const seen = await showPicture(blob, name);
  if (mine.signal.aborted) return;
  if (seen) caption.splice(1, 0, `${picture.naturalWidth} × ${picture.naturalHeight}`);
  at("caption").textContent = caption.join(" · ");
  try {
    const result = await askFaces(blob, token(), mine.signal);
    setState("shown");
    showResult(result);
    const some = result.body.faces.length > 0;
    say(some ? sentence(result.body.faces) : `${sentence([])} ${WHERE_NONE}`);
  } catch (error) {
    if (mine.signal.aborted) return;
    setState("shown");
    clearAnswer();
    const large = ["too_large", "unreachable", "deadline"].includes(error.code);
    const smaller = seen && large && Math.max(picture.naturalWidth, picture.naturalHeight) > SMALLER_SIDE_PX;
    showProblem(error, smaller, () => showStill(blob, name, credit));
  }
}

// Whether the browser could show it; the server may read it all the same, or say why not.
async function showPicture(blob, name) {
  forgetPicture();
  const mine = (pictureUrl = URL.createObjectURL(blob));
  picture.src = mine;
  picture.alt = name;
  const seen = await picture.decode().then(() => true, () => false);
  if (pictureUrl !== mine) return false; // another one came meanwhile
  at("shown").hidden = !seen;
  picture.hidden = false;
  at("frame").hidden = false;
  if (seen) setRatio(picture.naturalWidth, picture.naturalHeight);
  return seen;
}

function forgetPicture() {
  if (pictureUrl) URL.revokeObjectURL(pictureUrl);
  pictureUrl = null;
  picture.hidden = true;
}

async function sendSmaller() {
  const { naturalWidth: width, naturalHeight: height } = picture;
  const blob = await reduced(picture, width, height, SMALLER_SIDE_PX, 0.85);
  await showStill(blob, `${sent.name.replace(/\.\w+$/, "")}-smaller.jpg`);
}

async function showExample() {
  let blob;
  try {
    const response = await fetch("page/example.jpg");
    if (!response.ok) throw new Error(`The server answered ${response.status}.`);
    blob = await response.blob();
  } catch (error) {
    return showProblem(new Problem("unreachable", "The example could not be loaded.", { detail: error.message }));
  }
  await showStill(blob, "example.jpg", EXAMPLE_CREDIT);
}

// --- The webcam

async function startCamera(deviceId = "") {
  leaveCamera();
  hideProblem();
  try {
    const came = await camera.start(deviceId, () => {
      stopCamera();
      showProblem(new Problem("webcam", "The webcam went away."));
    });
    if (!came) return;
  } catch (error) {
    return showProblem(error);
  }
  running = true;
  sent = null;
  setState("webcam");
  forgetPicture();
  at("video").hidden = at("frame").hidden = at("shown").hidden = at("answer").hidden = false;
  at("video").classList.toggle("mirrored", camera.mirrored);
  at("webcam").textContent = "Stop the webcam";
  at("caption").textContent = "Webcam: the next frame is sent when the answer to the last one is here.";
  setRatio(at("video").videoWidth, at("video").videoHeight);
  boxes.show(null);
  await listCameras();
  await sendFrames();
}

async function sendFrames() {
  const mine = (asking = new AbortController());
  const times = [];
  let announced = -Infinity;
  let last = "";
  while (running && asking === mine) {
    // A browser gives no animation frame to a page that nobody sees: then nothing is sent.
    await new Promise(requestAnimationFrame);
    if (!running || asking !== mine) return;
    const blob = await camera.frame();
    try {
      const result = await askFaces(blob, token(), mine.signal);
      if (!running || asking !== mine) return;
      hideProblem();
      sent = { blob, name: "frame.jpg" };
      const now = performance.now();
      times.push(now);
      while (now - times[0] > 3000) times.shift();
      const ratePerS = times.length > 1 ? (1000 * (times.length - 1)) / (now - times[0]) : null;
      showResult(result, camera.mirrored, ratePerS);
      const labels = result.body.faces.map((face) => face.label).join();
      const aloud = labels !== last && now - announced > ANNOUNCE_EVERY_MS;
      if (aloud) [announced, last] = [now, labels];
      say(sentence(result.body.faces), aloud);
    } catch (error) {
      if (mine.signal.aborted) return;
      if (!error.retryable) {
        stopCamera();
        return showProblem(error, false, () => startCamera(at("camera").value));
      }
      showProblem(error);
      await new Promise((done) => setTimeout(done, error.retryMs));
    }
  }
}

function leaveCamera() {
  asking?.abort();
  camera.stop(); // also one that is not here yet
  if (!running) return;
  running = false;
  at("webcam").textContent = "Use the webcam";
  at("video").hidden = at("cameras").hidden = true;
}

// The last frame that was answered stays, with its boxes, so that it can be looked at and saved.
function stopCamera() {
  if (!running) return;
  leaveCamera();
  setState(sent ? "shown" : "empty");
  at("frame").hidden = !sent;
  if (!sent) return clearAnswer();
  at("caption").textContent = `The last frame of the webcam · ${amount(sent.blob.size)}`;
  boxes.show(boxes.answer);
  showPicture(sent.blob, "The last frame of the webcam");
}

async function listCameras() {
  const devices = await webcams();
  const options = devices.map((device, n) => new Option(device.label || `Webcam ${n + 1}`, device.deviceId));
  at("camera").replaceChildren(...options);
  at("camera").value = camera.deviceId;
  at("cameras").hidden = devices.length < 2;
}

// --- What is shown

function showResult(result, mirrored = false, ratePerS = null) {
  setRatio(result.body.width, result.body.height);
  boxes.show(result.body, mirrored);
  cards.show(result.body.faces);
  showCost(result, ratePerS);
  at("answer").hidden = at("behind").hidden = false;
  at("answer").querySelector(".card").hidden = false;
  at("json").dataset.text = result.text;
  showBehind();
}

function showBehind() {
  if (at("json").open) {
    const text = JSON.stringify(JSON.parse(at("json").dataset.text), null, 2);
    at("body").textContent = text.replace(/\[[-\d,\s]+\]/g, (box) => box.replace(/\s+/g, " "));
  }
  if (at("terminal").open) at("curl").textContent = curlCommand(sent.name, Boolean(token()));
}

function clearAnswer() {
  cards.show([]);
  boxes.show(null);
  at("answer").hidden = at("behind").hidden = true;
}

function setRatio(width, height) {
  at("shown").style.setProperty("--ratio", String(width / height));
}

function setState(state) {
  document.body.dataset.state = state;
}

function say(text, aloud = true) {
  at("status").textContent = text;
  if (aloud) at("announced").textContent = text;
}

function showProblem(error, smaller = false, again = null) {
  const known = error instanceof Problem;
  if (!known) console.error(error);
  at("sentence").textContent = known ? error.message : "Something in this page went wrong.";
  at("detail").textContent = known ? error.detail : String(error);
  at("smaller").hidden = !smaller;
  at("problem").hidden = false;
  if (error.code === "unauthorised") {
    retry = again;
    at("ask-token").hidden = false;
    at("token").focus();
  }
}

function hideProblem() {
  at("problem").hidden = at("ask-token").hidden = true;
}

// --- What a person does

function take(files) {
  const [file] = files;
  if (file) showStill(file, file.name || "picture.png");
  return Boolean(file);
}

at("file").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = ""; // so that the same picture can be chosen again
});
at("example").addEventListener("click", showExample);
at("smaller").addEventListener("click", sendSmaller);
at("webcam").addEventListener("click", () => (running ? stopCamera() : startCamera()));
at("camera").addEventListener("change", (event) => startCamera(event.target.value));
document.addEventListener("paste", (event) => {
  if (take(event.clipboardData.files)) event.preventDefault();
});

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  if (take(event.dataTransfer.files)) return;
  showProblem(new Problem("drop", "That was no file. Save the picture first, then drop it or paste it."));
});

at("ask-token").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(at("token").value.trim());
  at("token").value = "";
  hideProblem();
  retry?.();
});

at("json").addEventListener("toggle", showBehind);
at("terminal").addEventListener("toggle", showBehind);
at("copy").addEventListener("click", async () => {
  await copied(at("curl"));
  at("copy").textContent = "Copied";
  setTimeout(() => (at("copy").textContent = "Copy"), 1500);
});
at("save").addEventListener("click", (event) => {
  const url = URL.createObjectURL(sent.blob);
  Object.assign(event.currentTarget, { href: url, download: sent.name });
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
});

async function copied(source) {
  const written = await navigator.clipboard?.writeText(source.textContent).then(() => true, () => false);
  if (written) return;
  getSelection().selectAllChildren(source); // over plain HTTP there is no clipboard to write to
  document.execCommand("copy");
}

addEventListener("pagehide", () => (running ? stopCamera() : camera.stop())); // a page that comes back must not have it on

if (!available) {
  at("webcam").disabled = true;
  at("insecure").hidden = window.isSecureContext; // else the browser has no webcams at all
  at("host").textContent = location.host;
}
