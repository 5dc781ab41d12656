// Before the first query: what the collection's geometries are, and some of its items to start from.
import * as api from "./api.js";
import { find, glyph, make } from "./dom.js";
import { picture } from "./query.js";

const OFFERED = 18;

export async function welcome(collection, onPick) {
  const place = find("welcome");
  const kind = (name) => collection.parts.find((part) => part.name === name)?.kind ?? "mixture";
  const geometries = collection.geometries.map(({ name, meaning }) => make("li", {}, glyph(kind(name)), make("div", {}, make("h3", {}, name), make("p", {}, meaning))));
  const start = make("ul", { class: "offered", "aria-label": "Items to start from" });
  const search = collection.search?.sentence;
  if (!collection.items) {
    place.replaceChildren(
      make("p", { class: "lead" }, "This collection is empty."),
      make("p", {}, "Add images with ", make("code", {}, "horosphere index RUN IMAGES"), ", then open this page again."),
    );
    return;
  }
  place.replaceChildren(
    make("p", { class: "lead" }, "Give an image: its nearest neighbours under each geometry appear side by side, with what they agree on and what only one of them finds."),
    make("ul", { class: "geometries" }, ...geometries),
    ...(search ? [make("p", { class: "soft" }, search)] : []),
    make("h3", {}, "Or start with one of these"),
    start,
  );
  for (let i = 0; i < OFFERED; i++) start.append(make("li", { class: "offer ghost" }));
  const { ids } = await api.like("", 400);
  const step = Math.max(1, Math.floor(ids.length / OFFERED));
  const chosen = ids.filter((_, i) => i % step === 0).slice(0, OFFERED);
  start.replaceChildren(...chosen.map((id) => make("li", { class: "offer" }, make("button", { type: "button", title: `Search with ${id}`, onclick: () => onPick(id) }, picture({ id }, collection)))));
}
