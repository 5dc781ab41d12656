// The points nearest the centre as a list of words: for screen readers and keys, and where nothing can be drawn.
import { make } from "./legend.js";

export class List {
  // `on`: look(index or null), pick(index), centre(index).
  constructor(container, on) {
    this.element = container.appendChild(make("ul", "disk-list"));
    this.on = on;
    this.items = [];
    this.active = 0;
    Object.assign(this.element, { tabIndex: 0, id: `disk-list-${Math.random().toString(36).slice(2)}` });
    this.element.setAttribute("role", "listbox");
    this.element.setAttribute("aria-label", "Items nearest the centre. Enter searches with one, C brings it to the centre.");
    this.element.addEventListener("keydown", (event) => this.typed(event));
    this.element.addEventListener("focus", () => this.mark(this.active));
    this.element.addEventListener("blur", () => on.look(null));
    this.element.addEventListener("click", (event) => {
      const place = [...this.element.children].indexOf(event.target.closest("li"));
      if (place >= 0) on.pick(this.items[place].index);
    });
  }

  // Items {index, text}, nearest first.
  show(items) {
    const kept = document.activeElement === this.element ? this.items[this.active]?.index : undefined;
    this.items = items;
    this.active = Math.max(0, items.findIndex(({ index }) => index === kept));
    this.element.replaceChildren(...items.map(({ text }, place) => {
      const option = make("li", "", text);
      option.id = `${this.element.id}-${place}`;
      option.setAttribute("role", "option");
      return option;
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
    else if (event.key.toLowerCase() === "c" && item) this.on.centre(item.index);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
