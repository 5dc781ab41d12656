// What a point is: its image, its id and its values, beside it.
import { make } from "../dom.js";

export class Tip {
  constructor(stage, images) {
    this.images = images;
    this.element = stage.appendChild(make("div", { class: "disk-tip", role: "status", hidden: true }));
  }

  // An item {id, values: [[name, value], …]} at a pixel of the box {width, height}; null: nothing.
  show(item, at, box) {
    this.element.hidden = !item;
    if (!item) return this.id = null;
    const image = this.images.get(item.id), key = `${item.id}\n${Boolean(image)}`;
    if (key !== this.id) {
      this.id = key;
      const values = item.values.map(([name, value]) => make("span", {}, make("em", {}, `${name} `), value));
      const words = make("div", {}, make("strong", {}, item.id), ...values);
      this.element.replaceChildren(...(image ? [image.cloneNode(), words] : [words]));
    }
    const { offsetWidth: width, offsetHeight: height } = this.element;
    const left = Math.min(Math.max(at[0] + 16, 0), Math.max(0, box.width - width));
    const below = at[1] + 16 + height <= box.height;
    this.element.style.transform = `translate(${left}px, ${Math.max(0, below ? at[1] + 16 : at[1] - 16 - height)}px)`;
  }
}
