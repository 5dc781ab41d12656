// The neighbours, a column a geometry, side by side: how far, how the others rank them, and more or less of each.
import { Column, MARKS } from "./column.js";
import { find, glyph, make, say } from "./dom.js";
import { ITEM } from "./query.js";
import { count, list, percent, plural } from "./words.js";

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
    const rest = ["welcome", "columns", "nothing"].filter((id) => id !== shown);
    // What disappears leaves the focus to the section.
    if (rest.some((id) => find(id).contains(document.activeElement))) find("results").focus({ preventScroll: true });
    for (const id of rest) find(id).hidden = true;
    find(shown).hidden = false;
    find("summary").hidden = shown !== "columns" || (this.collection.geometries.length === 1 && !find("summary").hasChildNodes());
  }

  clear() {
    this.only("welcome");
    this.columns.clear();
    find("columns").replaceChildren();
    find("summary").replaceChildren();
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
