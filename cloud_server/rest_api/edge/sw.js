// Keeps the page for when there is no network. VERSION and FILES stand above, put there by the
// server: another version is another cache, and the one before is thrown away.

const PAGE = `edge-${VERSION}`;
const WEIGHTS = "edge-weights-by-hash";
const HERE = new URL(".", self.location);
const KEPT = new Set(FILES.map((file) => new URL(file, HERE).href));
const MANIFEST = new URL("weights/manifest.json", HERE).href;

self.addEventListener("install", (event) => {
  event.waitUntil(keep().then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(forget().then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET") return;
  if (KEPT.has(request.url)) event.respondWith(kept(request));
  else if (request.url === MANIFEST) event.respondWith(weightsManifest(event));
  else if (request.url.startsWith(new URL("weights/", HERE).href)) event.respondWith(weights(request));
});

async function keep() {
  const cache = await caches.open(PAGE);
  await cache.addAll([...KEPT]);
}

async function forget() {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith("edge-") && name !== PAGE && name !== WEIGHTS);
  return Promise.all(old.map((name) => caches.delete(name)));
}

async function kept(request) {
  return (await caches.match(request, { cacheName: PAGE })) ?? fetch(request);
}

// The one that is here at once; what the server has now is for the next start.
async function weightsManifest(event) {
  const cache = await caches.open(WEIGHTS);
  const known = await cache.match(MANIFEST);
  if (known) {
    event.waitUntil(renew(cache, event.request).catch(() => {}));
    return known;
  }
  const response = await fetch(event.request);
  await put(cache, MANIFEST, response);
  return response;
}

// Whether it is kept. A device that is full keeps nothing more, and the page works as far as there is
// a network.
async function put(cache, url, response) {
  if (!response.ok) return false;
  return cache.put(url, response.clone()).then(() => true, () => false);
}

// Another manifest takes the place of the old one once all its files are here: a start without a
// network must not miss any.
async function renew(cache, request) {
  const response = await fetch(request);
  if (!response.ok) return;
  const { fingerprint, head, tails, half, golden, entropy } = await response.clone().json();
  const folder = new URL(`weights/${fingerprint}/`, HERE).href;
  // Another local model that is here of the old ones is wanted of the new ones, too.
  const here = new Set((await cache.keys()).map(({ url }) => new URL(url).pathname.split("/").at(-1)));
  const others = Object.entries(tails).filter(([name, { file }]) => name !== "local" && here.has(file));
  const wanted = [head, half ?? tails.local, golden, entropy, ...others.map(([, entry]) => entry)];
  const urls = wanted.filter(Boolean).map(({ file, sha256 }) => `${folder}${file}?sha256=${sha256}`);
  for (const url of urls) {
    await weights(new Request(url, { headers: request.headers }));
    if (!(await cache.match(url))) return;
  }
  if (!(await put(cache, MANIFEST, response))) return;
  for (const { url } of await cache.keys()) {
    if (url !== MANIFEST && !urls.includes(url)) await cache.delete(url);
  }
}

// A file never changes under its address, in which its hash is.
async function weights(request) {
  const cache = await caches.open(WEIGHTS);
  const known = await cache.match(request.url);
  if (known) return known;
  const response = await fetch(request);
  await put(cache, request.url, response);
  return response;
}
