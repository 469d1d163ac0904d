// What a screen reader hears of answers that come many times a second: what stood for a while, and
// seldom.

const STANDS_MS = 1000;
const APART_MS = 3000;
// Where faces never stand still, how they are now and then.
const LONGEST_MS = 10_000;

export class Announcer {
  #said = "";
  #saidAtMs = -Infinity;
  #words = "";
  #sinceMs = 0;

  // The words of now -> those to say, or null.
  heard(words, nowMs) {
    if (words !== this.#words) [this.#words, this.#sinceMs] = [words, nowMs];
    const silentMs = nowMs - this.#saidAtMs;
    const stands = nowMs - this.#sinceMs >= STANDS_MS && silentMs >= APART_MS;
    if (words === this.#said || !(stands || silentMs >= LONGEST_MS)) return null;
    [this.#said, this.#saidAtMs] = [words, nowMs];
    return words;
  }
}
