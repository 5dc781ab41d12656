// The lens of hard negatives: neighbours, or what the model confuses the query with.
import { find, make } from "./dom.js";

export class Lens {
  constructor(collection, { onChange }) {
    this.field = collection.fields.class;
    if (!this.field) return;
    const tab = (lens, words) => make("button", { type: "button", "aria-pressed": "false", onclick: () => onChange({ lens, class: null }) }, words);
    this.near = tab(false, "Neighbours");
    this.far = tab(true, "Confusions");
    this.class = make("select", { id: "lens-class", onchange: () => onChange({ class: this.class.value || null }) });
    this.taken = make("option", { value: "" }, "its own class");
    this.class.append(this.taken, ...this.field.values.map(([value]) => make("option", { value }, String(value))));
    this.label = make("label", { for: "lens-class", hidden: true }, "Take it for ", this.class);
    find("lens").replaceChildren(make("span", { class: "switch", role: "group", "aria-label": "What to show" }, this.near, this.far), this.label);
  }

  show(state) {
    find("results-title").textContent = !state.more.length ? "One image, every geometry" : state.lens ? "Confusions" : "Neighbours";
    if (!this.field) return;
    this.near.setAttribute("aria-pressed", !state.lens);
    this.far.setAttribute("aria-pressed", state.lens);
    this.label.hidden = !state.lens;
    this.class.value = state.class ?? "";
  }

  // The class that the server took where none was said.
  took(answer, state) {
    if (!this.field || !state.lens || state.class !== null) return;
    const item = state.more.length === 1 && !state.less.length && "id" in state.more[0];
    this.taken.textContent = `${item ? "its own" : "the nearest's"} class (${answer.class})`;
  }
}
