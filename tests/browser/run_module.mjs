// What the browser edge's modules give for what stands in a JSON file: the tests read it.
// node run_module.mjs WHAT FILE; arrays of bytes are base64.

import { readFileSync } from "node:fs";

const edge = new URL("../../cloud_server/rest_api/edge/", import.meta.url);
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
const text = (array) => Buffer.from(array).toString("base64");
const load = (name) => import(new URL(name, edge));

const RUN = {
  async payloads({ wasm, tables, latents }) {
    const { PayloadCodec } = await load("payload.js");
    const codec = await PayloadCodec.open(readFileSync(wasm), tables && bytes(tables));
    return latents.map(({ symbols, rate }) => {
      const payload = codec.encode(bytes(symbols), rate);
      const back = codec.decode(payload);
      return { payload: text(payload), symbols: text(back.symbols), rate: back.rate };
    });
  },

  async refused({ wasm, tables, payloads }) {
    const { PayloadCodec } = await load("payload.js");
    const codec = await PayloadCodec.open(readFileSync(wasm), bytes(tables));
    return payloads.map((payload) => {
      try {
        codec.decode(bytes(payload));
        return "";
      } catch (error) {
        return error.message;
      }
    });
  },

  async symbols({ z, gains, limit }) {
    const { quantised } = await load("payload.js");
    const values = new Float32Array(bytes(z).buffer);
    return gains.map((of) => text(quantised(values, of, limit)));
  },

  async crops({ frames }) {
    const { cropFace, toGrey } = await load("vision.js");
    return frames.map(({ rgba, width, height, boxes, cropping }) => {
      const grey = toGrey(bytes(rgba));
      return { grey: text(grey), crops: boxes.map((box) => text(cropFace(grey, width, height, box, cropping))) };
    });
  },

  async faces({ wasm, classifiers, frames }) {
    const { FaceDetector } = await load("frontal.js");
    const { findFaces } = await load("vision.js");
    const detector = await FaceDetector.open(readFileSync(wasm), readFileSync(classifiers));
    return frames.map(({ grey, width, height, limits }) =>
      findFaces(detector, bytes(grey), width, height, limits),
    );
  },

  async widened({ files }) {
    const { widened } = await load("weights.js");
    return files.map((file) => text(widened(bytes(file))));
  },

  async messages({ messages, tokens }) {
    const { message, packed } = await load("stream.js");
    return {
      messages: messages.map(([id, remainingMs, sentMs, body]) => text(message(id, remainingMs, sentMs, bytes(body)))),
      tokens: tokens.map(packed),
    };
  },

  // What calls come to on a socket that does as `script` says.
  async stream() {
    const { LatentStream } = await load("stream.js");
    const sockets = [];
    class Socket extends EventTarget {
      readyState = 0;
      bufferedAmount = 0;
      sent = [];
      constructor(address, words) {
        super();
        Object.assign(this, { address, words });
        sockets.push(this);
      }
      send(data) {
        this.sent.push(text(data));
      }
      close() {
        this.readyState = 3;
        this.dispatchEvent(new Event("close"));
      }
      say(data) {
        this.dispatchEvent(Object.assign(new Event("message"), { data }));
      }
    }
    const stream = new LatentStream("http://server/", "f00", Socket);
    const end = (call) => call.catch((error) => error.reason);
    const body = new Uint8Array([1, 2, 3]);
    const found = { before: await end((async () => stream.call(body, 100, 0))()) };
    stream.open("a token");
    stream.open("a token");
    found.opened = [stream.isOpen, sockets.length, sockets[0].address, sockets[0].words];
    sockets[0].readyState = 1;
    const [first, second, late] = [1000, 1000, 5].map((ms) => end(stream.call(body, ms, 7)));
    const reply = (id, more) => JSON.stringify({ id, ...more });
    sockets[0].say(reply(2, { faces: [] }));
    sockets[0].say(reply(1, { error: {} }));
    found.replies = [await first, await second, await late];
    sockets[0].say(reply(3));
    sockets[0].say(reply(99));
    sockets[0].bufferedAmount = 100_000;
    found.backlog = await end((async () => stream.call(body, 100, 0))());
    sockets[0].bufferedAmount = 0;
    const broken = end(stream.call(body, 1000, 0));
    sockets[0].close();
    found.broken = [await broken, stream.isOpen];
    stream.open();
    found.again = sockets[1].words;
    sockets[1].readyState = 1;
    const strange = end(stream.call(body, 1000, 0));
    sockets[1].say("no JSON");
    found.strange = [await strange, sockets[1].readyState];
    return found;
  },

  async ways({ cases }) {
    const { Ways } = await load("ways.js");
    return cases.map(({ post, stream, calls, open }) => {
      const ways = new Ways();
      const ms = { post, stream };
      return Array.from({ length: calls }, () => {
        const way = ways.next(open);
        ways.took(way, ms[way]);
        return way;
      });
    });
  },

  async smoothed({ numbers }) {
    const { Smoothed } = await load("policy.js");
    return numbers.map((row) => {
      const smoothed = new Smoothed();
      row.forEach((value) => smoothed.add(value));
      return [smoothed.mean, smoothed.p95];
    });
  },

  // The paths of a hundred frames, all alike.
  async paths({ cases }) {
    const { Smoothed, decide, newMemory } = await load("policy.js");
    return cases.map(({ frames, wanted, refusal, elapsed_ms, tail_ms, encode_ms, call_ms, cloud_is_better, deadline_ms }) => {
      const costs = { tail: new Smoothed(), encode: new Smoothed(), call: new Smoothed(), missed: 0 };
      costs.tail.add(tail_ms);
      let memory = newMemory();
      return Array.from({ length: frames }, (_, i) => {
        const frame = {
          wanted, refusal, elapsedMs: elapsed_ms, faces: 1, deadlineMs: deadline_ms,
          cloudIsBetter: cloud_is_better, nowMs: 100 * i,
        };
        const decision = decide(frame, costs, memory);
        memory = decision.memory;
        if (decision.path === "local") costs.tail.add(tail_ms);
        if (decision.path === "cloud" || decision.trial) {
          costs.encode.add(encode_ms);
          costs.call.add(call_ms);
        }
        return [decision.path, decision.reason, decision.trial];
      });
    });
  },

  async trust({ faces }) {
    const { quality, trust } = await load("quality.js");
    return faces.map(({ crop, side_px, probabilities, shares }) => {
      const score = quality(bytes(crop), side_px);
      return { quality: score, ...trust(probabilities, score, shares) };
    });
  },

  // Which frames, `frame_ms` apart, are searched by a device whose search takes `search_ms`.
  async searched({ frame_ms, search_ms, frames }) {
    const played = await play({ search_ms, frame_ms, phases: [{ frames }] });
    return played.map(({ searched }) => searched);
  },

  // Which network answers each frame of a device of these times, and what ran for it.
  async own({ cases }) {
    return Promise.all(cases.map(play));
  },

  async lighter({ cases }) {
    const { lighterOf } = await load("local_model.js");
    return cases.map(({ manifest, label_set }) => lighterOf(manifest, label_set));
  },

  async heard({ cases }) {
    const { Announcer } = await load("announcer.js");
    return cases.map((words) => {
      const announcer = new Announcer();
      return words.map(([ms, one]) => announcer.heard(one, ms));
    });
  },

  async breaker({ cases }) {
    const states = await load("breaker.js");
    const step = {
      probe_started: (breaker) => states.probeStarted(breaker),
      handshake_succeeded: () => states.handshakeSucceeded(),
      handshake_failed: (breaker, { cause, now_s, jitter }) => states.handshakeFailed(breaker, cause, now_s, jitter),
      call_succeeded: (breaker) => states.callSucceeded(breaker),
      call_failed: (breaker, { cause, now_s, jitter }) => states.callFailed(breaker, cause, now_s, jitter),
      time: (breaker) => breaker,
    };
    return cases.map(({ events }) => {
      let breaker = states.newBreaker();
      return events.map((event) => {
        breaker = step[event.event](breaker, event);
        const { state, failures, probes, probeAtS, cause } = breaker;
        return {
          state, failures, probes, cause, probe_at_s: probeAtS,
          refusal: states.refusal(breaker), probe_due: states.probeDue(breaker, event.now_s),
        };
      });
    });
  },
};

