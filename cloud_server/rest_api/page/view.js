// The answer as a person sees it: boxes, bars, stages, bytes.

import { amount } from "./api.js";

const PALE = 0.55; // of an uncertain answer's box
const HUES = ["#2a9d8f", "#e07a5f", "#6d8fe0", "#d9a441", "#b07cc6", "#7fae54"];

const at = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(0)} %`;
const ms = (value) => (value < 10 ? value.toFixed(1) : value.toFixed(0)) + " ms";
const hue = (index) => HUES[index % HUES.length];
const word = (face) => face.label + (face.uncertain ? "?" : "");

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

// Boxes lie on a canvas over the picture, in screen pixels, so that they stay sharp at any size.
export class Boxes {
  #canvas = at("boxes");
  #answer = null;
  #mirrored = false;

  constructor() {
    new ResizeObserver(() => this.#draw()).observe(this.#canvas);
  }

  show(answer, mirrored = false) {
    this.#answer = answer;
    this.#mirrored = mirrored;
    this.#canvas.setAttribute("aria-label", answer ? sentence(answer.faces) : "No faces yet");
    this.#draw();
  }

  get answer() {
    return this.#answer;
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const density = window.devicePixelRatio || 1;
    this.#canvas.width = Math.round(width * density);
    this.#canvas.height = Math.round(height * density);
    if (!this.#answer || !width) return;
    const pen = this.#canvas.getContext("2d");
    pen.scale(density, density);
    const scale = width / this.#answer.width;
    this.#answer.faces.forEach((face, index) => {
      const [x, y, w, h] = face.box.map((side) => side * scale);
      this.#drawFace(pen, index, face, this.#mirrored ? width - x - w : x, y, w, h, width);
    });
  }

  #drawFace(pen, index, face, x, y, w, h, width) {
    pen.beginPath();
    pen.roundRect(x, y, w, h, Math.min(10, w / 6));
    pen.lineWidth = 5;
    pen.globalAlpha = face.uncertain ? PALE : 1;
    pen.strokeStyle = "#0e1214a0";
    pen.stroke();
    pen.lineWidth = 3;
    pen.strokeStyle = hue(index);
    pen.stroke();

    const text = `${index + 1}  ${face.label ? `${word(face)} ${percent(face.confidence)}` : "no answer"}`;
    pen.font = "600 13px system-ui, sans-serif";
    const tagWidth = pen.measureText(text).width + 16;
    const tagX = Math.max(2, Math.min(x, width - tagWidth - 2));
    const tagY = y >= 30 ? y - 28 : Math.max(5, y + 5);
    pen.beginPath();
    pen.roundRect(tagX, tagY, tagWidth, 23, 6);
    pen.fillStyle = "#14191ce0";
    pen.fill();
    pen.fillStyle = "#fff";
    pen.textBaseline = "middle";
    pen.fillText(text, tagX + 8, tagY + 12.5);
  }
}

// One card a face. Cards are kept and changed in place: a webcam answers many times a second.
export class Cards {
  #list = at("faces");

  show(faces) {
    while (this.#list.children.length > faces.length) this.#list.lastChild.remove();
    faces.forEach((face, index) => {
      let card = this.#list.children[index];
      const names = Object.keys(face.probabilities ?? {}).join();
      if (!card || card.dataset.names !== names) {
        const made = newCard(index, face, names);
        if (card) card.replaceWith(made);
        else this.#list.append(made);
        card = made;
      }
      fillCard(card, face);
    });
  }
}

function newCard(index, face, names) {
  const card = element("li");
  card.dataset.names = names;
  card.style.setProperty("--hue", hue(index));
  const title = element("h2");
  title.append(element("span", "number", String(index + 1)), element("span", "title"));
  card.append(title);
  if (face.probabilities) {
    const bars = element("ul", "bars");
    for (const label of Object.keys(face.probabilities)) {
      const row = element("li");
      const trough = element("span", "trough");
      trough.setAttribute("aria-hidden", "true");
      trough.append(element("div", "bar"));
      row.append(element("span", "", label), trough, element("span", "share"));
      bars.append(row);
    }
    card.append(bars);
  }
  card.append(element("p", "hint"));
  return card;
}

function fillCard(card, face) {
  const title = card.querySelector(".title");
  if (!face.probabilities) {
    title.textContent = "No answer";
    card.querySelector(".hint").textContent = face.error?.message ?? "";
    return;
  }
  title.textContent = `${face.label}${face.uncertain ? "?" : ","} ${percent(face.confidence)}`;
  card.classList.toggle("uncertain", face.uncertain);
  const hint = card.querySelector(".hint");
  hint.textContent = `Uncertain. Quality of the face's picture: ${percent(face.quality)}`;
  hint.hidden = !face.uncertain;
  Object.entries(face.probabilities).forEach(([label, share], place) => {
    const row = card.querySelector(".bars").children[place];
    row.classList.toggle("most", label === face.label);
    row.querySelector(".bar").style.width = `${100 * share}%`;
    row.querySelector(".share").textContent = percent(share);
  });
}

// Where the round trip's time went, and what went over the wire.
export function showCost({ body, sentBytes, receivedBytes, roundTripMs }, ratePerS = null) {
  const { detect, head, tail, total } = body.latency_ms;
  const known = (detect ?? 0) + (head ?? 0) + (tail ?? 0);
  const stages = [
    ["way", "On the way", Math.max(0, roundTripMs - total)],
    ["read", "Receiving, decoding, waiting", Math.max(0, total - known)],
    ["detect", "Finding faces", detect],
    ["head", "First part of the network", head],
    ["tail", "The rest of it", tail],
  ].filter(([, , value]) => value !== null);
  at("stages").replaceChildren(
    ...stages.map(([name, , value]) => {
      const part = element("span", name);
      part.style.flexGrow = value;
      return part;
    }),
  );
  const rows = stages.map(([name, title, value]) => {
    const term = element("dt");
    term.append(element("span", `swatch ${name}`), title);
    return [term, element("dd", "", ms(value))];
  });
  rows.push([element("dt", "sum", "From asking to the answer"), element("dd", "sum", ms(roundTripMs))]);
  at("times").replaceChildren(...rows.flat());
  const wire = [
    ["Up: the picture", amount(sentBytes)],
    ["Down: the JSON", amount(receivedBytes)],
    ["In the server", ms(total)],
  ];
  if (ratePerS !== null) wire.push(["Frames answered a second", ratePerS.toFixed(1)]);
  at("wire").replaceChildren(
    ...wire.flatMap(([name, value]) => [element("dt", "", name), element("dd", "", value)]),
  );
}

// [face, ...] -> "1 face: happy, 91 %." or "3 faces: 2 happy, 1 sad."
export function sentence(faces) {
  const labels = faces.map((face) => (face.label ? word(face) : "without an answer"));
  if (!faces.length) return "No face was found.";
  if (faces.length === 1 && faces[0].label) {
    const [face] = faces;
    return `1 face: ${face.label}${face.uncertain ? "?" : ","} ${percent(face.confidence)}.`;
  }
  const counts = [...new Set(labels)].map((label) => `${labels.filter((other) => other === label).length} ${label}`);
  return `${faces.length} ${faces.length === 1 ? "face" : "faces"}: ${counts.join(", ")}.`;
}
