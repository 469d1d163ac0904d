// From a frame to the crops that the head takes, as splitfer/shared/vision does it.

import { resized } from "./resize.js";

export const CROP_SIDE = 224;
const MOST_FRAMES = 8; // of a square's side, in the longer side of its frame

// RGBA -> grey Uint8Array, by ITU-R 601 weights.
export function toGrey(rgba) {
  const grey = new Uint8Array(rgba.length / 4);
  for (let i = 0, at = 0; i < grey.length; i++, at += 4) {
    grey[i] = (rgba[at] * 19595 + rgba[at + 1] * 38470 + rgba[at + 2] * 7471 + 0x8000) >> 16;
  }
  return grey;
}

// Boxes [x, y, w, h] in a grey frame, the largest first.
export function findFaces(detector, grey, width, height, { searchSidePx, smallestFacePx, mostFaces }) {
  const longer = Math.max(width, height);
  const ratio = longer / Math.min(longer, searchSidePx);
  let [searched, w, h] = [grey, width, height];
  if (ratio !== 1) {
    [w, h] = [width, height].map((side) => Math.max(1, roundedToEven(side / ratio)));
    searched = resized(grey, width, height, w, h, "bilinear");
  }
  return detector
    .search(searched, w, h)
    .map(({ left, top, right, bottom }) =>
      [left, top, right - left + 1, bottom - top + 1].map((side) => roundedToEven(side * ratio)),
    )
    .filter(([, , width, height]) => Math.min(width, height) >= smallestFacePx)
    .sort((a, b) => b[2] * b[3] - a[2] * a[3])
    .slice(0, mostFaces);
}

// The crop of one face, Uint8Array (224, 224); `cropping` is the manifest's. Over the frame's
// border its pixels are repeated.
export function cropFace(grey, width, height, [x, y, w, h], cropping) {
  const size = (w + h) / 2;
  const side = size * cropping.scale;
  const left = x + w / 2 + cropping.shift_x * size - side / 2;
  const top = y + h / 2 + cropping.shift_y * size - side / 2;
  if (!(side > 0 && side <= MOST_FRAMES * Math.max(width, height))) throw new Error("no such face");
  const [x0, y0] = [Math.floor(left), Math.floor(top)];
  const [columns, rows] = [Math.ceil(left + side) - x0, Math.ceil(top + side) - y0];
  const patch = new Uint8Array(columns * rows);
  for (let r = 0; r < rows; r++) {
    const row = Math.max(0, Math.min(height - 1, y0 + r)) * width;
    for (let c = 0; c < columns; c++) {
      patch[r * columns + c] = grey[row + Math.max(0, Math.min(width - 1, x0 + c))];
    }
  }
  const inner = [left - x0, top - y0, left - x0 + side, top - y0 + side];
  const detail = cropping.detail_px ?? 48;
  const small = resized(patch, columns, rows, detail, detail, cropping.reduce ?? "bicubic", inner);
  return resized(small, detail, detail, CROP_SIDE, CROP_SIDE, "bilinear");
}

export function roundedToEven(value) {
  const below = Math.floor(value);
  const part = value - below;
  if (part !== 0.5) return part < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}
