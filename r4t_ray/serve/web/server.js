
// Calls to the server. A key of its own is kept for this tab, and never becomes part of the address.

const KEY = "r4t-api-key";

/** Characters that no header may hold become "?", so that the server refuses the key. */
const keepKey = (text) => sessionStorage.setItem(KEY, text.trim().replace(/[^\x21-\x7e]/g, "?"));

/** An error of the server in its four parts, or the lack of an answer. */
class Fault extends Error {
  constructor(status, error, requestId, retryAfter) {
    super(error.got);
    Object.assign(this, { status, ...error, requestId, retryAfter });
  }
}

/** The JSON of a reply. Throws a Fault. */
async function ask(path, body, signal) {
  const headers = { Accept: "application/json" };
  if (sessionStorage.getItem(KEY)) headers.Authorization = `Bearer ${sessionStorage.getItem(KEY)}`;
  const options = { headers, signal };
  if (body) {
    headers["Content-Type"] = "application/json";
    Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  }
  let reply;
  try {
    reply = await fetch(path, options);
  } catch (error) {
    if (signal?.aborted) throw error;
    const fix = "check that the server runs, then try again";
    throw new Fault(0, { where: path, got: "no connection", expected: "an answer of the server", fix });
  }
  const content = await reply.json().catch(() => null);
  if (reply.ok && content) return content;
  const unknown = { where: path, got: `status ${reply.status}`, expected: "an answer", fix: "see the server's log" };
  throw new Fault(reply.status, content?.error ?? unknown, content?.request_id, reply.headers.get("Retry-After"));
}

/** What a fault says, with the next step and a button for it. */
function faultPanel(fault, retry) {
  const titles = {
    0: "The server does not answer", 401: "This server asks for an API key", 429: "The server is busy",
  };
  const refused = fault.status >= 500 ? "The server could not answer" : "The server refused the request";
  const wait = fault.retryAfter ? `Try again in ${counted(Number(fault.retryAfter), "second")}.` : null;
  const parts = ["where", "got", "expected", "fix"].map((name) => [name, fault[name]]);
  if (fault.requestId) parts.push(["request", fault.requestId]);
  return make("div", { class: "fault", role: "alert" },
    make("h3", {}, titles[fault.status] ?? refused),
    wait && make("p", {}, wait),
    definitions(parts),
    fault.status === 401 ? null : make("button", { onclick: retry }, "Try again"));
}
