// The Poincaré disk of a collection: points that can be dragged, zoomed into, picked, coloured and searched by words.
import { make } from "../dom.js";
import { actions, over, tools } from "./actions.js";
import { Camera } from "./camera.js";
import { Frames } from "./frames.js";
import { Gestures } from "./gestures.js";
import { Items } from "./items.js";
import { Legend } from "./legend.js";
import { List } from "./list.js";
import { apply } from "./mobius.js";
import { aroundCentre, nearestTo } from "./nearest.js";
import { scheme, texture } from "./palette.js";
import { Picture } from "./picture.js";
import { SHAPED } from "./shaders.js";
import { coloursOf, watchTheme } from "./theme.js";
import { fit, Images, sideFor } from "./thumbnails.js";

const MARGIN = 10, REACH = 16; // pixels around the disk, and how near a pointer must come to a point
const SETTLE = 140; // milliseconds after the last move until everything is drawn again
const LISTED = 20, CANDIDATES = 700, NAMED = 12;

export class Disk {
  // The container is a box of any width. Where WebGL2 is absent, `bare`, it holds a list of items and says why.
  constructor(container, { thumbnailUrl, onPick = () => {}, onHover = () => {} }) {
    Object.assign(this, { container, onPick, onHover });
    container.classList.add("disk-box");
    this.stage = container.appendChild(make("div", { class: "disk-stage" }));
    this.readout = container.appendChild(make("p", { class: "disk-readout", "aria-hidden": "true" }));
    this.legend = new Legend(container, (only) => this.stand(only));
    this.images = new Images(thumbnailUrl, () => this.request());
    this.frames = new Frames();
    try {
      this.picture = new Picture(this.stage, this.images, () => this.request());
    } catch {
      this.bare = true;
    }
    this.camera = new Camera(() => this.moved(), !this.bare);
    this.list = new List(this.stage, {
      look: (index) => this.look(index),
      pick: (index) => this.onPick(this.items.ids[index]),
      centre: (index) => this.centre(index),
      leave: () => (this.bare ? this.list.element.blur() : this.stage.focus()),
    });
    this.load(new Float32Array(), { ids: [], fields: {} });
    if (this.bare) {
      this.stage.classList.add("disk-bare");
      this.message = make("p", { class: "disk-message" });
      this.stage.prepend(this.message);
      return this.settle();
    }
    over(this, this.list.element, false);
    const bar = this.stage.appendChild(tools(this));
    over(this, bar, true);
    container.insertBefore(make("p", { class: "disk-hint" },
      "One finger scrolls the page, or moves the disk where it starts sideways; two fingers move and zoom."), this.readout);
    new Gestures(this.stage, actions(this));
    watchTheme(() => this.recolour());
    new ResizeObserver(() => this.resize()).observe(this.stage);
    this.resize();
  }

  // Places x0 y0 x1 y1 … in the unit disk, and {ids, fields: {name: {values, codes}}} in the same order.
  load(places, items) {
    this.items = new Items(places, items);
    Object.assign(this, { query: null, neighbours: [], thumbnails: [], hovered: null, looked: null, field: null, scheme: null, only: null });
    this.found = null; // 1 for each item that is found, where something is looked for
    this.picture?.load(this.items);
    if (!this.bare) this.name();
    this.colourBy(null);
    this.camera.start(homeScale(this.items.radius(0.02)), this.items.radius(0));
  }

  name() {
    const label = `${this.items.length.toLocaleString("en")} items in the Poincaré disk. Arrow keys move, plus and minus zoom, R goes back, Enter brings the item nearest the centre to it. Tab leads to a list of the items nearest the centre.`;
    this.stage.tabIndex = 0;
    for (const [name, value] of [["role", "application"], ["aria-roledescription", "Poincaré disk"], ["aria-label", label]]) {
      this.stage.setAttribute(name, value);
    }
  }

  // Colours by the values of a field; null for one colour.
  colourBy(name) {
    if (this.bare) return;
    this.field = name in this.items.fields ? name : null;
    this.picture.points.setCodes(Uint16Array.from(this.items.fields[this.field]?.codes ?? new Uint16Array(this.items.length)));
    this.recolour();
  }

  recolour() {
    this.colours = coloursOf(this.container);
    const own = this.items.fields[this.field] ?? { values: ["all"], codes: new Int32Array(this.items.length) };
    this.scheme = scheme(own, this.colours.dark);
    this.stand(null);
    this.legend.show(this.field, own.values, this.field ? this.scheme : null);
    this.legend.tell(this.shaped);
  }

  // Only these values of the field keep their colours; null: all.
  stand(only) {
    this.only = only;
    this.picture.points.setPalette(texture(this.scheme, only, this.colours.dark));
    this.request();
  }

  // Items whose id or a value holds the text stand out; how many. No text: nothing does.
  find(text) {
    const found = this.items.matching(text), count = found.reduce((sum, one) => sum + one, 0);
    this.found = text.trim() ? found : null;
    this.picture?.points.setFound(found);
    if (count === 1) this.centre(found.indexOf(1));
    this.request();
    return count;
  }

  // The query's place [x, y] with geodesics to items, nearest first; null: no query.
  showQuery(place, ids) {
    this.query = place;
    this.neighbours = place ? ids.map((id) => this.items.row.get(id)).filter((index) => index !== undefined) : [];
    this.asked = Boolean(place);
    if (place) {
      const seen = apply(this.camera.isometry, place);
      // Near the rim everything is small, so it is brought to where there is room.
      if (Math.hypot(...seen) * Math.max(1, this.camera.scale) > 0.7) this.camera.glide(this.camera.centred(place));
    }
    this.settle();
  }

