// The neighbours, a column a geometry, side by side: how far, how the others rank them, and more or less of each.
import { ITEM, picture } from "./query.js";
import { find, glyph, make, say } from "./dom.js";
import { count, distance, label, list, ordinal, percent, plural, probability, weight } from "./words.js";

const calm = matchMedia("(prefers-reduced-motion: reduce)");

// What the other geometries say of a hit: [mark, words, [[name, rank], …]].
export function agreement(hit, own) {
  const others = Object.entries(hit.ranks).filter(([name]) => name !== own);
  if (!others.length) return null;
  const found = others.filter(([, rank]) => rank !== null);
  if (!found.length) return ["only", "only here"];
  const words = found.map(([name, rank]) => `${ordinal(rank)} in ${name}`);
  return [found.length === others.length ? "all" : "some", `also ${list(words)}`, found];
}

const MARKS = { all: "●", some: "◐", only: "○" };

export class Results {
  constructor(collection, { onPick, onMore, onLess, onHover, onUnfilter }) {
    this.collection = collection;
    this.act = { onPick, onMore, onLess, onHover, onUnfilter };
    this.columns = new Map();
    const place = find("columns");
    place.addEventListener("keydown", (event) => this.walk(event));
    place.addEventListener("focusin", (event) => this.attend(event.target));
    place.addEventListener("pointerover", (event) => this.attend(event.target));
    place.addEventListener("pointerleave", () => this.attend(place));
    place.addEventListener("dragstart", (event) => {
      const id = event.target.closest(".hit")?.dataset.id;
      if (id !== undefined) event.dataTransfer.setData(ITEM, id);
    });
  }

  attend(target) {
    const id = target.closest?.(".hit")?.dataset.id ?? null;
    if (id === this.marked) return;
    this.mark(id);
    this.act.onHover(id);
  }

  // The same item stands out in every column; null: none does.
  mark(id) {
    this.marked = id;
    for (const hit of find("columns").querySelectorAll(".hit")) hit.classList.toggle("same", hit.dataset.id === id);
  }

  kind(name) {
    return this.collection.parts.find((part) => part.name === name)?.kind ?? "mixture";
  }

  // A geometry in small: its kind's glyph, or its name where two parts are of one kind.
  sign(name) {
    const kind = this.kind(name);
    const alone = this.collection.geometries.filter((geometry) => this.kind(geometry.name) === kind).length === 1;
    return alone ? glyph(kind) : `${name} `;
  }

  wait(k) {
    this.only("columns");
    if (this.columns.size) return find("columns").setAttribute("aria-busy", "true");
    const ghosts = () => Array.from({ length: k }, () => make("li", { class: "hit ghost" }));
    const columns = this.collection.geometries.map(({ name }) =>
      make("section", { class: "column", "aria-label": name }, make("div", { class: "column-head" }, make("h3", {}, glyph(this.kind(name)), name)), make("ol", {}, ...ghosts())),
    );
    find("columns").replaceChildren(...columns);
    find("columns").setAttribute("aria-busy", "true");
  }

  only(shown) {
    for (const id of ["welcome", "columns", "nothing"]) find(id).hidden = id !== shown;
    find("summary").hidden = shown !== "columns" || (this.collection.geometries.length === 1 && !find("summary").hasChildNodes());
  }

  clear() {
    this.columns.clear();
    find("columns").replaceChildren();
    find("summary").replaceChildren();
    this.only("welcome");
  }

  show(answer, state) {
    find("columns").removeAttribute("aria-busy");
    if (!answer.geometries.some(({ hits }) => hits.length)) return this.showNothing(state);
    this.summarise(answer, state);
    this.only("columns");
    const names = answer.geometries.map(({ name }) => name).join();
    if (names !== this.names || !this.columns.size) {
      this.names = names;
      this.columns = new Map(answer.geometries.map(({ name }) => [name, new Column(this, name)]));
      find("columns").replaceChildren(...[...this.columns.values()].map(({ element }) => element));
      find("columns").style.setProperty("--columns", this.columns.size);
    }
    for (const geometry of answer.geometries) this.columns.get(geometry.name).show(geometry, state);
    this.rove();
  }

