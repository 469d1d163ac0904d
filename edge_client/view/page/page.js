// Asks the device for what is newer than what is shown, draws it, and asks again.
import { drawGraph, drawPicture } from "./draw.js";

const find = (id) => document.getElementById(id);
const PATHS = ["cloud", "local", "image"];
const HEALTH = {
  ok: "working", server_away: "working, server away", starting: "starting", paused: "paused",
  no_picture: "no picture", waiting_for_camera: "waiting for the camera", output_failing: "output failing",
};
// A laptop that was closed must not be caught up with.
const RETRY_MS = [500, 1000, 2000, 5000];
const DECISIONS = 6;
const MOST_FACES = 4;

let token = location.hash.startsWith("#token=") ? decodeURIComponent(location.hash.slice(7)) : "";
if (token) history.replaceState(null, "", location.pathname);
token ||= sessionStorage.getItem("token") ?? "";

const element = (tag, text, attributes = {}) => {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};

async function ask(path, body) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const method = body === undefined ? "GET" : "POST";
  return fetch(path, { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
}

const sure = (face) => `${face.label}${face.uncertain ? "?" : ""} ${Math.round(100 * face.confidence)} %`;

function showFace(face, place) {
  const item = document.createElement("li");
  const name = face.track === null ? `Face ${place + 1}` : `Face ${face.track}`;
  const head = element("h3", `${name}: ${sure(face)}`);
  const why = face.reason ? `${face.path}: ${face.reason}` : face.path;
  head.append(element("small", why, { class: "path", "data-path": face.path }));
  const bars = element("ul", "", { class: "bars" });
  for (const [label, share] of Object.entries(face.probabilities)) {
    const bar = element("li", "", label === face.label ? { class: "most" } : {});
    const trough = element("span", "", { class: "trough" });
    const fill = element("span", "", { class: "fill" });
    fill.style.width = `${100 * share}%`;
    trough.append(fill);
    bar.append(element("span", label), trough, element("output", `${Math.round(100 * share)} %`));
    bars.append(bar);
  }
  item.append(head, bars);
  return item;
}

function showFacts(list, facts) {
  const nodes = [];
  for (const [name, value] of facts) {
    nodes.push(element("dt", name), element("dd", value));
  }
  list.replaceChildren(...nodes);
}

function showLink(live) {
  const facts = [];
  if (live.link === null) facts.push(["Server", "none is set"]);
  else {
    facts.push(["Server", live.link.server], ["State", live.link.state]);
    if (live.link.failure) facts.push(["Last failure", live.link.failure.words]);
  }
  facts.push(["Policy", live.policy]);
  facts.push(["Sent in all", `${(live.wire_bytes / 1000).toFixed(1)} kB`]);
  for (const [name, one] of Object.entries(live.outbox?.readers ?? {})) {
    const shed = one.shed ? `, ${one.shed} given up` : "";
    facts.push([`For ${name}`, `${one.sent} sent, ${one.waiting} waiting${shed}`]);
  }
  if (live.mqtt) facts.push(["MQTT", live.mqtt.connected ? "connected" : live.mqtt.fault ?? "connecting"]);
  if (live.failing) facts.push(["Failing", live.failing]);
  showFacts(find("link"), facts);
}

function showDecisions(decisions) {
  const items = decisions.slice(-DECISIONS).reverse().map((one) => {
    const path = one.chosen.split(":")[0];
    const item = element("li", "");
    item.append(element("span", one.chosen, { class: "path", "data-path": path }));
    const predicted = one.predicted_ms === null ? "" : `, ${one.predicted_ms} ms predicted`;
    const times = one.times > 1 ? ` (${one.times} frames)` : "";
    const refusal = one.refusal ? `: ${one.refusal}` : "";
    item.append(element("small", ` ${one.why.replaceAll("_", " ")}${refusal}${predicted}${times}`));
    return item;
  });
  find("decisions").replaceChildren(...items);
  find("undecided").hidden = items.length > 0;
}

async function show(live) {
  document.body.dataset.state = live.health;
  find("name").textContent = live.name;
  document.title = `${live.name} · SplitFER`;
  find("health").textContent = HEALTH[live.health] ?? live.health;
  find("health").dataset.works = live.works;
  find("pause").hidden = false;
  find("pause").textContent = live.health === "paused" ? "Resume" : "Pause";
  find("pause").dataset.to = live.health === "paused" ? "off" : "on";
  find("purpose").hidden = !live.purpose;
  find("purpose").textContent = `Purpose: ${live.purpose}`;
  const shown = live.faces.map(sure);
  const words = live.picture ? (shown.join(", ") || "nobody is seen") : "no picture";
  find("picture").setAttribute("aria-label", words);
  await drawPicture(find("picture"), live);
  find("caption").textContent = live.time
    ? `${live.source} · frame ${live.frame} · ${live.time.replace("T", " ").replace("Z", " UTC")}`
    : "no picture yet";
  find("faces").replaceChildren(...live.faces.slice(0, MOST_FACES).map(showFace));
  const more = live.faces.length - MOST_FACES;
  find("more").hidden = more <= 0;
  find("more").textContent = `and ${more} more, the smaller ones`;
  find("nobody").hidden = live.faces.length > 0;
  const last = live.history.at(-1);
  find("latency").textContent = last?.latency_ms == null ? "–" : `${last.latency_ms.toFixed(0)} ms`;
  find("bytes").textContent = last ? `${last.sent_bytes} B` : "–";
  drawGraph(find("latency-graph"), live.history, (one) => one.latency_ms, "ms", live.deadline_ms);
  drawGraph(find("bytes-graph"), live.history, (one) => one.sent_bytes, "B");
  showLink(live);
  showDecisions(live.decisions);
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function watch() {
  let number = 0;
  for (let failures = 0; ; ) {
    if (document.hidden) {
      await new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
    }
    try {
      const reply = await ask(`/live?after=${number}`);
      if (reply.status === 401) {
        find("ask-token").hidden = false;
        find("live").hidden = true;
        find("health").textContent = token ? "this token is not known" : "asks for its token";
        await new Promise((done) => find("ask-token").addEventListener("submit", done, { once: true }));
        continue;
      }
      if (!reply.ok) throw new Error(`HTTP ${reply.status}`);
      const live = await reply.json();
      if (token) sessionStorage.setItem("token", token);
      find("ask-token").hidden = true;
      find("live").hidden = false;
      find("lost").hidden = true;
      failures = 0;
      number = live.number;
      await show(live);
    } catch (error) {
      find("lost").hidden = false;
      find("pause").hidden = true;
      find("health").textContent = "no connection";
      find("health").dataset.works = false;
      document.body.dataset.state = "lost";
      await pause(RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
      number = 0;
    }
  }
}

find("ask-token").addEventListener("submit", (event) => {
  event.preventDefault();
  token = find("token").value;
  find("token").value = "";
});
find("pause").addEventListener("click", async () => {
  const paused = find("pause").dataset.to === "on";
  const reply = await ask("/control", { paused }).catch(() => null);
  if (reply?.ok) return;
  find("health").textContent = paused ? "it could not be paused" : "it could not be resumed";
  find("health").dataset.works = false;
});
watch();
