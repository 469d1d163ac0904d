// The weights that the server has, each file checked against the hash in their manifest.

const LOCAL_TAIL = "local";
const MAGIC_BYTES = 5;

// A sentence for people; `code` for the page.
export class WeightsProblem extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

// `root`: the address of the weights; `ask` fetches; `told` is called for each file that came. `half`: the
// smaller file of the local tail, where there is one.
// -> { manifest, head, tail, tables, golden, logits }
export async function loadWeights(root, ask, told = () => {}, half = true) {
  const manifest = JSON.parse(new TextDecoder().decode(await read(`${root}manifest.json`, ask)));
  const file = (entry) => loadFile(root, manifest, entry, ask, told);
  const rounded = half && Boolean(manifest.half);
  const [head, sent, tables, goldenFile] = await Promise.all([
    file(manifest.head),
    rounded ? file(manifest.half) : file(manifest.tails[LOCAL_TAIL]),
    manifest.entropy ? file(manifest.entropy) : null,
    file(manifest.golden),
  ]);
  const tail = rounded ? widened(await inflated(sent, "gzip")) : sent;
  const golden = await readArrays(goldenFile);
  return { manifest, head, tail, tables, golden, logits: rounded ? manifest.half.logits : logitsOf(manifest, golden) };
}

// The bytes of a file of the weights, which are those that the manifest's entry names. Their hash is in the
// address: other tails and golden numbers of a fingerprint are another file under the same name.
export async function loadFile(root, { fingerprint }, { file, sha256: expected }, ask, told = () => {}) {
  const bytes = await read(`${root}${fingerprint}/${file}?sha256=${expected}`, ask);
  told();
  if ((await sha256(bytes)) !== expected) {
    throw new WeightsProblem("weights", `${file} is not the file that its manifest names.`);
  }
  return bytes;
}

async function read(url, ask) {
  const response = await ask(url);
  if (response.status === 401 || response.status === 403) {
    throw new WeightsProblem("unauthorised", "The server asks for a token.");
  }
  if (!response.ok) throw new WeightsProblem("weights", `${url}: the server answered ${response.status}.`);
  return new Uint8Array(await response.arrayBuffer());
}

async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// NumPy's .npz -> { name: { shape, data } }.
export async function readArrays(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = bytes.length - 22;
  while (view.getUint32(at, true) !== 0x06054b50) at--; // the end of the directory
  const count = view.getUint16(at + 10, true);
  at = view.getUint32(at + 16, true);
  const arrays = {};
  for (let i = 0; i < count; i++) {
    const [method, packed] = [view.getUint16(at + 10, true), view.getUint32(at + 20, true)];
    const [nameLength, extra, comment] = [28, 30, 32].map((place) => view.getUint16(at + place, true));
    const header = view.getUint32(at + 42, true);
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    const start = header + 30 + view.getUint16(header + 26, true) + view.getUint16(header + 28, true);
    const content = bytes.subarray(start, start + packed);
    arrays[name.replace(/\.npy$/, "")] = readArray(method === 0 ? content : await inflated(content));
    at += 46 + nameLength + extra + comment;
  }
  return arrays;
}

// What a local model has to come to, by label set.
export function logitsOf({ tails }, golden, tail = LOCAL_TAIL) {
  const names = Object.keys(tails[tail].answers);
  const key = (name) => (names.length > 1 ? `logits_${tail}_${name}` : `logits_${tail}`);
  return Object.fromEntries(names.map((name) => [name, golden[key(name)].data]));
}

// A file whose large parameters are float16 -> the same with float32, as
// splitfer/cloud_server/weights/half.py has it.
export function widened(packed) {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  const parts = [];
  for (let at = MAGIC_BYTES; at < packed.length; ) {
    const length = view.getUint32(at, true);
    parts.push(packed.subarray(at + 4, at + 4 + length));
    at += 4 + length;
    const count = view.getUint32(at, true);
    at += 4;
    const bits = new Uint32Array(count);
    for (let i = 0; i < count; i++) bits[i] = widenedBits(view.getUint16(at + 2 * i, true));
    parts.push(new Uint8Array(bits.buffer));
    at += 2 * count;
  }
  const file = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    file.set(part, at);
    at += part.length;
  }
  return file;
}

const asFloat = new Float32Array(1);
const asBits = new Uint32Array(asFloat.buffer);

// The bits of a finite float16 -> those of the same number as float32.
function widenedBits(half) {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 31;
  const fraction = half & 0x3ff;
  if (exponent) return sign | ((exponent + 112) << 23) | (fraction << 13);
  asFloat[0] = fraction * 2 ** -24;
  return sign | asBits[0];
}

async function inflated(bytes, kind = "deflate-raw") {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream(kind));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const KINDS = { "|u1": Uint8Array, "<f4": Float32Array };

function readArray(bytes) {
  const length = bytes[8] | (bytes[9] << 8);
  const header = new TextDecoder().decode(bytes.subarray(10, 10 + length));
  const [, kind] = header.match(/'descr': '([^']+)'/);
  const shape = header.match(/'shape': \(([^)]*)\)/)[1].split(",").filter((n) => n.trim()).map(Number);
  const Kind = KINDS[kind];
  if (!Kind) throw new WeightsProblem("weights", `The golden file holds ${kind}.`);
  return { shape, data: new Kind(bytes.slice(10 + length).buffer) };
}
