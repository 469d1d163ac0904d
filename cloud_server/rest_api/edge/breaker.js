// The link as states, with the transitions of splitfer/edge_client/link/breaker.py: when frames
// may go to the server, and when to try again. Pure functions; the clock and chance are passed in.
//
//   connecting --handshake--> ready --failures in a row--> open --time--> half_open
//        ^ probe failed: wait,  ^                            ^               |  |
//        `-- try again          `------- handshake ----------|---------------'  |
//                                                            `--- probe failed -'

const FAILURES_TO_OPEN = 3;
const FIRST_WAIT_S = 0.25;
const LONGEST_WAIT_S = 2;
// Other weights or a refused token do not become right by asking again.
const FINAL = ["model_mismatch", "unauthorised"];

const START = { state: "connecting", failures: 0, probes: 0, probeAtS: 0, cause: "link_down" };

export const newBreaker = () => ({ ...START });

// Why a frame must not be sent now; null where it may be.
export function refusal({ state, cause }) {
  if (state === "ready") return null;
  if (FINAL.includes(cause)) return cause;
  return state === "connecting" ? "link_down" : "breaker_open";
}

// Whether a handshake should be tried now.
export function probeDue({ state, probeAtS }, nowS) {
  return (state === "connecting" || state === "open") && nowS >= probeAtS;
}

export function probeStarted(breaker) {
  return breaker.state === "open" ? { ...breaker, state: "half_open" } : breaker;
}

export function handshakeSucceeded() {
  return { ...START, state: "ready" };
}

// `jitter` is drawn from 0..1.
export function handshakeFailed(breaker, cause, nowS, jitter) {
  const state = breaker.state === "half_open" ? "open" : breaker.state;
  const probes = breaker.probes + 1;
  return { ...START, state, probes, probeAtS: nowS + waitS(probes, jitter), cause };
}

export function callSucceeded(breaker) {
  return breaker.state === "ready" ? { ...breaker, failures: 0 } : breaker;
}

// Calls that end after the breaker opened change nothing.
export function callFailed(breaker, cause, nowS, jitter) {
  if (breaker.state !== "ready") return breaker;
  const failures = breaker.failures + 1;
  if (failures < FAILURES_TO_OPEN && !FINAL.includes(cause)) return { ...breaker, failures, cause };
  return { ...START, state: "open", probeAtS: nowS + waitS(0, jitter), cause };
}

// Doubling, each shortened by up to half so that many edges do not come back at once.
function waitS(probes, jitter) {
  return Math.min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** Math.min(probes, 10)) * (1 - jitter / 2);
}
