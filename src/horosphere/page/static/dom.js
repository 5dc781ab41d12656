// Elements from plain values. What a collection holds enters as text nodes and attributes, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "circle", "ellipse", "path", "rect"]);

export function make(tag, attributes = {}, ...children) {
  const element = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

export const find = (id) => document.getElementById(id);

export function say(text) {
  find("live").textContent = text;
}

export function later(milliseconds, call) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(call, milliseconds, ...given);
  };
}

const paths = {
  sphere: [["circle", { cx: 10, cy: 10, r: 8 }], ["ellipse", { cx: 10, cy: 10, rx: 8, ry: 3 }]],
  hyperbolic: [
    ["circle", { cx: 10, cy: 10, r: 8 }],
    ["path", { d: "M2.6 7A10 10 0 0 0 17.4 7M5 16.2A7 7 0 0 1 15 16.2" }],
  ],
  euclidean: [["rect", { x: 2.5, y: 2.5, width: 15, height: 15, rx: 1 }], ["path", { d: "M2.5 10h15M10 2.5v15" }]],
  mixture: [["circle", { cx: 7.5, cy: 10, r: 5.8 }], ["circle", { cx: 12.5, cy: 10, r: 5.8 }]],
  more: [["path", { d: "M10 4v12M4 10h12" }]],
  less: [["path", { d: "M4 10h12" }]],
  remove: [["path", { d: "M5 5l10 10M15 5L5 15" }]],
  image: [["path", { d: "M3 15l4.5-5 3.5 4 2.5-2.5L17 15" }], ["rect", { x: 2.5, y: 3.5, width: 15, height: 13, rx: 2 }]],
};

export function glyph(name) {
  const shapes = (paths[name] ?? paths.euclidean).map(([tag, attributes]) => make(tag, attributes));
  return make("svg", { viewBox: "0 0 20 20", class: "glyph", "aria-hidden": "true" }, ...shapes);
}
