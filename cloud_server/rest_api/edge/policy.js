// Which path a frame takes, and when the device starts on its own. Pure functions of what was
// measured; no clock is read here.

const LOCAL_START_SHARE = 0.6; // of the deadline, at the latest
const ENTRY_SPARE_SHARE = 0.05; // what a path that is not in use must have to spare
const PATIENCE = 3; // frames in a row that the other path must be the better one
const TRIAL_FRAMES = 100;
const TRIAL_MS = 5000;
const FEWEST_TRIAL_FRAMES = 20;
const MOST_MISSED = 0.3;

// When the device starts its own answer, in ms since the frame.
export function localStartMs(deadlineMs, needsMs) {
  return Math.min(LOCAL_START_SHARE * deadlineMs, deadlineMs - needsMs);
}

// Mean and mean deviation of recent numbers, as a Python edge keeps them.
export class Smoothed {
  mean = 0;
  #deviation = 0;
  #numbers = 0;

  add(value) {
    this.#numbers++;
    if (this.#numbers === 1 || (this.#numbers === 2 && value < this.mean)) {
      this.mean = value;
      this.#deviation = 0.1 * value;
      return;
    }
    const reach = 4 * Math.max(this.#deviation, 0.02 * this.mean, 1e-3);
    const off = Math.min(Math.max(value - this.mean, -reach), reach);
    this.mean += off / Math.min(this.#numbers, 8);
    this.#deviation += (Math.abs(off) - this.#deviation) / 4;
  }

  get known() {
    return this.#numbers > 0;
  }

  get p95() {
    return this.mean + 2.5 * this.#deviation;
  }
}

export const newMemory = () => ({ held: "local", beaten: 0, sinceTrial: TRIAL_FRAMES, trialAtMs: 0 });

// One frame's decision: { path, reason, trial, memory }. `trial`: send it too, without waiting.
//
// frame: { wanted, refusal, elapsedMs, faces, deadlineMs, cloudIsBetter, nowMs }
// costs: { tail, encode, call: Smoothed, missed: share of calls without an answer }
export function decide(frame, costs, memory) {
  memory = { ...memory, sinceTrial: memory.sinceTrial + 1 };
  const needsMs = costs.tail.p95 * frame.faces;
  const startMs = localStartMs(frame.deadlineMs, needsMs);
  const local = (reason, trial = false) => ({ path: "local", reason, trial, memory });
  if (frame.wanted === "local") return local(null);
  if (frame.refusal) {
    memory = { ...memory, sinceTrial: TRIAL_FRAMES }; // once it ends, what was known is old
    return local(frame.refusal);
  }
  if (frame.wanted === "cloud") {
    const hopeless = frame.elapsedMs + needsMs > frame.deadlineMs && frame.elapsedMs < frame.deadlineMs;
    if (frame.elapsedMs >= startMs && !hopeless) return local("deadline");
    return { path: "cloud", reason: null, trial: false, memory };
  }
  const sureMs = frame.elapsedMs + costs.encode.p95 * frame.faces + costs.call.p95;
  const spareMs = memory.held === "cloud" ? 0 : ENTRY_SPARE_SHARE * frame.deadlineMs;
  const inTime = costs.call.known && sureMs + spareMs <= startMs + needsMs && costs.missed <= MOST_MISSED;
  const best = frame.cloudIsBetter && inTime ? "cloud" : "local";
  const beaten = best === memory.held ? 0 : memory.beaten + 1;
  const useless = memory.held === "cloud" && !inTime;
  const changes = best !== memory.held && (beaten >= PATIENCE || useless);
  memory = changes ? { ...memory, held: best, beaten: 0 } : { ...memory, beaten };
  if (memory.held === "cloud") return { path: "cloud", reason: null, trial: false, memory };
  const due =
    memory.sinceTrial >= TRIAL_FRAMES ||
    (memory.sinceTrial >= FEWEST_TRIAL_FRAMES && frame.nowMs - memory.trialAtMs >= TRIAL_MS);
  const trial = frame.cloudIsBetter && (due || !costs.call.known);
  if (trial) memory = { ...memory, sinceTrial: 0, trialAtMs: frame.nowMs };
  return local(null, trial);
}
