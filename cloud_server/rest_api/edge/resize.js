// Grey pictures in other sizes, with Pillow's filters and Pillow's integers: the same bytes as on
// every other edge.

const PRECISION_BITS = 22;
const HALF = 2 ** (PRECISION_BITS - 1);

const sinc = (x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

// By name: how far a filter reaches, and what it weighs.
const FILTERS = {
  bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
  bicubic: [2, bicubic],
  lanczos: [3, (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0)],
};

function bicubic(x) {
  const a = -0.5;
  x = Math.abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

// Uint8Array (height, width) -> Uint8Array (newHeight, newWidth) of what lies in
// `box` [left, top, right, bottom], which may begin and end between pixels.
export function resized(grey, width, height, newWidth, newHeight, filter, box = [0, 0, width, height]) {
  const [left, top, right, bottom] = box.map(Math.fround); // as Pillow takes them
  let rows = grey;
  if (newWidth !== width || left !== 0 || right !== width) {
    rows = across(grey, width, height, newWidth, weights(width, left, right, newWidth, filter));
  }
  if (newHeight === height && top === 0 && bottom === height) return rows;
  return down(rows, newWidth, newHeight, weights(height, top, bottom, newHeight, filter));
}

// For each new pixel the first old one that counts, and whole-number weights from there on.
function weights(size, from, to, newSize, filter) {
  const [reach, weigh] = FILTERS[filter];
  const scale = Math.fround(to - from) / newSize;
  const stretch = Math.max(1, scale);
  return Array.from({ length: newSize }, (_, place) => {
    const centre = from + (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach * stretch + 0.5));
    const last = Math.min(size, Math.trunc(centre + reach * stretch + 0.5));
    const shares = [];
    for (let x = first; x < last; x++) shares.push(weigh((x - centre + 0.5) * (1 / stretch)));
    const sum = shares.reduce((a, b) => a + b, 0);
    const whole = shares.map((share) => {
      const scaled = (sum === 0 ? share : share / sum) * 2 ** PRECISION_BITS;
      return Math.trunc(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    });
    return { first, whole: Int32Array.from(whole) };
  });
}

// Sums fit 32 bits: Pillow counts on it too.
function across(old, width, height, newWidth, kernels) {
  const made = new Uint8Array(newWidth * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < newWidth; x++) {
      const { first, whole } = kernels[x];
      const from = y * width + first;
      let sum = HALF;
      for (let i = 0; i < whole.length; i++) sum = (sum + Math.imul(old[from + i], whole[i])) | 0;
      made[y * newWidth + x] = clipped(sum);
    }
  }
  return made;
}

function down(old, width, newHeight, kernels) {
  const made = new Uint8Array(width * newHeight);
  const sums = new Int32Array(width);
  for (let y = 0; y < newHeight; y++) {
    const { first, whole } = kernels[y];
    sums.fill(HALF);
    for (let i = 0; i < whole.length; i++) {
      const from = (first + i) * width;
      const weight = whole[i];
      for (let x = 0; x < width; x++) sums[x] += Math.imul(old[from + x], weight);
    }
    for (let x = 0; x < width; x++) made[y * width + x] = clipped(sums[x]);
  }
  return made;
}

function clipped(sum) {
  const value = sum >> PRECISION_BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}
