// The query: images dropped, pasted or chosen, and the tray of what it is to be like and unlike.
import * as api from "./api.js";
import { find, glyph, make, say } from "./dom.js";
import { same } from "./state.js";
import { bytes, percent, plural } from "./words.js";

export const ITEM = "application/x-horosphere-item";

// onChange(patch): the new {more, less}. images(entries): each file's entry; onFailure takes what is no fault of the image.
export class Query {
  constructor(collection, { onChange, onFailure }) {
    this.collection = collection;
    this.onChange = onChange;
    this.onFailure = onFailure;
    this.state = { more: [], less: [] };
    this.drop = find("drop");
    if (collection.takes_images) this.takeImages();
    else this.refuseImages();
    document.addEventListener("dragover", (event) => this.over(event));
    document.addEventListener("dragleave", (event) => event.relatedTarget ?? this.drop.classList.remove("over"));
    document.addEventListener("drop", (event) => this.dropped(event));
  }

  takeImages() {
    const file = find("file");
    if (matchMedia("(pointer: coarse)").matches) find("drop-title").textContent = "Search with an image";
    file.addEventListener("change", async () => {
      const files = [...file.files];
      file.value = "";
      await this.take(files);
    });
    this.drop.addEventListener("click", (event) => {
      if (!event.target.closest("label, input")) file.click();
    });
    document.addEventListener("paste", (event) => {
      const files = [...event.clipboardData.files];
      if (files.length) {
        event.preventDefault();
        this.take(files);
      }
    });
  }

  refuseImages() {
    this.drop.classList.add("closed");
    find("drop-title").textContent = "Choose an item to start";
    find("drop-words").textContent = "This collection was made from features, without an encoder: it cannot read a new image. Every item of it can be a query.";
    find("file").remove();
  }

  over(event) {
    event.preventDefault();
    this.drop.classList.add("over");
  }

  dropped(event) {
    event.preventDefault();
    this.drop.classList.remove("over");
    const id = event.dataTransfer.getData(ITEM);
    const files = [...event.dataTransfer.files];
    if (id) this.only({ id });
    else if (!this.collection.takes_images) this.fail("This collection takes no new images. Choose one of its items instead.");
    else if (files.length) this.take(files);
    else this.fail("What was dropped is no file. Save the image first, or copy and paste it.");
  }

  async take(files) {
    const { limits } = this.collection;
    const large = files.find((file) => file.size > limits.bytes);
    if (large) return this.fail(`${large.name} has ${bytes(large.size)}; at most ${bytes(limits.bytes)} are taken. Make it smaller.`);
    if (files.length > limits.chosen) return this.fail(`${plural(files.length, "image")} were given; at most ${limits.chosen} are taken at once.`);
    this.fail(null);
    this.drop.classList.add("busy");
    say("Reading the image.");
    this.taking?.abort();
    const taking = (this.taking = new AbortController());
    try {
      const more = [];
      for (const file of files) {
        const { point, preview } = await api.embed(file, taking.signal);
        more.push({ point, preview, name: file.name || "pasted image" });
      }
      if (!taking.signal.aborted) this.onChange({ more, less: [], lens: false, class: null });
    } catch (error) {
      if (taking.signal.aborted) return;
      if (error instanceof api.Refused && error.status !== 401) this.fail(error.message);
      else this.onFailure(error, () => taking.signal.aborted || this.take(files));
    } finally {
      if (taking === this.taking) this.drop.classList.remove("busy");
    }
  }

  fail(message) {
    const place = find("query-error");
    place.textContent = message ?? "";
    place.hidden = !message;
  }

  only(entry) {
    this.fail(null);
    this.onChange({ more: [entry], less: [] });
  }

  // Adds to one side and takes from the other; what is there already is taken away again.
  toggle(side, entry) {
    const other = side === "more" ? "less" : "more";
    const kept = { more: this.state.more, less: this.state.less };
    const there = kept[side].some((one) => same(one, entry));
    kept[other] = kept[other].filter((one) => !same(one, entry));
    kept[side] = there ? kept[side].filter((one) => !same(one, entry)) : [...kept[side], entry];
    if (kept.more.length + kept.less.length > this.collection.limits.chosen) {
      return this.fail(`At most ${this.collection.limits.chosen} images can be chosen. Remove one first.`);
    }
    this.fail(null);
    if (!kept.more.length) kept.less = [];
    this.onChange(kept);
  }

