// What the page shows, and the address that says so. An entry is {id} of the collection or an image of the user's,
// {point, preview, name}: that one lives in the tab's history, beside the address, and not in a link.

const SMALLEST = 1;

export function fresh(collection) {
  const k = Math.max(SMALLEST, Math.min(10, collection.limits.k, collection.items || 10));
  return { more: [], less: [], k, weights: null, where: {}, lens: false, class: null };
}

export function toHash(state, collection) {
  const words = new URLSearchParams();
  for (const entry of state.more) if ("id" in entry) words.append("like", entry.id);
  for (const entry of state.less) if ("id" in entry) words.append("unlike", entry.id);
  if (state.k !== fresh(collection).k) words.set("k", state.k);
  if (state.weights) words.set("weights", state.weights.join(","));
  if (Object.keys(state.where).length) words.set("where", JSON.stringify(state.where));
  if (state.lens) words.set("lens", state.class ?? "");
  return words.toString();
}

function readWhere(text, fields) {
  try {
    const where = JSON.parse(text);
    return Object.fromEntries(Object.entries(where).filter(([name]) => Object.hasOwn(fields, name)));
  } catch {
    return {};
  }
}

// What the tab's history holds beside the address: all entries where an image is among them, else null.
export function toHistory({ more, less }, collection) {
  const images = [...more, ...less].some((entry) => !("id" in entry));
  return images ? { collection: collection.name, more, less } : null;
}

function readable(entries) {
  const text = (...values) => values.every((value) => typeof value === "string");
  const known = (entry) => text(entry?.id) || (text(entry?.point, entry?.preview, entry?.name) && entry.preview.startsWith("data:image/"));
  return Array.isArray(entries) && entries.every(known);
}

// The state of an address and of what the history holds beside it, which another collection may have left.
export function restored(hash, kept, collection) {
  const state = fromHash(hash, collection);
  if (kept?.collection !== collection.name || !readable(kept.more) || !readable(kept.less)) return state;
  if (!kept.more.length || kept.more.length + kept.less.length > collection.limits.chosen) return state;
  return { ...state, more: kept.more, less: kept.less };
}

// A link may be old or mistyped: what this collection does not know is left out.
function fromHash(hash, collection) {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  const state = fresh(collection);
  const entries = (name) => words.getAll(name).map((id) => ({ id }));
  state.more = entries("like").slice(0, collection.limits.chosen);
  state.less = state.more.length ? entries("unlike").slice(0, collection.limits.chosen - state.more.length) : [];
  const k = Math.round(Number(words.get("k")));
  if (k >= SMALLEST) state.k = Math.min(k, collection.limits.k);
  const weights = (words.get("weights") ?? "").split(",").map(Number);
  if (words.has("weights") && usable(weights, collection)) state.weights = weights;
  if (words.has("where")) state.where = readWhere(words.get("where"), collection.fields);
  state.lens = words.has("lens") && "class" in collection.fields;
  state.class = words.get("lens") || null;
  return state;
}

export function usable(weights, collection) {
  return weights.length === collection.parts.length && weights.every((w) => w >= 0 && w < Infinity) && weights.some((w) => w > 0);
}

export const same = (one, other) => ("id" in one ? one.id === other.id : one.point === other.point);

// The request that a state means: [path, body].
export function request(state) {
  const plain = (entry) => ("id" in entry ? { id: entry.id } : { point: entry.point });
  const alone = state.more.length === 1 && state.less.length === 0;
  const query = alone ? plain(state.more[0]) : { more: state.more.map(plain), less: state.less.map(plain) };
  if (state.lens) return ["/api/confusions", { query, class: state.class, k: state.k }];
  const where = Object.keys(state.where).length ? state.where : null;
  return ["/api/search", { query, k: state.k, weights: state.weights, where }];
}
