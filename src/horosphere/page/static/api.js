// Every request of the page. Refused: the server said why. Gone: there was no answer at all.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Gone extends Error {}

// "busy" (detail: seconds until the next try), then "answer".
export const connection = new EventTarget();

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

async function send(path, options = {}) {
  for (let busy = false; ; busy = true) {
    let response;
    try {
      response = await fetch(path, options);
    } catch (error) {
      throw error.name === "AbortError" ? error : new Gone("The server does not answer.");
    }
    const wait = Number(response.headers.get("Retry-After"));
    if (response.status === 429 || (response.status === 503 && wait > 0)) {
      connection.dispatchEvent(new CustomEvent("busy", { detail: Math.max(1, wait || 1) }));
      await pause(Math.max(1, wait || 1), options.signal);
      continue;
    }
    if (busy) connection.dispatchEvent(new Event("answer"));
    if (!response.ok) throw new Refused(response.status, await sentence(response));
    return response;
  }
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

export async function embed(image) {
  const headers = { "Content-Type": image.type || "application/octet-stream" };
  return (await send("/api/queries", { method: "POST", headers, body: image })).json();
}

export async function openSession(token) {
  await post("/api/session", { token });
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
