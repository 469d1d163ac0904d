// What the page shows of its answers, and keeps of them to be saved.

import { amount } from "../page/api.js";
import { Boxes, Cards, sentence } from "../page/view.js";
import { Announcer } from "./announcer.js";
import { SENTENCES } from "./reasons.js";

const KEPT_LINES = 36_000; // an hour at ten a second, some 25 MB
// Why this device answers where nothing went wrong, by "Answers from".
const CHOSEN = { cloud: "", auto: ", the better one just now", local: ", as you chose" };

const at = (id) => document.getElementById(id);
const ms = (value) => (value < 10 ? value.toFixed(1) : value.toFixed(0)) + " ms";
const boxes = new Boxes();
const cards = new Cards();
const announcer = new Announcer();
const counts = { frames: 0, found: 0, answered: 0, failed: 0, cloud: 0, local: 0, sent_bytes: 0 };
const lines = []; // JSON, which takes less room than objects
let detectMs = null; // of the last frame that was searched

export const anyKept = () => lines.length > 0;

export function countFrame() {
  counts.frames++;
}

export function countFailed(faces) {
  counts.found += faces;
  counts.failed += faces;
}

export const hideBoxes = () => boxes.show(null);

// `picture` is the canvas that the answer is of.
export function showAnswer({ id, width, height, faces }, ratePerS, mirrored, picture) {
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
  boxes.show({ width, height, faces: seen }, mirrored);
  cards.show(seen);
  seen.forEach((face, i) => showWay(at("faces").children[i], face));
  at("advice").hidden = seen.length > 0;
  const words = sentence(seen);
  if (at("status").textContent !== words) at("status").textContent = words;
  announce(seen);
  showCost(seen, ratePerS);
  // For whoever builds on this page: the answer, and the picture that it is of.
  dispatchEvent(new CustomEvent("answer", { detail: { id, width, height, faces: seen, counts, picture } }));
}

function showWay(card, { path, reason, model }) {
  let line = card.querySelector(".way-word");
  if (!line) {
    line = document.createElement("p");
    line.className = "way-word";
    line.append(document.createElement("b"), document.createElement("span"));
    card.append(line);
  }
  const who = path === "cloud" ? "the server" : model.endsWith("/local") ? "this device" : "this device (lighter network)";
  const why = path === "cloud" ? "" : reason ? `. ${SENTENCES[reason]}` : CHOSEN[at("wanted").value];
  line.children[0].textContent = path;
  line.children[1].textContent = ` · by ${who}${why}`;
}

function announce(faces) {
  const labels = faces.map((face) => face.label + (face.uncertain ? ", uncertain" : "")).join("; ");
  const words = announcer.heard(faces.length ? `${labels}, ${faces[0].path}` : "no face", performance.now());
  if (words) at("announced").textContent = words;
}

export function showCost(faces, ratePerS) {
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

at("save").addEventListener("click", () => {
  const url = URL.createObjectURL(new Blob(lines, { type: "application/x-ndjson" }));
  Object.assign(document.createElement("a"), { href: url, download: "answers.jsonl" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
});
