// How to rank: how many neighbours, and the weight of each part of a mixture.
import { find, make } from "./dom.js";
import { usable } from "./state.js";
import { weight } from "./words.js";

export class Controls {
  constructor(collection, { onChange }) {
    this.collection = collection;
    this.onChange = onChange;
    this.trained = collection.geometries[0].weights ?? collection.parts.map((part) => part.weight);
    this.range = 2 * Math.max(...this.trained);
    this.k = make("input", { type: "range", id: "k", min: 1, max: Math.min(collection.limits.k, 100), step: 1, oninput: () => onChange({ k: Number(this.k.value) }) });
    this.kOut = make("output", { for: "k" });
    const parts = [row("k", "Neighbours, k", this.k, this.kOut)];
    this.sliders = collection.parts.length > 1 ? collection.parts.map((part, i) => this.slider(part, i)) : [];
    if (this.sliders.length) {
      this.error = make("p", { class: "error", role: "alert", hidden: true }, "At least one weight must be above zero.");
      this.reset = make("button", { type: "button", class: "quiet", id: "reset", onclick: () => onChange({ weights: null }) }, "Trained weights");
      parts.push(make("h3", {}, "Weights of the mixture"), ...this.sliders.map(({ element }) => element), this.error, this.reset);
    }
    find("ranking").replaceChildren(...parts);
  }

  slider(part, i) {
    const id = `weight-${i}`;
    const input = make("input", { type: "range", id, min: 0, oninput: () => this.weigh(i) });
    const output = make("output", { for: id });
    const element = row(id, part.name, input, output, make("span", { class: "trained", "aria-hidden": "true" }, `trained ${weight(this.trained[i])}`));
    return { element, input, output };
  }

  // Only the slider that moved says its weight: the others' steps and range are coarser than a weight.
  weigh(moved) {
    const { input, output } = this.sliders[moved];
    this.weights = this.weights.map((weight, i) => (i === moved ? Number(input.value) : weight));
    output.textContent = weight(this.weights[moved]);
    this.error.hidden = usable(this.weights, this.collection);
    if (this.error.hidden) this.onChange({ weights: this.weights });
  }

  // Wide enough for the weights of a link too, and never narrower again under the pointer.
  widen() {
    this.range = Math.max(this.range, ...this.weights);
    this.sliders.forEach(({ element, input }, i) => {
      Object.assign(input, { max: this.range, step: this.range / 200 });
      element.style.setProperty("--trained", this.trained[i] / this.range);
    });
  }

  show(state) {
    this.k.value = state.k;
    this.kOut.textContent = state.k;
    if (!this.sliders.length) return;
    this.weights = state.weights ?? this.trained;
    this.widen();
    this.sliders.forEach(({ input, output }, i) => {
      if (Number(input.value) !== this.weights[i]) input.value = this.weights[i];
      output.textContent = weight(this.weights[i]);
      input.disabled = state.lens;
    });
    this.error.hidden = true;
    this.reset.disabled = state.weights === null || state.lens;
  }
}

function row(id, name, input, output, extra) {
  return make("div", { class: "slider" }, make("label", { for: id }, name), output, make("span", { class: "track" }, input, ...[extra].filter(Boolean)));
}