  summarise(answer, state) {
    const shown = answer.geometries[0].hits.length;
    const words = [];
    if (answer.sentence) words.push(make("p", {}, answer.sentence));
    if (answer.geometries.length > 1) {
      const { all, share } = answer.agreement;
      const bar = make("span", { class: "share", "aria-hidden": "true" }, make("span", {}));
      bar.firstChild.style.setProperty("--share", share);
      const text = `${all.length ? `${count(all.length)} of ${count(shown)} are` : "None is"} found under every geometry: ${percent(share)} agreement.`;
      words.push(make("p", { class: "share-line" }, bar, text));
      const legend = Object.entries({ all: "under every geometry", some: "under some", only: "only here" });
      words.push(make("p", { class: "legend soft", "aria-hidden": "true" }, ...legend.map(([mark, meaning]) => make("span", { class: `badge ${mark}` }, `${MARKS[mark]} ${meaning}`))));
      say(`${plural(shown, state.lens ? "confused image" : "neighbour")} under ${list(answer.geometries.map(({ name }) => name))}. ${text}`);
    } else {
      say(`${plural(shown, state.lens ? "confused image" : "neighbour")}.`);
    }
    find("summary").replaceChildren(...words);
  }

  showNothing(state) {
    this.columns.clear();
    this.only("nothing");
    const filtered = !state.lens && Object.keys(state.where).length > 0;
    const text = filtered
      ? "No item passes all filters. Take one away, or widen it."
      : state.lens
        ? "No item of another class: there is nothing this image could be confused with."
        : "The collection holds nothing beside the query itself.";
    const button = filtered && make("button", { type: "button", onclick: this.act.onUnfilter }, "Remove all filters");
    find("nothing").replaceChildren(make("p", {}, text), ...[button].filter(Boolean));
    say(text);
  }

  // One hit of all is in the order of Tab; arrows walk, within a column and across.
  rove(chosen = null) {
    const hits = [...find("columns").querySelectorAll(".hit")];
    const current = chosen ?? hits.find((hit) => hit.contains(document.activeElement)) ?? hits[0];
    for (const hit of hits) for (const button of hit.querySelectorAll("button")) button.tabIndex = hit === current ? 0 : -1;
  }

  walk(event) {
    const hit = event.target.closest(".hit");
    if (!hit || event.ctrlKey || event.metaKey || event.altKey) return;
    const columns = [...this.columns.values()].map(({ element }) => [...element.querySelectorAll(".hit")]);
    const column = columns.findIndex((hits) => hits.includes(hit));
    const row = columns[column].indexOf(hit);
    const places = {
      ArrowDown: [column, row + 1],
      ArrowUp: [column, row - 1],
      ArrowRight: [column + 1, row],
      ArrowLeft: [column - 1, row],
      Home: [column, 0],
      End: [column, columns[column].length - 1],
    };
    const next = places[event.key];
    if (next) {
      event.preventDefault();
      const hits = columns[next[0]];
      const goal = hits?.[Math.min(next[1], hits.length - 1)];
      if (!goal) return;
      this.rove(goal);
      goal.querySelector("button").focus();
    } else if (event.key === "m" || event.key === "l") {
      event.stopPropagation();
      hit.querySelector(event.key === "m" ? ".more" : ".less").click();
    }
  }
}

class Column {
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
    const focused = this.list.contains(document.activeElement) ? document.activeElement : null;
    this.list.replaceChildren(...[...kept.values()].map(({ element }) => element));
    if (focused?.isConnected) focused.focus({ preventScroll: true });
    if (calm.matches) return;
    for (const [id, { element }] of kept) {
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
