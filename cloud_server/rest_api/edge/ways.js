// Which way a call takes to the server: the one that was quicker of late. No clock is read here.

import { Smoothed } from "./policy.js";

const OTHER = { post: "stream", stream: "post" };
// Of each way, in turn, before one is preferred: the first of all are slow.
const FIRST_CALLS = 4;
// After so many calls the slower one is tried again.
const TRY_AGAIN = 50;

export class Ways {
  #times = { post: new Smoothed(), stream: new Smoothed() };
  #calls = { post: 0, stream: 0 };
  #chosen = 0;

  // `open`: whether there is a stream at all.
  next(open) {
    if (!open) return "post";
    const { post, stream } = this.#calls;
    if (Math.min(post, stream) < FIRST_CALLS) return stream <= post ? "stream" : "post";
    const quicker = this.#times.stream.mean <= this.#times.post.mean ? "stream" : "post";
    return ++this.#chosen % TRY_AGAIN ? quicker : OTHER[quicker];
  }

  took(way, ms) {
    this.#calls[way]++;
    this.#times[way].add(ms);
  }
}
