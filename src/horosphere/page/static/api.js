// Every request of the page. Refused: the server said why. Gone: there was no answer at all.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Gone extends Error {}

// "busy" (detail: seconds until the next try), then "free" once no request waits any more.
export const connection = new EventTarget();
let waiting = 0;

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

async function sentence(response) {
  try {
    return (await response.json()).error;
  } catch {
    return `The server answered ${response.status} without a reason. Try again; its log may say more.`;
  }
}

async function once(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    throw error.name === "AbortError" ? error : new Gone("The server does not answer.");
  }
}

function delay(response) {
  const wait = Number(response.headers.get("Retry-After"));
  return response.status === 429 || (response.status === 503 && wait > 0) ? Math.max(1, wait || 1) : 0;
}

// Asks until a busy server takes it, or it is given up.
async function again(response, path, options) {
  waiting += 1;
  try {
    for (let wait; (wait = delay(response)); response = await once(path, options)) {
      connection.dispatchEvent(new CustomEvent("busy", { detail: wait }));
      await pause(wait, options.signal);
    }
    return response;
  } finally {
    waiting -= 1;
    if (!waiting) connection.dispatchEvent(new Event("free"));
  }
}

async function send(path, options = {}) {
  let response = await once(path, options);
  if (delay(response)) response = await again(response, path, options);
  if (!response.ok) throw new Refused(response.status, await sentence(response));
  return response;
}

const read = async (path, signal) => (await send(path, { signal })).json();

async function post(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  return (await send(path, { method: "POST", headers, body: JSON.stringify(body), signal })).json();
}

export const health = () => read("/api/health");
export const collection = () => read("/api/collection");
export const ask = (path, body, signal) => post(path, body, signal);
export const item = (id) => read(`/api/items?${new URLSearchParams({ id })}`);
export const like = (text, limit, signal) => read(`/api/items?${new URLSearchParams({ like: text, limit })}`, signal);
export const thumbnail = (id) => `/thumbnails?${new URLSearchParams({ id })}`;
export const diskItems = () => read("/api/disk/items");
export const diskPoints = async () => new Float32Array(await (await send("/api/disk/points")).arrayBuffer());

export async function embed(image, signal) {
  const headers = { "Content-Type": image.type || "application/octet-stream" };
  return (await send("/api/queries", { method: "POST", headers, body: image, signal })).json();
}

export async function openSession(token) {
  await post("/api/session", { token });
}

// Whether a program, which has no session, would be refused without a token.
export async function wantsToken() {
  return (await once("/api/items?like=&limit=1", { credentials: "omit" })).status === 401;
}

// The disk's layout while it is made: one JSON value a line.
export async function layout(onLine) {
  const reader = (await send("/api/disk")).body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch {
      throw new Gone("The server stopped while the disk was laid out.");
    }
    rest += part.value ?? "";
    const lines = rest.split("\n");
    rest = lines.pop();
    if (part.done) lines.push(rest);
    for (const line of lines) if (line.trim()) onLine(JSON.parse(line));
    if (part.done) return;
  }
}
