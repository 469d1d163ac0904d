// One picture to the server and back: the answer and what it cost, or a sentence.

const FACES = "v1/faces"; // relative, so that a proxy may put the page under a folder

const SENTENCES = {
  bad_picture: "This picture is damaged or cut short.",
  unsupported_picture: "This is no picture that can be read here: send a JPEG, PNG or WebP.",
  malformed_payload: "The server could not read the request.",
  too_large: "This picture is too large for the server.",
  overloaded: "The server is busy. Try again in a moment.",
  not_ready: "The server is starting or stopping. Try again in a moment.",
  deadline: "The answer did not come in time. Try again, or send a smaller picture.",
  inference_failed: "The server failed on this picture. Its log says why.",
  internal: "The server failed on this picture. Its log says why.",
};

// What went wrong, as a person reads it; `code` and `retryable` are the API's own.
export class Problem extends Error {
  constructor(code, sentence, { detail = "", retryable = false, retryMs = 1000 } = {}) {
    super(sentence);
    Object.assign(this, { code, detail, retryable, retryMs });
  }
}

// Gives { body, text, sentBytes, receivedBytes, roundTripMs }; throws a Problem, or an AbortError.
export async function askFaces(picture, token, signal) {
  const headers = { "Content-Type": picture.type || "application/octet-stream" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const start = performance.now();
  let response, bytes;
  try {
    response = await fetch(FACES, { method: "POST", body: picture, headers, signal, cache: "no-store" });
    bytes = await response.arrayBuffer();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem("unreachable", "The server cannot be reached, or it broke the connection.", {
      detail: `It may be gone, or it may have refused a picture of ${amount(picture.size)}.`,
    });
  }
  const roundTripMs = performance.now() - start;
  const text = new TextDecoder().decode(bytes);
  const body = parsed(text);
  if (!response.ok || !body) throw refusal(response, body, Boolean(token));
  return { body, text, sentBytes: picture.size, receivedBytes: bytes.byteLength, roundTripMs };
}

// A command that asks the same of the same server.
export function curlCommand(name, withToken) {
  const url = new URL(FACES, document.baseURI).href;
  const token = withToken ? ' -H "Authorization: Bearer $TOKEN"' : "";
  return `curl${token} --data-binary @${quoted(name)} ${quoted(url)}`;
}

// 1234567 -> "1.2 MB", as programs that show transfers count.
export function amount(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function refusal(response, body, hadToken) {
  const { code = "", message = "", retryable = false } = body?.error ?? {};
  let sentence = SENTENCES[code] ?? asSentence(message);
  if (response.status === 401) {
    sentence = hadToken ? "The server does not know this token." : "This server asks for a token.";
  }
  return new Problem(response.status === 401 ? "unauthorised" : code, sentence || "The server refused.", {
    detail: `The server said: ${message || response.statusText} (${[response.status, code].join(" ").trim()}).`,
    retryable,
    retryMs: 1000 * (Number(response.headers.get("Retry-After")) || 1),
  });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // a proxy's own page
  }
}

function asSentence(message) {
  return message && message[0].toUpperCase() + message.slice(1).replace(/\.?$/, ".");
}

function quoted(word) {
  return /^[\w./:@-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
