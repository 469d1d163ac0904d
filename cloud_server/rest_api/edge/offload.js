// One answer for each face of a frame: from the server while it can give one in time, else from
// the device. Whichever answer is ready first is given; a later one is thrown away.

import { QUICK_SEARCH_SIDE_PX, SEARCH_SIDE_PX } from "./device.js";
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

export class Offload {
  #device;
  #link;
  #now;
  #memory = newMemory();
  #costs = { detect: new Smoothed(), tail: new Smoothed(), encode: new Smoothed(), call: new Smoothed(), missed: 0 };
  #calls = [];
  #boxes = [];
  #sinceSearch = Infinity;
  #searchedAtMs = -Infinity;
  #searches = 0;
  #searchSidePx = SEARCH_SIDE_PX;
  #cloudIsBetter;
  wanted = "cloud";
  deadlineMs = 500;

  // `now` gives milliseconds.
  constructor(device, link, now = () => performance.now()) {
    this.#device = device;
    this.#link = link;
    this.#now = now;
    this.#cloudIsBetter = cloudIsBetter(device.manifest, device.labelSet);
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
    const { features, z } = await device.head(crops);
    times.head = this.#now() - start;

    const elapsed = () => this.#now() - takenMs;
    const frame = {
      wanted: this.wanted, refusal: this.#link.refusal, elapsedMs: elapsed(), faces: boxes.length,
      deadlineMs: this.deadlineMs, cloudIsBetter: this.#cloudIsBetter, nowMs: this.#now(),
    };
    const decision = decide(frame, this.#costs, this.#memory);
    this.#memory = decision.memory;
    const own = () => this.#local(features, boxes, times, decision.reason);
    let answers;
    if (decision.path === "cloud") answers = await this.#cloud(z, boxes, times, elapsed, features);
    else answers = await own();
    if (decision.trial) this.#send(z, times, this.deadlineMs).catch(() => {});
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

  async #cloud(z, boxes, times, elapsed, features) {
    const sent = this.#send(z, times, Math.max(1, this.deadlineMs - elapsed()));
    const needsMs = this.#costs.tail.p95 * boxes.length;
    const waitMs = Math.max(0, localStartMs(this.deadlineMs, needsMs) - elapsed());
    const reply = await first(sent, waitMs);
    const sentBytes = this.#sizes;
    let answers;
    if (reply?.faces?.every((face) => !face.reason)) {
      answers = boxes.map((box, i) => this.#remote(box, reply, i, times));
    } else {
      const local = await this.#local(features, boxes, times, reply?.reason ?? "deadline");
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

  async #local(features, boxes, times, reason) {
    const start = this.#now();
    const all = await this.#device.local(features);
    const tailMs = this.#now() - start;
    this.#costs.tail.add(tailMs / boxes.length);
    const { labels, labelSet, model } = this.#device;
    return boxes.map((box, i) => ({
      box,
      probabilities: Object.fromEntries(labels.map((label, place) => [label, all[i][place]])),
      model,
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
function cloudIsBetter({ tails, default_tail: name }, labelSet) {
  const [cloud, local] = [tails[name].answers[labelSet], tails.local.answers[labelSet]];
  for (const [figures, sign] of [["log_loss", -1], ["accuracy", 1]]) {
    const part = Object.keys(cloud[figures] ?? {}).find((one) => one in (local[figures] ?? {}));
    if (part) return sign * (cloud[figures][part] - local[figures][part]) > 0;
  }
  return true;
}
