// Keeps the page on this device, for starts without a network.

const PATIENCE_MS = 60_000;

// The service worker first: what is loaded through it is there without a network from then on.
// Where the browser has none, or it does not come, the page works as long as there is a network.
// `script` gives the address of a file beside this one, as the page's policy wants it.
export async function keepOffline(script) {
  let failed = () => {};
  const fails = new Promise((done) => (failed = done));
  const late = new Promise((done) => setTimeout(done, PATIENCE_MS));
  try {
    const workers = navigator.serviceWorker;
    if (!workers || workers.controller) return;
    const controlled = new Promise((done) => workers.addEventListener("controllerchange", done, { once: true }));
    const scope = new URL("../edge", import.meta.url).pathname;
    const { installing, waiting: next } = await workers.register(script("sw.js"), { scope });
    const coming = installing ?? next;
    if (!coming) return; // it is here, and a forced reload went past it
    coming.addEventListener("statechange", () => coming.state === "redundant" && failed());
    await Promise.race([controlled, fails, late]);
  } catch {
    // private windows have none, and where a page may keep nothing even the question is refused
  }
}

// Calls `came` where the server's files of another version have taken the place of those that this
// page is of: what it loads from now on does not fit it.
export function onOtherVersion(came) {
  try {
    const workers = navigator.serviceWorker;
    if (workers?.controller) workers.addEventListener("controllerchange", came);
  } catch {
    // it keeps nothing
  }
}
