// The webcam: a live video, and JPEG frames of it.

import { Problem } from "./api.js";

const LONGER_SIDE_PX = 640; // the server searches no larger picture
const QUALITY = 0.8;

const SENTENCES = {
  NotAllowedError: "The camera was not allowed. Allow it beside the page's address, or in the browser's settings.",
  NotFoundError: "No camera was found.",
  OverconstrainedError: "This camera is gone. Choose another one.",
  NotReadableError: "The camera is in use by another program.",
};

// Where it is false, the page was not loaded over HTTPS or from localhost.
export const available = Boolean(window.isSecureContext && navigator.mediaDevices?.getUserMedia);

export class Camera {
  #video;
  #canvas = document.createElement("canvas");
  #stopped = () => {};
  #turns = 0; // of start and stop: a camera that comes after the next one is let go at once

  constructor(video) {
    this.#video = video;
  }

  // Whether it was not stopped, or started anew, before it came. Throws a Problem. `ended` is called
  // where the webcam goes away by itself.
  async start(deviceId, ended, facingMode = "user") {
    this.stop();
    const turn = this.#turns;
    const which = deviceId ? { deviceId: { exact: deviceId } } : { facingMode };
    let stream;
    try {
      const video = { width: { ideal: 1280 }, height: { ideal: 720 }, ...which };
      stream = await navigator.mediaDevices.getUserMedia({ audio: false, video });
      if (turn !== this.#turns) {
        letGo(stream);
        return false;
      }
      const [track] = stream.getVideoTracks();
      track.addEventListener("ended", () => turn === this.#turns && ended());
      this.#video.srcObject = stream;
      await this.#video.play();
    } catch (error) {
      if (turn !== this.#turns) return false;
      this.stop();
      throw new Problem("webcam", SENTENCES[error.name] ?? "The camera could not be opened.", {
        detail: error.message,
      });
    }
    return turn === this.#turns;
  }

  stop() {
    this.#turns++;
    letGo(this.#video.srcObject);
    this.#video.srcObject = null;
    this.#stopped();
  }

  // People expect a mirror of a camera that looks at them.
  get mirrored() {
    return this.#settings.facingMode !== "environment";
  }

  // Whether the video stands still, since a call or another program has the webcam.
  get muted() {
    return this.#track?.muted ?? false;
  }

  // Once that is over, or the webcam is stopped.
  unmuted() {
    const track = this.#track;
    return new Promise((done) => {
      for (const event of ["unmute", "ended"]) track.addEventListener(event, done, { once: true });
      this.#stopped = done;
    });
  }

  get deviceId() {
    return this.#settings.deviceId ?? "";
  }

  get #settings() {
    return this.#track?.getSettings() ?? {};
  }

  get #track() {
    return this.#video.srcObject?.getVideoTracks()[0];
  }

  // What the video shows now, as a JPEG no larger than the server searches.
  async frame() {
    const { videoWidth: width, videoHeight: height } = this.#video;
    return reduced(this.#video, width, height, LONGER_SIDE_PX, QUALITY, this.#canvas);
  }
}

function letGo(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

// [{ deviceId, label }, ...]; the names are known only once a webcam was allowed.
export async function webcams() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === "videoinput");
}

// An image or video -> a JPEG whose longer side is at most `side` pixels.
export function reduced(source, width, height, side, quality, canvas = document.createElement("canvas")) {
  const ratio = Math.min(1, side / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
}
