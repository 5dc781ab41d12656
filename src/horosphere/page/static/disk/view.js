// The Poincaré disk of a collection: points that can be dragged, zoomed into, picked, coloured and searched by words.
import { Camera } from "./camera.js";
import { Frames } from "./frames.js";
import { Gestures } from "./gestures.js";
import { Legend, make, shown } from "./legend.js";
import { drawGround, drawQuery, drawRing } from "./lines.js";
import { List } from "./list.js";
import { apply, carry, compose, identity } from "./mobius.js";
import { aroundCentre, nearestTo } from "./nearest.js";
import { css, scheme, texture } from "./palette.js";
import { Points } from "./points.js";
import { coloursOf, watchTheme } from "./theme.js";
import { drawImage, fit, Images, sideFor } from "./thumbnails.js";
import { Tip } from "./tip.js";

const MARGIN = 10, REACH = 16; // pixels around the disk, and how near a pointer must come to a point
const SETTLE = 140; // milliseconds after the last move until everything is drawn again
const LISTED = 20, CANDIDATES = 700, NAMED = 12;
const MOVE = 0.35, STEP = 1.5; // an arrow key's move, and the factor of + and −

export class Disk {
  // The container is a box of any width. Where WebGL2 is absent it holds a list of the items and says why.
  constructor(container, { thumbnailUrl, onPick = () => {}, onHover = () => {} }) {
    Object.assign(this, { container, onPick, onHover });
    container.classList.add("disk-box");
    this.stage = container.appendChild(make("div", "disk-stage"));
    this.layers = ["disk-ground", "disk-points", "disk-top"].map((name) => this.stage.appendChild(make("canvas", name)));
    for (const layer of this.layers) layer.setAttribute("aria-hidden", "true");
    [this.ground, , this.top] = this.layers.map((layer, i) => (i === 1 ? null : layer.getContext("2d")));
    this.camera = new Camera(() => this.moved());
    this.frames = new Frames();
    this.images = new Images(thumbnailUrl, () => this.request());
    this.tip = new Tip(this.stage, this.images);
    this.legend = new Legend(container, (only) => this.stand(only));
    this.list = new List(this.stage, {
      look: (index) => this.look(index),
      pick: (index) => this.onPick(this.ids[index]),
      centre: (index) => this.centre(index),
    });
    this.load(new Float32Array(), { ids: [], fields: {} });
    try {
      this.points = new Points(this.layers[1], () => this.request());
    } catch {
      this.points = null;
      this.stage.classList.add("disk-bare");
      this.stage.append(make("p", "disk-message", "The disk is drawn with WebGL2, which this browser does not offer or has switched off. The items nearest its centre:"));
      return;
    }
    this.tools();
    this.gestures = new Gestures(this.stage, this.meanings());
    this.unwatch = watchTheme(() => this.recolour());
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.stage);
    this.resize();
  }

  // Places x0 y0 x1 y1 … in the unit disk, and {ids, fields: {name: {values, codes}}} in the same order.
  load(places, { ids, fields }) {
    // In an order by lot any first part of the points is a fair sample, and no class hides the others.
    const order = shuffled(ids.length);
    this.order = order;
    this.ids = Array.from(order, (i) => ids[i]);
    this.places = new Float32Array(2 * ids.length);
    order.forEach((from, to) => this.places.set(places.subarray(2 * from, 2 * from + 2), 2 * to));
    this.row = new Map(this.ids.map((id, index) => [id, index]));
    this.fields = Object.fromEntries(Object.entries(fields).map(
      ([name, { values, codes }]) => [name, { values, codes: Int32Array.from(order, (i) => codes[i]) }],
    ));
    Object.assign(this, { query: null, neighbours: [], thumbnails: [], found: 0, hovered: null, looked: null, field: null, scheme: null });
    this.stage.tabIndex = 0;
    this.stage.setAttribute("role", "application");
    this.stage.setAttribute("aria-roledescription", "Poincaré disk");
    this.stage.setAttribute("aria-label", `${ids.length.toLocaleString("en")} items in the Poincaré disk. Arrow keys move, plus and minus zoom, R goes back, Enter brings the item nearest the centre to it. Tab leads to a list of the items nearest the centre.`);
    this.camera.home = homeScale(this.places);
    if (this.points) {
      this.points.setPlaces(this.places);
      this.points.setFound(new Uint8Array(ids.length));
    }
    this.colourBy(null);
    this.camera.set(identity, this.camera.home);
    if (!this.points) this.settle();
  }

  // Colours by the values of a field; null for one colour.
  colourBy(name) {
    this.field = name in this.fields ? name : null;
    const own = this.fields[this.field];
    this.points?.setCodes(own ? Uint16Array.from(own.codes) : new Uint16Array(this.ids.length));
    this.recolour();
    this.legend.show(this.field, own?.values, own ? this.scheme : null);
  }

  recolour() {
    this.colours = coloursOf(this.container);
    const own = this.fields[this.field] ?? { values: ["all"], codes: new Int32Array(this.ids.length) };
    this.scheme = scheme(own, this.colours.dark);
    this.stand(null);
    if (this.field) this.legend.show(this.field, own.values, this.scheme);
  }

  // Only these values of the field keep their colours; null: all.
  stand(only) {
    this.points?.setPalette(texture(this.scheme, only, this.colours.dark));
    this.request();
  }

  // Items whose id or a value holds the text stand out; how many. No text: nothing does.
  find(text) {
    const words = text.trim().toLowerCase(), found = new Uint8Array(this.ids.length);
    this.found = 0;
    if (words) {
      const holds = (value) => String(value).replaceAll("_", " ").toLowerCase().includes(words) || String(value).toLowerCase().includes(words);
      const fields = Object.values(this.fields).map(({ values, codes }) => [new Set(values.flatMap((value, code) => (holds(value) ? [code] : []))), codes]).filter(([set]) => set.size);
      this.ids.forEach((id, index) => {
        if (holds(id) || fields.some(([set, codes]) => set.has(codes[index]))) found[index] = this.found += 1;
      });
      found.forEach((value, index) => { if (value) found[index] = 1; });
    }
    this.finding = Boolean(words);
    this.points?.setFound(found);
    if (this.found === 1) this.centre(found.indexOf(1));
    this.request();
    return this.found;
  }

  // The query's place [x, y] with geodesics to items, nearest first; null: no query.
  showQuery(place, ids) {
    this.query = place;
    this.neighbours = place ? ids.map((id) => this.row.get(id)).filter((index) => index !== undefined) : [];
    if (place) {
      const seen = apply(this.camera.isometry, place);
      // Near the rim everything is small, so it is brought to where there is room.
      if (Math.hypot(...seen) * Math.max(1, this.camera.scale) > 0.7) this.camera.glide(this.camera.centred(place));
    }
    this.settle();
  }

  // A ring around an item, without moving; null: none.
  focus(id) {
    this.look(id === null || id === undefined ? null : this.row.get(id) ?? null);
  }

  // Brings an item to the centre.
  centre(index) {
    this.camera.glide(this.camera.centred(this.place(index)), Math.max(this.camera.scale, this.camera.home));
  }

  // Milliseconds from frame to frame while things moved, how many points were drawn last, and what a search under the pointer took.
  stats() {
    return { items: this.ids.length, drawn: this.count ?? 0, picking: this.picking ?? null, ...this.frames.summary() };
  }

  destroy() {
    clearTimeout(this.settling);
    cancelAnimationFrame(this.scheduled);
    this.gestures?.close();
    this.sizes?.disconnect();
    this.unwatch?.();
    this.points?.close();
    this.container.replaceChildren();
    this.container.classList.remove("disk-box");
  }

  // What is said of an item: its id and values.
  describe(index) {
    const values = Object.entries(this.fields).flatMap(
      ([name, { values, codes }]) => (codes[index] >= 0 ? [[name, shown(values[codes[index]])]] : []),
    );
    return { id: this.ids[index], values };
  }

  place(index) { return [this.places[2 * index], this.places[2 * index + 1]]; }

  // From pixels to the disk as it is seen, and back.
  seen([x, y]) {
    const { middle, radius } = this.view();
    return [(x - middle[0]) / radius, (middle[1] - y) / radius];
  }

  onScreen(place) {
    const { middle, radius, isometry } = this.view(), [x, y] = apply(isometry, place);
    return [middle[0] + radius * x, middle[1] - radius * y];
  }

  view() {
    const { width, height } = this.box;
    return {
      middle: [width / 2, height / 2], isometry: this.camera.isometry,
      radius: (Math.min(width, height) / 2 - MARGIN) * this.camera.scale,
    };
  }

  meanings() {
    let grabbed = null;
    const still = (at) => {
      grabbed = { isometry: this.camera.isometry, at: this.seen(at) };
    };
    const keys = {
      ArrowLeft: [MOVE, 0], ArrowRight: [-MOVE, 0], ArrowUp: [0, -MOVE], ArrowDown: [0, MOVE],
    };
    return {
      grab: (at) => {
        this.camera.set(this.camera.isometry);
        still(at);
        this.pointer = null;
        this.hover(null);
      },
      drag: (at) => {
        this.stage.classList.add("disk-held");
        this.camera.set(this.camera.carried(grabbed.isometry, grabbed.at, this.seen(at)));
      },
      drop: () => this.stage.classList.remove("disk-held"),
      pinch: (from, to, factor) => {
        this.camera.set(this.camera.carried(this.camera.isometry, this.seen(from), this.seen(to)));
        this.camera.set(...this.camera.zoomed(this.seen(to), factor));
        still(to);
      },
      zoom: (at, factor) => {
        const [isometry, scale] = this.camera.zoomed(this.seen(at), factor);
        if (scale === this.camera.scale) return factor > 1; // fully zoomed out: the page may scroll on
        this.hover(null);
        this.camera.set(isometry, scale);
        return true;
      },
      point: (at) => {
        this.pointer = at;
        this.hover(at && this.under(at));
      },
      click: (at) => {
        const index = this.under(at);
        if (index !== null) this.onPick(this.ids[index]);
      },
      twice: (at) => {
        const index = this.under(at), scale = Math.max(this.camera.scale * STEP, this.camera.home);
        const place = index === null ? null : this.place(index);
        this.camera.glide(place ? this.camera.centred(place) : this.camera.carried(this.camera.isometry, this.seen(at), [0, 0]), scale);
      },
      key: (name, fast) => {
        const zoom = { "+": STEP, "=": STEP, "-": 1 / STEP, _: 1 / STEP }[name];
        if (keys[name]) {
          const to = keys[name].map((value) => Math.tanh(value * (fast ? 3 : 1) / 2 / this.camera.scale ** 0.7));
          this.camera.glide(compose(carry([0, 0], to), this.goal()));
        } else if (zoom) this.camera.glide(this.goal(), (this.camera.goal?.end ?? this.camera.scale) * zoom);
        else if (name === "r" || name === "R") this.reset();
        else if (name === "Enter") {
          const index = nearestTo(this.places, this.camera.isometry, [0, 0], 1);
          if (index < 0) return false;
          this.centre(index);
          this.look(index);
        } else if (name === "Escape") this.hover(null);
        else return false;
        return true;
      },
    };
  }

  // Where a move that is under way ends, so that keys struck fast add up.
  goal() { return this.camera.goal?.to ?? this.camera.isometry; }

  reset() { this.camera.glide(identity, this.camera.home); }

  tools() {
    const bar = this.stage.appendChild(make("div", "disk-tools"));
    const middle = () => [0, 0];
    const tool = (sign, label, does) => {
      const button = bar.appendChild(make("button", "", sign));
      button.type = "button";
      button.title = label;
      button.setAttribute("aria-label", label);
      button.addEventListener("click", () => does(button));
      return button;
    };
    tool("+", "Zoom in (+)", () => this.camera.glide(...this.camera.zoomed(middle(), STEP)));
    tool("−", "Zoom out (−)", () => this.camera.glide(...this.camera.zoomed(middle(), 1 / STEP)));
    tool("⟲", "Back to the start (R)", () => this.reset());
    tool("▦", "Show images where there is room", (button) => {
      this.plain = !this.plain;
      button.setAttribute("aria-pressed", !this.plain);
      this.settle();
    }).setAttribute("aria-pressed", "true");
    for (const name of ["pointerdown", "pointermove", "keydown"]) bar.addEventListener(name, (event) => event.stopPropagation());
    bar.addEventListener("pointerenter", () => {
      this.pointer = null;
      this.hover(null);
    });
    this.readout = this.stage.appendChild(make("output", "disk-readout"));
    this.readout.setAttribute("aria-hidden", "true");
  }

  // The index of the item under a pixel, or null.
  under(at) {
    const began = performance.now(), reach = REACH / this.view().radius;
    const image = this.thumbnails.findLast(({ index, side }) => {
      const [x, y] = this.onScreen(this.place(index));
      return this.images.get(this.ids[index]) && Math.abs(at[0] - x) <= side / 2 && Math.abs(at[1] - y) <= side / 2;
    });
    const index = image ? image.index : nearestTo(this.places, this.camera.isometry, this.seen(at), reach);
    this.picking = performance.now() - began;
    return index < 0 ? null : index;
  }

  hover(index) {
    if (index === this.hovered) return;
    this.hovered = index;
    this.look(index);
    this.stage.classList.toggle("disk-over", index !== null);
    this.onHover(index === null ? null : this.ids[index]);
  }

  // A ring and a word for an item.
  look(index) {
    this.looked = index;
    if (index !== null) this.images.want([this.ids[index], ...this.images.wanted.toReversed()]);
    this.request();
  }

  moved() {
    this.moving = true;
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.settle(), SETTLE);
    this.request();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    this.box = { width, height };
    this.ratio = Math.min(devicePixelRatio || 1, 2);
    for (const layer of this.layers) {
      layer.width = Math.max(1, Math.round(width * this.ratio));
      layer.height = Math.max(1, Math.round(height * this.ratio));
    }
    this.settle();
  }

  // Nothing moves any more: every point, the images that have room, the list.
  settle() {
    if (!this.camera.still) return this.request();
    this.moving = false;
    this.frames.rest();
    const { width, height } = this.box ?? { width: 1, height: 1 }, { radius } = this.box ? this.view() : { radius: 1 };
    const { found, count } = aroundCentre(this.places, this.camera.isometry, width / 2 / radius, height / 2 / radius, CANDIDATES);
    this.list.show(found.slice(0, LISTED).map(({ index }) => {
      const { id, values } = this.describe(index);
      return { index, text: [id, ...values.map(([name, value]) => `${name} ${value}`)].join(", ") };
    }));
    this.thumbnails = this.plain || !this.points ? [] : this.chosen(found, count, radius);
    this.images.want(this.thumbnails.map(({ index }) => this.ids[index]));
    if (this.pointer) this.hover(this.under(this.pointer)); // something else may be under it now
    this.request();
  }

  chosen(found, count, radius) {
    const { width, height } = this.box, side = sideFor(Math.min(width * height, Math.PI * radius * radius), count);
    const near = this.neighbours.slice(0, NAMED), taken = new Set(near);
    const one = (index, x, y, least) => ({
      index, x: radius * x, y: radius * y, side: Math.max(least, side * Math.max(0.3, 1 - x * x - y * y)),
    });
    const candidates = near.map((index) => one(index, ...apply(this.camera.isometry, this.place(index)), 34));
    if (side) for (const { index, x, y } of found) if (!taken.has(index)) candidates.push(one(index, x, y, 0));
    return fit(candidates.filter(({ side }) => side >= 20)).reverse();
  }

  request() {
    if (this.points && this.box) this.scheduled ??= requestAnimationFrame((now) => this.frame(now));
  }

  frame(now) {
    this.scheduled = null;
    const before = this.camera.still;
    this.camera.advance(now);
    if (!before) this.moved();
    if (this.moving) this.frames.tick(now, this.ids.length);
    this.count = this.moving ? this.frames.drawn(this.ids.length) : this.ids.length;
    this.draw();
  }

  draw() {
    const view = this.view(), { ground, top, colours, ratio } = this, { width, height } = this.box;
    for (const context of [ground, top]) {
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, width, height);
    }
    drawGround(ground, view, colours);
    this.points.draw(view.isometry, view.radius * ratio, this.pointSize() * ratio, this.count, this.finding);
    for (const { index, side } of this.thumbnails) {
      const image = this.images.get(this.ids[index]), [x, y] = this.onScreen(this.place(index));
      if (image) drawImage(top, image, { x, y, side }, this.colourOf(index), colours.card);
    }
    if (this.query) {
      const seen = (place) => apply(view.isometry, place);
      drawQuery(top, view, seen(this.query), this.neighbours.map((index) => seen(this.place(index))), colours);
    }
    if (this.looked !== null) drawRing(top, view, apply(view.isometry, this.place(this.looked)), colours);
    this.tip.show(this.looked === null ? null : this.describe(this.looked), this.looked === null ? null : this.onScreen(this.place(this.looked)), this.box);
    this.tell();
  }

  pointSize() {
    const { width, height } = this.box, room = Math.sqrt(width * height / Math.max(1, this.ids.length));
    return Math.min(Math.min(Math.max(room * 0.5, 2.6), 9) * this.camera.scale ** 0.4, 16);
  }

  colourOf(index) {
    const code = this.fields[this.field]?.codes[index] ?? 0;
    return code < 0 ? this.colours.soft : css(this.scheme.colour(code));
  }

  tell() {
    const { median } = this.frames.summary(), count = this.ids.length.toLocaleString("en");
    const sample = this.count < this.ids.length ? `${this.count.toLocaleString("en")} of\n` : "";
    this.readout.textContent = `${sample}${count} items${median ? `\n${Math.round(median)} ms a frame` : ""}`;
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

// The magnification at the start: the whole disk, but for a collection in its very middle, which would be a dot.
function homeScale(places) {
  const radii = new Float32Array(places.length / 2);
  for (let i = 0; i < radii.length; i += 1) radii[i] = Math.hypot(places[2 * i], places[2 * i + 1]);
  radii.sort();
  const reach = radii.length ? radii[Math.floor(0.98 * (radii.length - 1))] : 1;
  return Math.min(Math.max(0.6 / Math.max(reach, 0.05), 1), 8);
}
