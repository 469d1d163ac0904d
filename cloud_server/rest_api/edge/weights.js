// The weights that the server has, each file checked against the hash in their manifest.

const LOCAL_TAIL = "local";

// A sentence for people; `code` for the page.
export class WeightsProblem extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

// `root`: the address of the weights; `ask` fetches; `told(bytes)` is told of what came.
// -> { manifest, head, tail, tables, golden }
export async function loadWeights(root, ask, told = () => {}) {
  const manifest = JSON.parse(new TextDecoder().decode(await read(`${root}manifest.json`, ask)));
  const folder = `${root}${manifest.fingerprint}/`;
  const file = async (entry) => {
    const bytes = await read(folder + entry.file, ask);
    told(bytes.length);
    if ((await sha256(bytes)) !== entry.sha256) {
      throw new WeightsProblem("weights", `${entry.file} is not the file that its manifest names.`);
    }
    return bytes;
  };
  const [head, tail, tables, golden] = await Promise.all([
    file(manifest.head),
    file(manifest.tails[LOCAL_TAIL]),
    manifest.entropy ? file(manifest.entropy) : null,
    file(manifest.golden),
  ]);
  return { manifest, head, tail, tables, golden: await readArrays(golden) };
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

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
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