// Frames of a device that takes so long for each part. `phases`: [{ frames, slowed }]; `fails`: the
// file of its lighter network does not come; `reason`: that of every call to the server.
async function play({
  search_ms = 10, frame_ms = 0, head_ms = 1, tail_ms = 1, lighter_ms = 1, faces = 1, phases,
  wanted = "local", own = "auto", fails = false, reason = null,
}) {
  const { Offload } = await load("offload.js");
  let nowMs = 0;
  let slowed = phases[0].slowed ?? 1;
  let ran = [];
  const took = (ms, what) => {
    nowMs += slowed * ms;
    ran.push(what);
  };
  const one = new Float32Array(7).fill(1 / 7);
  const model = (name, takesCrops, ms) => ({
    name, model: `f00/${name}`, takesCrops,
    run: async (given) => {
      if (!given[takesCrops ? "crops" : "features"]) throw new Error("nothing to answer of");
      took(ms * faces, name);
      return Array(faces).fill(one);
    },
  });
  const tail = { path: "local", answers: { crowd: {} } };
  const device = {
    manifest: { tails: { cloud: { answers: { crowd: {} } }, local: tail, light: tail }, default_tail: "cloud" },
    labelSet: "crowd", labels: ["a", "b", "c", "d", "e", "f", "g"],
    larger: model("local", false, tail_ms), lighter: null, lighterName: "light",
    measured: async (of) => (of ? { head: 0, tail: slowed * lighter_ms } : { head: slowed * head_ms, tail: slowed * tail_ms }),
    grey: (rgba) => rgba,
    find: () => {
      took(search_ms, "search");
      return Array(faces).fill([0, 0, 90, 90]);
    },
    crops: () => [1], qualities: () => Array(faces).fill(1),
    head: async () => {
      took(head_ms * faces, "head");
      return { features: [1], z: [1] };
    },
    payloads: () => Array(faces).fill(new Uint8Array(3)),
    trust: () => ({ confidence: 1, uncertain: false }),
  };
  const link = { refusal: null, infer: async () => Promise.reject(Object.assign(new Error(), { reason })) };
  const loadLighter = async () => {
    ran.push("load");
    if (fails) throw new Error("no network");
    device.lighter = model("light", true, lighter_ms);
  };
  const offload = new Offload(device, link, loadLighter, () => nowMs);
  await offload.measure();
  Object.assign(offload, { wanted, ownWanted: own });
  const found = [];
  for (const phase of phases) {
    slowed = phase.slowed ?? 1;
    for (let frame = 0; frame < phase.frames; frame++) {
      ran = [];
      const startMs = nowMs;
      const [face] = await offload.answer({ rgba: null, width: 640, height: 480, takenMs: nowMs });
      const { model, reason } = face;
      const [head, loads, searched] = ["head", "load", "search"].map((what) => ran.includes(what));
      found.push({ model, reason, head, loads, searched, head_ms: face.latency_ms.head });
      nowMs = Math.max(nowMs, startMs + frame_ms);
    }
  }
  return found;
}

const [what, file] = process.argv.slice(2);
process.stdout.write(JSON.stringify(await RUN[what](JSON.parse(readFileSync(file, "utf8")))));
