// One geometry's neighbours: each with its distance, its place under the other geometries, and more or less of it.
import { glyph, make } from "./dom.js";
import { picture } from "./query.js";
import { count, distance, label, list, ordinal, probability, weight } from "./words.js";

export const MARKS = { all: "●", some: "◐", only: "○" };

const calm = matchMedia("(prefers-reduced-motion: reduce)");

// What the other geometries say of a hit: [mark, words, [[name, rank], …]].
function agreement(hit, own) {
  const others = Object.entries(hit.ranks).filter(([name]) => name !== own);
  if (!others.length) return null;
  const found = others.filter(([, rank]) => rank !== null);
  if (!found.length) return ["only", "only here"];
  const words = found.map(([name, rank]) => `${ordinal(rank)} in ${name}`);
  return [found.length === others.length ? "all" : "some", `also ${list(words)}`, found];
}

export class Column {
  constructor(results, name) {
    this.results = results;
    this.name = name;
    this.hits = new Map();
    this.head = make("div", { class: "column-head" });
    this.list = make("ol", {});
    this.element = make("section", { class: "column", "aria-label": `Nearest under ${name}` }, this.head, this.list);
  }

  show(geometry, state) {
    const { collection } = this.results;
    const meaning = collection.geometries.find(({ name }) => name === geometry.name)?.meaning;
    const used = collection.parts.length > 1 && geometry.weights?.filter((w) => w > 0).length > 1;
    const weights = used && make("span", { class: "column-weights", title: list(collection.parts.map((part, i) => `${part.name} × ${weight(geometry.weights[i])}`)) }, geometry.weights.map(weight).join(" : "));
    const sure = geometry.exact ? "exact" : "graph";
    const speed = make("p", { class: "soft column-speed", title: geometry.exact ? "Proven to be the nearest" : (collection.search.sentence ?? "") }, `${sure}, ${geometry.milliseconds < 10 ? geometry.milliseconds.toFixed(1) : count(Math.round(geometry.milliseconds))} ms`);
    const title = make("h3", { title: meaning ?? "" }, glyph(this.results.kind(geometry.name)), geometry.name);
    this.head.replaceChildren(...[title, weights, speed].filter(Boolean));

    const before = new Map([...this.hits].map(([id, hit]) => [id, hit.element.getBoundingClientRect().top]));
    const farthest = Math.max(...geometry.hits.map((hit) => hit.distance), Number.MIN_VALUE);
    const kept = new Map();
    for (const [place, hit] of geometry.hits.entries()) {
      const shown = this.hits.get(hit.id) ?? new Hit(this.results, this.name, hit);
      shown.show(hit, place + 1, geometry.weights, farthest, state);
      kept.set(hit.id, shown);
    }
    this.hits = kept;
    const refocus = this.held();
    this.list.replaceChildren(...[...kept.values()].map(({ element }) => element));
    refocus();
    if (!calm.matches) this.animate(before);
  }

  // Gives the focus back to the button that had it or, if its neighbour left, to that of the one now in its place.
  held() {
    const focused = document.activeElement;
    const row = [...this.list.children].findIndex((hit) => hit.contains(focused));
    return () => {
      if (row < 0) return;
      const { children } = this.list;
      const button = focused.isConnected ? focused : children[Math.min(row, children.length - 1)]?.querySelector(`.${focused.classList[0]}`);
      button?.focus({ preventScroll: true });
    };
  }

  animate(before) {
    for (const [id, { element }] of this.hits) {
      const moved = (before.get(id) ?? NaN) - element.getBoundingClientRect().top;
      if (moved) element.animate([{ transform: `translateY(${moved}px)` }, { transform: "none" }], { duration: 260, easing: "ease-out" });
      else if (!before.has(id) && before.size) element.animate([{ opacity: 0 }, { opacity: 1 }], { duration: 200 });
    }
  }
}

class Hit {
  constructor(results, geometry, { id, metadata }) {
    const { collection, act } = results;
    this.results = results;
    this.geometry = geometry;
    this.parts = collection.parts;
    const named = label({ id, metadata });
    const described = named === id ? id : `${id}, ${named}`;
    this.rank = make("span", { class: "rank" });
    this.distance = make("span", { class: "distance" });
    this.bar = make("span", { class: "bar", "aria-hidden": "true" });
    this.badge = make("span", { class: "badge" });
    const open = make(
      "button",
      { type: "button", class: "hit-open", title: `Search with ${described}`, onclick: () => act.onPick(id), draggable: "true" },
      make("span", { class: "framed" }, picture({ id, alt: described }, collection), this.rank),
      make("span", { class: "hit-text" }, make("span", { class: "hit-name" }, named), this.distance, this.bar),
      this.badge,
    );
    const button = (side, words, call) =>
      make("button", { type: "button", class: side, title: `${words} this (${side[0]})`, "aria-label": `${words} ${described}`, onclick: () => call(id) }, glyph(side));
    this.more = button("more", "More like", act.onMore);
    this.less = button("less", "Less like", act.onLess);
    this.element = make("li", { class: "hit" }, open, make("span", { class: "hit-actions" }, this.more, this.less));
    this.element.dataset.id = id;
  }

  show(hit, rank, weights, farthest, state) {
    const chosen = (side) => state[side].some((entry) => entry.id === hit.id);
    this.more.setAttribute("aria-pressed", chosen("more") && state.more.length + state.less.length > 1);
    this.less.setAttribute("aria-pressed", chosen("less"));
    this.rank.textContent = rank;
    this.distance.textContent = hit.weight === undefined ? distance(hit.distance) : `p = ${probability(hit.weight)}`;
    this.distance.title = this.parts.map((part, i) => `${part.name} ${distance(hit.parts[i])}`).join(", ") + (hit.weight === undefined ? "" : `; distance ${distance(hit.distance)}`);
    const lengths = hit.weight === undefined ? hit.parts.map((d, i) => ((weights?.[i] ?? 1) * d) / farthest) : [hit.weight];
    const segments = lengths.map((length, i) => {
      const segment = make("span", { class: `segment segment-${i % 4}` });
      segment.style.setProperty("--length", Math.max(0, Math.min(1, length)));
      return segment;
    });
    this.bar.replaceChildren(...segments);
    const [mark, words, found = []] = agreement(hit, this.geometry) ?? ["", ""];
    this.badge.className = `badge ${mark}`;
    this.badge.title = words;
    const short = found.map(([name, place]) => make("span", { "aria-hidden": "true" }, this.results.sign(name), ordinal(place)));
    const sign = make("span", { "aria-hidden": "true" }, `${MARKS[mark] ?? ""} `);
    if (short.length) this.badge.replaceChildren(sign, ...short, make("span", { class: "unseen" }, words));
    else this.badge.replaceChildren(make("span", {}, sign, words));
  }
}
