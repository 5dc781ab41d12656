// An item of the collection by part of its id: a text box with a list of suggestions.
import * as api from "./api.js";
import { find, later, make } from "./dom.js";

const LIMIT = 20;

export class Picker {
  constructor({ onPick, onText, onFailure }) {
    this.onPick = onPick;
    this.onText = onText;
    this.onFailure = onFailure;
    this.input = find("by-id");
    this.list = find("by-id-list");
    this.at = -1;
    this.input.addEventListener("input", later(120, () => this.look()));
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.input.addEventListener("blur", () => setTimeout(() => this.close(), 150));
  }

  async look() {
    this.pending?.abort();
    const text = this.input.value.trim();
    this.onText(text);
    if (!text) return this.close();
    this.pending = new AbortController();
    try {
      const { ids } = await api.like(text, LIMIT, this.pending.signal);
      this.open(ids);
    } catch (error) {
      if (error.name !== "AbortError") this.onFailure(error, () => this.look());
    }
  }

  open(ids) {
    this.at = -1;
    this.options = ids.map((id, i) => make("li", { role: "option", id: `by-id-${i}`, "aria-selected": "false", onpointerdown: () => this.pick(id) }, id));
    const none = make("li", { class: "soft", role: "option", "aria-disabled": "true", "aria-selected": "false" }, "No id contains this.");
    this.list.replaceChildren(...(ids.length ? this.options : [none]));
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
  }

  close() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  pick(id) {
    this.input.value = "";
    this.onText("");
    this.close();
    this.onPick(id);
  }

  key(event) {
    if (event.key === "Escape") return this.close();
    if (this.list.hidden || !this.options.length) return;
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
