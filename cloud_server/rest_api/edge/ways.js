// Which way a call takes to the server: the one that was quicker of late. No clock is read here.

import { Smoothed } from "./policy.js";

const OTHER = { post: "stream", stream: "post" };
// After so many calls the slower one is tried again.
const TRY_AGAIN = 50;

export class Ways {
  #times = { post: new Smoothed(), stream: new Smoothed() };
  #calls = 0;

  // `open`: whether there is a stream at all.
  next(open) {
    if (!open) return "post";
    const { post, stream } = this.#times;
    if (!stream.known) return "stream";
    if (!post.known) return "post";
    const quicker = stream.mean <= post.mean ? "stream" : "post";
    return ++this.#calls % TRY_AGAIN ? quicker : OTHER[quicker];
  }

  took(way, ms) {
    this.#times[way].add(ms);
  }
}
