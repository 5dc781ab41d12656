// What the disk shows: items in an order by lot, each with its place and its values.
import { shown } from "./words.js";

export class Items {
  // Places x0 y0 x1 y1 … in the unit disk, and {ids, fields: {name: {values, codes}}} in the same order.
  constructor(places, { ids, fields }) {
    // In an order by lot any first part of the points is a fair sample, and no class hides the others.
    const order = shuffled(ids.length);
    this.ids = Array.from(order, (i) => ids[i]);
    this.places = new Float32Array(2 * ids.length);
    order.forEach((from, to) => this.places.set(places.subarray(2 * from, 2 * from + 2), 2 * to));
    this.row = new Map(this.ids.map((id, index) => [id, index]));
    this.fields = Object.fromEntries(Object.entries(fields).map(
      ([name, { values, codes }]) => [name, { values, codes: Int32Array.from(order, (i) => codes[i]) }],
    ));
  }

  get length() { return this.ids.length; }

  place(index) { return [this.places[2 * index], this.places[2 * index + 1]]; }

  // What is said of an item: its id and values.
  describe(index) {
    const values = Object.entries(this.fields).flatMap(
      ([name, { values, codes }]) => (codes[index] >= 0 ? [[name, shown(values[codes[index]])]] : []),
    );
    return { id: this.ids[index], values };
  }

  // 1 for each item whose id or a value holds the text; no text: none does.
  matching(text) {
    const words = text.trim().toLowerCase(), found = new Uint8Array(this.length);
    if (!words) return found;
    const holds = (value) => String(value).replaceAll("_", " ").toLowerCase().includes(words) || String(value).toLowerCase().includes(words);
    const fields = Object.values(this.fields).map(({ values, codes }) => [new Set(values.flatMap((value, code) => (holds(value) ? [code] : []))), codes]).filter(([set]) => set.size);
    return found.map((_, index) => Number(holds(this.ids[index]) || fields.some(([set, codes]) => set.has(codes[index]))));
  }

  // How far from the middle lie all but a share of the items.
  radius(share) {
    const radii = Float32Array.from(this.ids, (_, index) => Math.hypot(...this.place(index))).sort();
    return radii.length ? radii[Math.floor((1 - share) * (radii.length - 1))] : 1;
  }
}

// 0 … n − 1 in an order by lot, the same every time.
function shuffled(count) {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  let state = 1;
  for (let i = count - 1; i > 0; i -= 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor(state / 4294967296 * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
