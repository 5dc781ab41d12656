// An item of the collection by part of its id: a text box with a list of suggestions.
import * as api from "./api.js";
import { find, later, make } from "./dom.js";
import { plural } from "./words.js";

const LIMIT = 20;

const found = (n) => (n < LIMIT ? `${plural(n, "id")} ${n === 1 ? "contains" : "contain"} it` : `The first ${LIMIT} ids`);

export class Picker {
  constructor({ onPick, onText, onFailure }) {
    this.onPick = onPick;
    this.onText = onText;
    this.onFailure = onFailure;
    this.input = find("by-id");
    this.list = find("by-id-list");
    this.words = find("by-id-words");
    this.hint = this.words.textContent;
    const lookSoon = later(120, () => this.look());
    this.input.addEventListener("input", () => {
      this.close();
      lookSoon();
    });
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.input.addEventListener("blur", () => this.close());
    this.list.addEventListener("mousedown", (event) => event.preventDefault()); // The text keeps the focus.
    this.close();
  }

  async look() {
    this.pending?.abort();
    const text = this.input.value.trim();
    const lit = this.onText(text);
    const told = lit === null ? "" : `${plural(lit, "item")} lit in the disk, by id or label.`;
    this.words.textContent = text ? told : this.hint;
    if (!text) return;
    const pending = (this.pending = new AbortController());
    try {
      const { ids } = await api.like(text, LIMIT, pending.signal);
      if (pending.signal.aborted) return;
      this.words.textContent = `${found(ids.length)}. ${told}`;
      if (document.activeElement === this.input) this.open(ids);
    } catch (error) {
      if (pending.signal.aborted) return;
      if (error instanceof api.Refused && error.status !== 401) this.words.textContent = error.message;
      else this.onFailure(error, () => this.look());
    }
  }

  open(ids) {
    this.options = ids.map((id, i) => make("li", { role: "option", id: `by-id-${i}`, "aria-selected": "false", onclick: () => this.pick(id) }, id));
    const none = make("li", { class: "soft", role: "option", "aria-disabled": "true", "aria-selected": "false" }, "No id contains this.");
    this.list.replaceChildren(...(ids.length ? this.options : [none]));
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
  }

  close() {
    this.pending?.abort();
    this.at = -1;
    this.options = [];
    this.list.replaceChildren();
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  pick(id) {
    this.input.value = "";
    this.words.textContent = this.hint;
    this.onText("");
    this.close();
    this.onPick(id);
  }

  key(event) {
    if (event.key === "Escape") return this.close();
    if (!this.options.length) return;
    if (event.key === "Enter") {
      event.preventDefault();
      this.pick(this.options[Math.max(0, this.at)].textContent);
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const n = this.options.length;
      this.at = event.key === "ArrowDown" ? (this.at + 1) % n : (this.at + n - 1) % n;
      this.options.forEach((option, i) => option.setAttribute("aria-selected", i === this.at));
      this.options[this.at].scrollIntoView({ block: "nearest" });
      this.input.setAttribute("aria-activedescendant", `by-id-${this.at}`);
    }
  }
}
