// What the colours mean: the most frequent values as text, a ramp for numbers. A value under the pointer or chosen stands out.
import { make } from "../dom.js";
import { css, HUES, ramp, SHAPES } from "./palette.js";
import { shown } from "./words.js";

const MOST = 16;
const natural = new Intl.Collator("en", { numeric: true });

export class Legend {
  // onStand(codes or null): these values stand out.
  constructor(container, onStand) {
    this.element = container.appendChild(make("div", { class: "disk-legend", role: "group", hidden: true }));
    this.onStand = onStand;
    this.chosen = new Set();
  }

  show(name, values, scheme) {
    this.chosen.clear();
    this.element.replaceChildren();
    this.element.hidden = !scheme;
    if (!scheme) return;
    this.alike = make("p", { class: "disk-alike" }, `Only ${HUES} colours differ while points are this small; shapes show once you zoom in.`);
    if (scheme.numeric) this.element.append(this.scale(scheme));
    else this.element.append(this.list(values, scheme), ...(scheme.order.length > HUES ? [this.alike] : []));
    this.element.setAttribute("aria-label", `Colours: ${name}`);
  }

  // Whether points are large enough to have shapes.
  tell(shaped) {
    if (this.alike) this.alike.hidden = shaped;
  }

  scale({ low, high }) {
    const bar = make("canvas", { class: "disk-ramp", width: 64, height: 1 });
    const context = bar.getContext("2d");
    for (let x = 0; x < 64; x += 1) {
      context.fillStyle = css(ramp(x / 63));
      context.fillRect(x, 0, 1, 1);
    }
    return make("div", { class: "disk-scale" }, make("span", {}, shown(low)), bar, make("span", {}, shown(high)));
  }

  list(values, { order, count, colour, shape }) {
    const list = make("ul");
    // All values fit in their natural order; of many, the most frequent are named.
    const named = order.length > MOST ? order.slice(0, MOST) : [...order].sort((a, b) => natural.compare(values[a], values[b]));
    for (const code of named) {
      const mark = make("span", { class: "disk-mark", "aria-hidden": "true" }, SHAPES[shape(code)]);
      mark.style.color = css(colour(code));
      const key = make("button", {
        class: "disk-key", type: "button", title: `${values[code]}: ${count[code].toLocaleString("en")}`, "aria-pressed": "false",
        onpointerenter: () => this.onStand(new Set([...this.chosen, code])),
        onpointerleave: () => this.stand(),
        onclick: () => {
          if (!this.chosen.delete(code)) this.chosen.add(code);
          key.setAttribute("aria-pressed", this.chosen.has(code));
          this.stand();
        },
      }, mark, make("span", { class: "disk-value" }, shown(values[code])));
      list.append(make("li", {}, key));
    }
    const rest = order.length - MOST;
    if (rest > 0) list.append(make("li", { class: "disk-rest" }, `and ${rest.toLocaleString("en")} more, named when pointed at`));
    return list;
  }

  stand() {
    this.onStand(this.chosen.size ? new Set(this.chosen) : null);
  }
}
