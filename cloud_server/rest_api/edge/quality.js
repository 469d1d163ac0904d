// How good the picture of a face is, and what that leaves of an answer: as
// splitfer/shared/vision/quality.py and shared/prior.py have it.

const CROP_SIDE = 224;
const SIDE = 56;
const STEP = CROP_SIDE / SIDE;
const LEAST = 1e-6;
// Where each part is 0 and where it reaches 1.
const SCALE = {
  sizePx: [1.22, 25.5],
  sharpness: [0.00517, 0.866],
  noise: [4.3, 8.69],
  brightness: [0.2, 4.0],
  contrast: [0.1, 1.5],
};
const UNCERTAIN_BELOW = 0.5;

// Of one face, 0 to 1: its crop, and the side in the frame's pixels of the square it was cut from.
export function quality(crop, sidePx) {
  const { sharpness, brightness, contrast } = measures(crop);
  return Math.min(
    rise(sidePx, SCALE.sizePx),
    rise(sharpness, SCALE.sharpness),
    1 - rise(sharpness, SCALE.noise),
    rise(brightness, SCALE.brightness),
    rise(contrast, SCALE.contrast),
  );
}

// { confidence, uncertain } of probabilities, for a picture of this quality; `shares` say how common
// each class is, null where nobody knows.
export function trust(probabilities, quality, shares) {
  const sum = shares?.reduce((a, b) => a + b, 0);
  const place = probabilities.indexOf(Math.max(...probabilities));
  const known = shares ? shares[place] / sum : 1 / probabilities.length;
  const confidence = known + quality * (probabilities[place] - known);
  return { confidence, uncertain: confidence < UNCERTAIN_BELOW };
}

// Of means over 4x4 pixels: brightness is their mean, contrast their deviation, sharpness the mean
// square of the Laplacian over that of the gradient.
function measures(crop) {
  const grey = new Float32Array(SIDE * SIDE);
  crop.forEach((value, i) => {
    grey[Math.floor(i / CROP_SIDE / STEP) * SIDE + Math.floor((i % CROP_SIDE) / STEP)] += value / STEP ** 2;
  });
  const brightness = mean(grey);
  const contrast = Math.sqrt(mean(grey.map((value) => (value - brightness) ** 2)));
  const [down, across, laplacian] = [[], [], []];
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const at = y * SIDE + x;
      if (y + 1 < SIDE) down.push((grey[at + SIDE] - grey[at]) ** 2);
      if (x + 1 < SIDE) across.push((grey[at + 1] - grey[at]) ** 2);
      if (y === 0 || x === 0 || y === SIDE - 1 || x === SIDE - 1) continue;
      const around = grey[at - SIDE] + grey[at + SIDE] + grey[at - 1] + grey[at + 1];
      laplacian.push((around - 4 * grey[at]) ** 2);
    }
  }
  const gradient = (mean(down) + mean(across)) / 2;
  return { brightness, contrast, sharpness: gradient > LEAST ? mean(laplacian) / gradient : 0 };
}

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

function rise(value, ends) {
  const [low, high] = ends.map(Math.log);
  return Math.max(0, Math.min(1, (Math.log(Math.max(value, LEAST)) - low) / (high - low)));
}
