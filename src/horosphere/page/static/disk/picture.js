// What is seen: three canvases over one another, for the ground, the points, and what lies over them.
import { make } from "../dom.js";
import { drawGround, drawQuery, drawRing } from "./lines.js";
import { apply } from "./mobius.js";
import { css } from "./palette.js";
import { Points } from "./points.js";
import { drawImage } from "./thumbnails.js";
import { Tip } from "./tip.js";

const PALE = 0.22; // how much is left of an image among others that stand out

export class Picture {
  // Throws where WebGL2 is not offered.
  constructor(stage, images, onRestored) {
    const canvas = (name) => make("canvas", { class: name, "aria-hidden": "true" });
    const layers = ["disk-ground", "disk-points", "disk-top"].map(canvas);
    this.points = new Points(layers[1], onRestored);
    stage.append(...layers);
    this.layers = layers;
    this.ground = layers[0].getContext("2d");
    this.top = layers[2].getContext("2d");
    this.images = images;
    this.tip = new Tip(stage, images);
  }

  load({ places, length }) {
    this.points.setPlaces(places);
    this.points.setFound(new Uint8Array(length));
  }

  resize({ width, height }) {
    this.ratio = Math.min(devicePixelRatio || 1, 2);
    for (const layer of this.layers) {
      layer.width = Math.max(1, Math.round(width * this.ratio));
      layer.height = Math.max(1, Math.round(height * this.ratio));
    }
  }

  // A disk as it is now.
  draw(disk) {
    const { items, box, colours, looked } = disk, view = disk.view(), { ground, top, ratio } = this;
    const seen = (place) => apply(view.isometry, place);
    for (const context of [ground, top]) {
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, box.width, box.height);
    }
    drawGround(ground, view, colours);
    this.points.draw(view.isometry, view.radius * ratio, disk.pointSize * ratio, disk.count, disk.found !== null);
    for (const { index, side } of disk.thumbnails) {
      const image = this.images.get(items.ids[index]), [x, y] = disk.onScreen(items.place(index));
      const code = items.fields[disk.field]?.codes[index] ?? 0;
      top.globalAlpha = disk.pale(index) ? PALE : 1;
      if (image) drawImage(top, image, { x, y, side }, code < 0 ? colours.soft : css(disk.scheme.colour(code)), colours.card);
    }
    top.globalAlpha = 1;
    if (disk.query) drawQuery(top, view, seen(disk.query), disk.neighbours.map((index) => seen(items.place(index))), colours);
    if (looked === null) return this.tip.show(null);
    drawRing(top, view, seen(items.place(looked)), colours);
    this.tip.show(items.describe(looked), disk.onScreen(items.place(looked)), box);
  }
}