  // A ring around an item, without moving; null: none.
  focus(id) {
    this.look(this.items.row.get(id) ?? null);
  }

  // Brings an item to the centre.
  centre(index) {
    this.asked = false;
    this.camera.glide(this.camera.centred(this.items.place(index)), Math.max(this.camera.scale, this.camera.home));
  }

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

  // The index of the item under a pixel, or null.
  under(at) {
    const image = this.thumbnails.findLast(({ index, side }) => {
      const [x, y] = this.onScreen(this.items.place(index));
      return this.images.get(this.items.ids[index]) && Math.abs(at[0] - x) <= side / 2 && Math.abs(at[1] - y) <= side / 2;
    });
    const index = image ? image.index : nearestTo(this.items.places, this.camera.isometry, this.seen(at), REACH / this.view().radius);
    return index < 0 ? null : index;
  }

  // The pointer rests on a pixel, or nowhere.
  pointAt(at) {
    this.pointer = at;
    this.hover(at && this.under(at));
  }

  hover(index) {
    if (index === this.hovered) return;
    this.hovered = index;
    this.look(index);
    this.stage.classList.toggle("disk-over", index !== null);
    this.onHover(index === null ? null : this.items.ids[index]);
  }

  // A ring and a word for an item.
  look(index) {
    this.looked = index;
    if (index !== null && !this.bare) this.images.want([this.items.ids[index], ...this.images.wanted.toReversed()]);
    this.request();
  }

  moved() {
    this.moving = true;
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.settle(), SETTLE);
    this.request();
  }

  resize() {
    this.box = { width: this.stage.clientWidth, height: this.stage.clientHeight };
    this.picture.resize(this.box);
    this.settle();
  }

  // Nothing moves any more: every point, the images that have room, the list.
  settle() {
    // While it is held it may move on, however slowly its frames come.
    if (this.held || !this.camera.still) return this.request();
    clearTimeout(this.settling);
    this.moving = false;
    this.frames.rest();
    const { width, height } = this.box ?? { width: 1, height: 1 }, { radius } = this.box ? this.view() : { radius: 0.5 };
    const { found, count } = aroundCentre(this.items.places, this.camera.isometry, width / 2 / radius, height / 2 / radius, CANDIDATES);
    const asked = this.bare && this.asked, listed = asked ? this.neighbours : found.slice(0, LISTED).map(({ index }) => index);
    this.list.show(listed.map((index) => {
      const { id, values } = this.items.describe(index);
      return { index, text: [id, ...values.map(([name, value]) => `${name} ${value}`)].join(", ") };
    }), asked ? "The query's neighbours" : "Items nearest the centre");
    if (this.bare) {
      const which = asked ? "The query's neighbours" : "The items nearest its centre";
      this.message?.replaceChildren(`The disk is drawn with WebGL2, which this browser does not offer or has switched off. ${which}:`);
      return;
    }
    this.thumbnails = this.plain || !this.box ? [] : this.chosen(found, count, radius);
    this.images.want(this.thumbnails.map(({ index }) => this.items.ids[index]));
    this.legend.tell(this.shaped);
    if (this.pointer) this.hover(this.under(this.pointer)); // something else may be under it now
    this.request();
  }

  chosen(found, count, radius) {
    const { width, height } = this.box, side = sideFor(Math.min(width * height, Math.PI * radius * radius), count);
    const near = this.neighbours.slice(0, NAMED), taken = new Set(near);
    const one = (index, x, y, least) => ({
      index, x: radius * x, y: radius * y, side: Math.max(least, side * Math.max(0.3, 1 - x * x - y * y)),
    });
    const candidates = near.map((index) => one(index, ...apply(this.camera.isometry, this.items.place(index)), 34));
    if (side) for (const { index, x, y } of found) if (!taken.has(index)) candidates.push(one(index, x, y, 0));
    return fit(candidates.filter(({ side }) => side >= 20)).reverse();
  }

  // Whether an item is drawn pale, because others stand out.
  pale(index) {
    const code = this.items.fields[this.field]?.codes[index] ?? 0;
    return Boolean((this.found && !this.found[index]) || (this.only && !this.only.has(code)));
  }

  get pointSize() {
    const { width, height } = this.box, room = Math.sqrt(width * height / Math.max(1, this.items.length));
    return Math.min(Math.min(Math.max(room * 0.5, 2.6), 9) * this.camera.scale ** 0.4, 16);
  }

  // Whether points are large enough to have shapes.
  get shaped() { return !this.box || this.pointSize * this.picture.ratio > SHAPED; }

  request() {
    if (this.picture && this.box) this.scheduled ??= requestAnimationFrame((now) => this.frame(now));
  }

  frame(now) {
    this.scheduled = null;
    const gliding = !this.camera.still, count = this.items.length;
    this.camera.advance(now);
    if (gliding) this.moved();
    // While it glides or is held one frame follows another, so that what lies between them is the frame's own time.
    const onward = this.moving && (this.held || !this.camera.still);
    this.frames.tick(now, count, onward);
    if (onward) this.request();
    this.count = this.moving ? this.frames.drawn(count) : count;
    this.picture.draw(this);
    const { median } = this.frames.summary(), sample = this.count < count ? `${this.count.toLocaleString("en")} of ` : "";
    this.readout.textContent = `${sample}${count.toLocaleString("en")} items${median ? ` · ${Math.round(median)} ms a frame` : ""}`;
  }
}

// The magnification at the start: the whole disk, but for a collection in its very middle, which would be a dot.
const homeScale = (reach) => Math.min(Math.max(0.6 / Math.max(reach, 0.05), 1), 8);
