// The points nearest the centre as a list of words: for screen readers and keys, and where nothing can be drawn.
import { make } from "../dom.js";

export class List {
  // `on`: look(index or null), pick(index), centre(index), leave().
  constructor(container, on) {
    this.element = container.appendChild(make("ul", { class: "disk-list", role: "listbox", tabindex: 0 }));
    this.on = on;
    this.items = [];
    this.active = 0;
    this.element.id = `disk-list-${Math.random().toString(36).slice(2)}`;
    this.element.addEventListener("keydown", (event) => this.typed(event));
    this.element.addEventListener("focus", () => this.mark(this.active));
    this.element.addEventListener("blur", () => on.look(null));
    this.element.addEventListener("click", (event) => {
      const place = [...this.element.children].indexOf(event.target.closest("li"));
      if (place >= 0) on.pick(this.items[place].index);
    });
  }

  // Items {index, text}, nearest first, and what they are.
  show(items, name) {
    this.element.setAttribute("aria-label", `${name}. Enter searches with one, C brings it to the centre.`);
    const kept = document.activeElement === this.element ? this.items[this.active]?.index : undefined;
    this.items = items;
    this.active = Math.max(0, items.findIndex(({ index }) => index === kept));
    this.element.replaceChildren(...items.map(({ text }, place) => {
      return make("li", { id: `${this.element.id}-${place}`, role: "option" }, text);
    }));
    this.mark(this.active, false);
  }

  mark(place, tell = true) {
    if (!this.items.length) return this.element.removeAttribute("aria-activedescendant");
    this.active = Math.min(Math.max(place, 0), this.items.length - 1);
    [...this.element.children].forEach((option, own) => option.setAttribute("aria-selected", own === this.active));
    this.element.setAttribute("aria-activedescendant", `${this.element.id}-${this.active}`);
    if (tell && document.activeElement === this.element) {
      this.element.children[this.active].scrollIntoView({ block: "nearest" });
      this.on.look(this.items[this.active].index);
    }
  }

  typed(event) {
    const item = this.items[this.active];
    if (event.key === "ArrowDown") this.mark(this.active + 1);
    else if (event.key === "ArrowUp") this.mark(this.active - 1);
    else if (event.key === "Home") this.mark(0);
    else if (event.key === "End") this.mark(this.items.length - 1);
    else if (event.key === "Enter" && item) this.on.pick(item.index);
    else if (event.key === "Escape") this.on.leave();
    else if (event.key.toLowerCase() === "c" && item) this.on.centre(item.index);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
