// Why the edge answered alone: from what a call says, as splitfer/edge_client/link/reasons.py.

const BY_CODE = {
  model_mismatch: "model_mismatch",
  overloaded: "overloaded",
  not_ready: "not_ready",
  deadline: "deadline",
  unauthorised: "unauthorised",
  forbidden: "unauthorised",
};
// Without a code of ours, something between the server and us spoke.
const BY_STATUS = { 401: "unauthorised", 403: "unauthorised", 502: "link_down", 503: "link_down", 504: "deadline" };

// A call that brought no answer; `reason` is one of the edge's.
export class CallFailed extends Error {
  constructor(reason, message = reason) {
    super(message);
    this.reason = reason;
  }
}

export const reasonOfCode = (code) => BY_CODE[code] ?? "server_error";

export function reasonOfReply(status, code) {
  return code ? reasonOfCode(code) : (BY_STATUS[status] ?? "server_error");
}

// As a person reads them.
export const SENTENCES = {
  link_down: "The server cannot be reached.",
  breaker_open: "The server did not answer; it is asked again soon.",
  deadline: "The server's answer did not come in time.",
  model_mismatch: "The server has other weights now.",
  overloaded: "The server is busy.",
  not_ready: "The server is starting or stopping.",
  unauthorised: "The server does not take this token.",
  server_error: "The server failed.",
};
