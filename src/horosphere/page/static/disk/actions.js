// What the pointer, the wheel and the keys do to a disk.
import { make } from "../dom.js";
import { carry, compose } from "./mobius.js";
import { nearestTo } from "./nearest.js";

const MOVE = 0.35, STEP = 1.5; // an arrow key's move, and the factor of + and −
const ARROWS = { ArrowLeft: [MOVE, 0], ArrowRight: [-MOVE, 0], ArrowUp: [0, -MOVE], ArrowDown: [0, MOVE] };
const FACTORS = { "+": STEP, "=": STEP, "-": 1 / STEP, _: 1 / STEP };

// For Gestures.
export function actions(disk) {
  const { camera, stage } = disk;
  let grabbed = null;
  const grab = (at) => {
    grabbed = { isometry: camera.isometry, at: disk.seen(at) };
  };
  return {
    grab: (at) => {
      disk.held = true;
      camera.set(camera.isometry);
      grab(at);
      disk.pointAt(null);
    },
    drag: (at) => {
      stage.classList.add("disk-held");
      camera.set(camera.carried(grabbed.isometry, grabbed.at, disk.seen(at)));
    },
    drop: () => {
      disk.held = false;
      stage.classList.remove("disk-held");
      disk.moved();
    },
    pinch: (from, to, factor) => {
      camera.set(camera.carried(camera.isometry, disk.seen(from), disk.seen(to)));
      camera.set(...camera.zoomed(disk.seen(to), factor));
      grab(to);
    },
    zoom: (at, factor) => {
      const [isometry, scale] = camera.zoomed(disk.seen(at), factor);
      if (scale === camera.scale) return factor > 1; // fully zoomed out: the page may scroll on
      disk.hover(null);
      camera.set(isometry, scale);
      return true;
    },
    point: (at) => disk.pointAt(at),
    click: (at) => {
      const index = disk.under(at);
      if (index !== null) disk.onPick(disk.items.ids[index]);
    },
    twice: (at) => {
      const index = disk.under(at), scale = Math.max(camera.scale * STEP, camera.home);
      const to = index === null ? camera.carried(camera.isometry, disk.seen(at), [0, 0]) : camera.centred(disk.items.place(index));
      camera.glide(to, scale);
    },
    key: (name, fast) => {
      if (ARROWS[name]) {
        const to = ARROWS[name].map((value) => Math.tanh(value * (fast ? 3 : 1) / 2 / camera.scale ** 0.7));
        camera.glide(compose(carry([0, 0], to), camera.heading));
      } else if (FACTORS[name]) camera.glide(camera.heading, (camera.goal?.end ?? camera.scale) * FACTORS[name]);
      else if (name === "r" || name === "R") camera.reset();
      else if (name === "Enter") {
        const index = nearestTo(disk.items.places, camera.isometry, [0, 0], 1);
        if (index < 0) return false;
        disk.centre(index);
        disk.look(index);
      } else if (name === "Escape" && disk.looked !== null) {
        disk.hover(null);
        disk.look(null);
      } else return false;
      return true;
    },
  };
}

// Buttons for those who have no wheel.
export function tools(disk) {
  const { camera } = disk;
  const tool = (sign, label, does) => make("button", {
    type: "button", title: label, "aria-label": label, onclick: (event) => does(event.currentTarget),
  }, sign);
  const bar = make("div", { class: "disk-tools" },
    tool("+", "Zoom in (+)", () => camera.glide(...camera.zoomed([0, 0], STEP))),
    tool("−", "Zoom out (−)", () => camera.glide(...camera.zoomed([0, 0], 1 / STEP))),
    tool("⟲", "Back to the start (R)", () => camera.reset()),
    tool("▦", "Show images where there is room", (button) => {
      disk.plain = !disk.plain;
      button.setAttribute("aria-pressed", !disk.plain);
      disk.settle();
    }));
  bar.lastChild.setAttribute("aria-pressed", "true");
  return bar;
}

// What lies over the disk keeps its own pointer, wheel and, with `keys`, its keys.
export function over(disk, element, keys) {
  const names = ["pointerdown", "pointermove", "wheel", ...(keys ? ["keydown"] : [])];
  for (const name of names) element.addEventListener(name, (event) => event.stopPropagation(), { passive: true });
  element.addEventListener("pointerenter", () => disk.pointAt(null));
}
