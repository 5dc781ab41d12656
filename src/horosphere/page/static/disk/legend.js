// What the colours mean: the most frequent values as text, a ramp for numbers. A value under the pointer or chosen stands out.
import { css, ramp, SHAPES } from "./palette.js";

const MOST = 16;
const natural = new Intl.Collator("en", { numeric: true });

export class Legend {
  // onStand(codes or null): these values stand out.
  constructor(container, onStand) {
    this.element = container.appendChild(Object.assign(document.createElement("div"), { className: "disk-legend" }));
    this.onStand = onStand;
    this.chosen = new Set();
  }

  show(name, values, scheme) {
    this.chosen.clear();
    this.element.replaceChildren();
    this.element.hidden = !scheme;
    if (!scheme) return;
    this.element.append(scheme.numeric ? this.scale(scheme) : this.list(values, scheme));
    this.element.setAttribute("role", "group");
    this.element.setAttribute("aria-label", `Colours: ${name}`);
  }

  scale({ low, high }) {
    const row = make("div", "disk-scale"), bar = make("canvas", "disk-ramp");
    bar.width = 64;
    bar.height = 1;
    const context = bar.getContext("2d");
    for (let x = 0; x < 64; x += 1) {
      context.fillStyle = css(ramp(x / 63));
      context.fillRect(x, 0, 1, 1);
    }
    row.append(make("span", "", shown(low)), bar, make("span", "", shown(high)));
    return row;
  }

  list(values, { order, count, colour, shape }) {
    const list = make("ul");
    // All values fit in their natural order; of many, the most frequent are named.
    const named = order.length > MOST ? order.slice(0, MOST) : [...order].sort((a, b) => natural.compare(values[a], values[b]));
    for (const code of named) {
      const key = make("button", "disk-key"), mark = make("span", "disk-mark", SHAPES[shape(code)]);
      key.type = "button";
      key.title = `${values[code]}: ${count[code].toLocaleString("en")}`;
      key.setAttribute("aria-pressed", "false");
      mark.style.color = css(colour(code));
      mark.setAttribute("aria-hidden", "true");
      key.append(mark, make("span", "disk-value", shown(values[code])));
      key.addEventListener("pointerenter", () => this.onStand(new Set([...this.chosen, code])));
      key.addEventListener("pointerleave", () => this.tell());
      key.addEventListener("click", () => {
        if (!this.chosen.delete(code)) this.chosen.add(code);
        key.setAttribute("aria-pressed", this.chosen.has(code));
        this.tell();
      });
      list.append(make("li"));
      list.lastChild.append(key);
    }
    const rest = order.length - MOST;
    if (rest > 0) list.append(make("li", "disk-rest", `and ${rest.toLocaleString("en")} more, named when pointed at`));
    return list;
  }

  tell() {
    this.onStand(this.chosen.size ? new Set(this.chosen) : null);
  }
}

export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

export const shown = (value) => (typeof value === "number" ? String(+value.toPrecision(6)) : String(value).replaceAll("_", " "));
