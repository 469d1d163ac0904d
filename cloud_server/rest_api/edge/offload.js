// One answer for each face of a frame: from the server while it can give one in time, else from
// the device. Whichever answer is ready first is given; a later one is thrown away.

import { QUICK_SEARCH_SIDE_PX, SEARCH_SIDE_PX } from "./device.js";
import { choose, newChoice } from "./own_choice.js";
import { Smoothed, decide, localStartMs, newMemory } from "./policy.js";

const RECENT_CALLS = 16;
// Where the search takes more than this share of the deadline, and there are faces, only every
// third frame is searched: between two searches they hardly move. Where it takes more than the
// other share, smaller pictures are searched from then on.
const QUICK_SEARCH_SHARE = 0.1;
const SLOW_SEARCH_SHARE = 0.2;
const FIRST_SEARCHES = 3; // of a browser that has yet to compile
const SEARCH_EVERY = 3;
// Where frames are few, faces move between two: an older box is not taken for one.
export const OLDEST_BOX_MS = 400;
const LIGHTER_AGAIN_MS = 60_000;

export class Offload {
  #device;
  #link;
  #now;
  #memory = newMemory();
  #costs = { detect: new Smoothed(), head: new Smoothed(), encode: new Smoothed(), call: new Smoothed(), missed: 0 };
  #tails = { larger: new Smoothed(), lighter: new Smoothed() };
  #choice = newChoice();
  #ratio = 1; // what the larger local model takes, in what the lighter one does
  #lighterAtMs = -Infinity; // when it may be loaded
  #calls = [];
  #boxes = [];
  #sinceSearch = Infinity;
  #searchedAtMs = -Infinity;
  #searches = 0;
  #searchSidePx = SEARCH_SIDE_PX;
  #loadLighter;
  wanted = "cloud";
  ownWanted = "auto"; // which of the device's own networks: auto, larger, lighter
  deadlineMs = 500;

  // `loadLighter` gives the device its lighter network, where the weights have one; `now` gives
  // milliseconds.
  constructor(device, link, loadLighter, now = () => performance.now()) {
    this.#device = device;
    this.#link = link;
    this.#loadLighter = loadLighter;
    this.#now = now;
  }

  // What each network takes here, before any frame has been answered.
  async measure() {
    const { head, tail } = await this.#device.measured();
    this.#costs.head.add(head);
    this.#tails.larger.add(tail);
  }