  chip(side, entry) {
    const name = entry.id ?? entry.name;
    const word = side === "more" ? "like" : "unlike";
    const remove = make(
      "button",
      { type: "button", class: "chip-remove", "aria-label": `Remove ${name}, ${word}`, title: "Remove", onclick: () => this.toggle(side, entry) },
      glyph("remove"),
    );
    return make("li", { class: `chip ${side}` }, picture(entry, this.collection), make("span", { class: "chip-sign", "aria-hidden": "true" }, glyph(side)), remove);
  }

  show(state) {
    const known = state.more === this.state.more && state.less === this.state.less;
    this.state = state;
    if (known) return;
    this.taking?.abort(); // An image that is still read would replace this newer query.
    const chosen = state.more.length + state.less.length;
    const tray = find("tray");
    const at = this.buttons().indexOf(document.activeElement);
    tray.hidden = !chosen;
    find("radius").hidden = !chosen || !this.collection.has_radius; // Its place is kept while the answer is on its way.
    this.drop.classList.toggle("small", chosen > 0);
    this.fill(tray, state, chosen);
    if (at >= 0) (this.buttons()[Math.min(at, Math.max(0, chosen - 1))] ?? find("file") ?? find("by-id")).focus();
  }

  // Of each chosen image, to remove it, then of all.
  buttons() {
    return [...find("tray").querySelectorAll("button")];
  }

  fill(tray, state, chosen) {
    if (!chosen) return tray.replaceChildren();
    const clear = make("button", { type: "button", class: "quiet", onclick: () => this.onChange({ more: [], less: [], lens: false, class: null }) }, "Clear");
    if (chosen === 1) {
      const [entry] = state.more;
      const name = make("p", { class: "asked-name" }, entry.id ?? entry.name);
      const facts = make("p", { class: "asked-facts soft" }, entry.preview ? "As the model saw it" : "");
      if (!entry.preview) this.tellFacts(entry.id, facts);
      return tray.replaceChildren(make("div", { class: "asked" }, picture(entry, this.collection), make("div", {}, name, facts, clear)));
    }
    const group = (side, title) =>
      state[side].length > 0 && [make("h3", {}, title), make("ul", { class: "chips", "aria-label": title }, ...state[side].map((entry) => this.chip(side, entry)))];
    tray.replaceChildren(...[group("more", "More like"), group("less", "Less like")].flat().filter(Boolean), clear);
  }

  async tellFacts(id, place) {
    try {
      const { metadata } = await api.item(id);
      place.replaceChildren(...Object.entries(metadata).map(([name, value]) => make("span", {}, `${name}: ${String(value).replaceAll("_", " ")}`)));
    } catch {
      // The search itself says what is wrong with the id, or that the server is gone.
    }
  }

  showRadius(radius) {
    const place = find("radius");
    if (!radius) return place.replaceChildren();
    const meter = make("div", { class: "radius-scale", "aria-hidden": "true" }, make("span", { class: "radius-mark" }));
    meter.firstChild.style.setProperty("--at", radius.percentile / 100);
    const ends = make("p", { class: "radius-ends soft", "aria-hidden": "true" }, make("span", {}, "centre"), make("span", {}, "edge"));
    const where = make("p", {}, `Farther from the centre than ${percent(radius.percentile / 100)} of the collection.`);
    const worth = make("details", {}, make("summary", {}, "What that is worth"), make("p", {}, radius.sentence));
    const sure = radius.confidence != null && make("p", { class: "radius-confidence" }, make("strong", {}, percent(radius.confidence)), " likely that the nearest is of its class");
    place.replaceChildren(make("h3", {}, "Radius"), meter, ends, where, ...[sure].filter(Boolean), worth);
  }
}

// A thumbnail, or the item's name as a card where there is none.
export function picture(entry, collection) {
  const name = entry.id ?? entry.name;
  const card = () => make("span", { class: "thumb thumb-name" }, name);
  const source = entry.preview ?? (collection.has_thumbnails ? api.thumbnail(entry.id) : null);
  if (!source) return card();
  const image = make("img", { src: source, alt: entry.alt ?? name, width: 64, height: 64, draggable: "false", decoding: "async" });
  const frame = make("span", { class: "thumb" }, image);
  image.addEventListener("load", () => frame.classList.toggle("coarse", image.naturalWidth < 56));
  image.addEventListener("error", () => frame.replaceWith(card()));
  return frame;
}
