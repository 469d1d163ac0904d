// Grey pictures in other sizes, with Pillow's filters and Pillow's integers: the same bytes as on
// every other edge.

const PRECISION_BITS = 22;

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
    rows = passed(grey, weights(width, left, right, newWidth, filter), height, width, 1, newWidth, 1);
  }
  if (newHeight === height && top === 0 && bottom === height) return rows;
  return passed(rows, weights(height, top, bottom, newHeight, filter), newWidth, 1, newWidth, 1, newWidth);
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

// One direction: `lines` lines, whose starts lie `line` apart in the old picture and `newLine` in
// the new one, and whose pixels lie `step` and `newStep` apart.
function passed(old, kernels, lines, line, step, newLine, newStep) {
  const made = new Uint8Array(lines * kernels.length);
  kernels.forEach(({ first, whole }, place) => {
    for (let y = 0; y < lines; y++) {
      let sum = 2 ** (PRECISION_BITS - 1);
      let at = y * line + first * step;
      for (let i = 0; i < whole.length; i++, at += step) sum += old[at] * whole[i];
      made[y * newLine + place * newStep] = Math.max(0, Math.min(255, sum >> PRECISION_BITS));
    }
  });
  return made;
}