  // A frame { rgba, width, height, takenMs } -> its faces, each with its one answer.
  async answer({ rgba, width, height, takenMs }) {
    const device = this.#device;
    const times = { detect: null, head: null, encode: null, link: null, tail: null, total: null };
    const grey = device.grey(rgba);
    if (this.#searchDue()) {
      times.detect = this.#timed(() => (this.#boxes = device.find(grey, width, height, this.#searchSidePx)));
      this.#searched(times.detect);
    }
    const boxes = this.#boxes;
    if (!boxes.length) return [];
    const start = this.#now();
    const crops = device.crops(grey, width, height, boxes);
    const qualities = device.qualities(crops, boxes);
    const cutMs = this.#now() - start;
    const faces = { boxes, crops, own: this.#own(boxes.length), features: null, z: null };
    const runHead = async () => {
      const before = this.#now();
      Object.assign(faces, await device.head(crops));
      times.head = cutMs + this.#now() - before;
      this.#costs.head.add((this.#now() - before) / boxes.length);
    };
    // A local model that takes crops needs the head only where something is sent.
    const needsHead = !faces.own.takesCrops;
    if (needsHead) await runHead();

    const elapsed = () => this.#now() - takenMs;
    const frame = {
      wanted: this.wanted, refusal: this.#link.refusal, faces: boxes.length,
      elapsedMs: elapsed() + (needsHead ? 0 : this.#costs.head.mean * boxes.length),
      deadlineMs: this.deadlineMs, nowMs: this.#now(),
      cloudIsBetter: cloudIsBetter(device.manifest, device.labelSet, faces.own.name),
    };
    const decision = decide(frame, { ...this.#costs, tail: this.#tail(faces.own) }, this.#memory);
    this.#memory = decision.memory;
    const sent = decision.path === "cloud" || decision.trial;
    if (sent && !needsHead) await runHead();
    let answers;
    if (decision.path === "cloud") answers = await this.#cloud(faces, times, elapsed);
    else answers = await this.#local(faces, times, decision.reason);
    if (decision.trial) this.#send(faces.z, times, this.deadlineMs).catch(() => {});
    return answers.map((one, i) => {
      one.latency_ms.total = elapsed();
      const quality = qualities[i];
      return { ...one, quality, ...device.trust(Object.values(one.probabilities), quality) };
    });
  }

  // How many are in the frame in hand.
  get faces() {
    return this.#boxes.length;
  }

  // The device's own network for a frame with so many faces.
  #own(count) {
    const { larger, lighter, lighterName } = this.#device;
    const inUse = this.#choice.lighter && lighter;
    const largerMs = inUse ? this.#ratio * this.#tails.lighter.mean : this.#costs.head.mean + this.#tails.larger.mean;
    this.#choice = choose(this.#choice, this.ownWanted, largerMs * count, this.deadlineMs);
    if (!this.#choice.lighter) return larger;
    if (!lighter && lighterName && this.#now() >= this.#lighterAtMs) this.#takeLighter();
    return lighter ?? larger;
  }

  #tail(own) {
    return this.#tails[own === this.#device.lighter ? "lighter" : "larger"];
  }

  // Beside the frames, which the larger one answers meanwhile, and further where it does not come.
  async #takeLighter() {
    this.#lighterAtMs = Infinity;
    try {
      await this.#loadLighter();
      const { head, tail } = await this.#device.measured();
      const { tail: lighterMs } = await this.#device.measured(this.#device.lighter);
      this.#ratio = (head + tail) / lighterMs;
      this.#tails.lighter.add(lighterMs);
    } catch (error) {
      if (!error.lasts) this.#lighterAtMs = this.#now() + LIGHTER_AGAIN_MS;
    }
  }

  #searched(detectMs) {
    this.#sinceSearch = 0;
    this.#searchedAtMs = this.#now();
    this.#searches++;
    if (this.#searches <= FIRST_SEARCHES) return;
    this.#costs.detect.add(detectMs);
    if (this.#searches < 2 * FIRST_SEARCHES || this.#searchSidePx === QUICK_SEARCH_SIDE_PX) return;
    if (this.#costs.detect.mean <= SLOW_SEARCH_SHARE * this.deadlineMs) return;
    this.#searchSidePx = QUICK_SEARCH_SIDE_PX;
    this.#costs.detect = new Smoothed();
  }

  #searchDue() {
    const quick = this.#costs.detect.mean <= QUICK_SEARCH_SHARE * this.deadlineMs;
    const old = this.#now() - this.#searchedAtMs > OLDEST_BOX_MS;
    return !this.#boxes.length || old || ++this.#sinceSearch >= (quick ? 1 : SEARCH_EVERY);
  }

  async #cloud(faces, times, elapsed) {
    const { boxes, z, own } = faces;
    const sent = this.#send(z, times, Math.max(1, this.deadlineMs - elapsed()));
    const needsMs = this.#tail(own).p95 * boxes.length;
    const waitMs = Math.max(0, localStartMs(this.deadlineMs, needsMs) - elapsed());
    const reply = await first(sent, waitMs);
    const sentBytes = this.#sizes;
    let answers;
    if (reply?.faces?.every((face) => !face.reason)) {
      answers = boxes.map((box, i) => this.#remote(box, reply, i, times));
    } else {
      const local = await this.#local(faces, times, reply?.reason ?? "deadline");
      // Faces that the server could not answer have a reason of their own.
      answers = local.map((one, i) => {
        const face = reply?.faces?.[i];
        if (face && !face.reason) return this.#remote(boxes[i], reply, i, times);
        return face ? { ...one, reason: face.reason } : one;
      });
    }
    return answers.map((one, i) => ({ ...one, sent_bytes: sentBytes[i] }));
  }

  #sizes = [];

  // -> what Link.infer gives, or { reason }.
  async #send(z, times, remainingMs) {
    let payloads;
    times.encode = this.#timed(() => (payloads = this.#device.payloads(z)));
    this.#costs.encode.add(times.encode / payloads.length);
    this.#sizes = payloads.map((payload) => payload.length);
    const start = this.#now();
    try {
      const reply = await this.#link.infer(payloads, remainingMs);
      this.#costs.call.add(this.#now() - start);
      this.#called(false);
      return reply;
    } catch (error) {
      if (error.reason === "deadline") this.#costs.call.add(Math.max(this.#costs.call.mean, this.#now() - start));
      this.#called(true);
      return { reason: error.reason ?? "link_down" };
    }
  }

  #called(missed) {
    this.#calls = [...this.#calls, missed].slice(-RECENT_CALLS);
    this.#costs.missed = this.#calls.filter(Boolean).length / this.#calls.length;
  }

  #remote(box, reply, i, times) {
    const { probabilities, model, labels } = reply.faces[i];
    const latency = { ...times, link: reply.linkMs, tail: reply.tailMs };
    return { box, probabilities, model, labels, path: "cloud", reason: null, latency_ms: latency };
  }

  async #local(faces, times, reason) {
    const { boxes, own } = faces;
    const start = this.#now();
    const all = await own.run(faces);
    const tailMs = this.#now() - start;
    this.#tail(own).add(tailMs / boxes.length);
    const { labels, labelSet } = this.#device;
    return boxes.map((box, i) => ({
      box,
      probabilities: Object.fromEntries(labels.map((label, place) => [label, all[i][place]])),
      model: own.model,
      labels: labelSet,
      path: "local",
      reason,
      latency_ms: { ...times, link: null, tail: tailMs },
      sent_bytes: 0,
    }));
  }

  #timed(work) {
    const start = this.#now();
    work();
    return this.#now() - start;
  }
}

// What `promise` gives within so many ms; else undefined.
function first(promise, ms) {
  let timer;
  const late = new Promise((done) => (timer = setTimeout(done, ms)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Whether the server's answers were measured to be better than the device's own: by log loss
// where it is known of both, else by accuracy.
function cloudIsBetter({ tails, default_tail: name }, labelSet, own) {
  const [cloud, local] = [tails[name].answers[labelSet], tails[own].answers[labelSet]];
  for (const [figures, sign] of [["log_loss", -1], ["accuracy", 1]]) {
    const part = Object.keys(cloud[figures] ?? {}).find((one) => one in (local[figures] ?? {}));
    if (part) return sign * (cloud[figures][part] - local[figures][part]) > 0;
  }
  return true;
}
