// Which items may answer: lists of values and ranges of numbers, from the collection's own fields.
import { find, later, make } from "./dom.js";
import { count, plural } from "./words.js";

const SHOWN = 40;

export class Filters {
  constructor(collection, { onChange }) {
    this.onChange = onChange;
    this.state = {};
    const kinds = { text: ValueFilter, boolean: ValueFilter, number: NumberFilter };
    this.filters = Object.entries(collection.fields).map(([name, field]) => new kinds[field.kind](name, field, (rule) => this.set(name, rule)));
    if (!this.filters.length) return;
    this.clear = make("button", { type: "button", class: "quiet", onclick: () => onChange({ where: {} }) }, "Remove all filters");
    find("filters").replaceChildren(make("h3", {}, "Filters"), ...this.filters.map(({ element }) => element), this.clear);
  }

  set(name, rule) {
    const where = { ...this.state, [name]: rule };
    if (rule === null) delete where[name];
    this.onChange({ where });
  }

  show(state) {
    this.state = state.where;
    find("filters").hidden = state.lens; // Confusions are of the whole collection.
    for (const filter of this.filters) filter.show(state.where[filter.name] ?? null);
    if (this.clear) this.clear.hidden = !Object.keys(state.where).length;
  }
}

class ValueFilter {
  constructor(name, field, onRule) {
    this.name = name;
    this.field = field;
    this.onRule = onRule;
    this.chosen = [];
    this.not = false;
    this.summary = make("summary", {}, name);
    const id = `filter-${name}`;
    this.search = make("input", { type: "search", id, placeholder: `Find among ${plural(field.distinct, "value")}`, "aria-label": `Find a value of ${name}`, oninput: later(60, () => this.list()) });
    this.values = make("ul", { class: "values", "aria-label": `Values of ${name}` });
    this.exclude = make("input", { type: "checkbox", onchange: () => this.rule(this.chosen, this.exclude.checked) });
    this.element = make(
      "details",
      { class: "filter" },
      this.summary,
      field.distinct > 8 && this.search,
      this.values,
      make("label", { class: "value" }, this.exclude, "All but these"),
    );
    this.list();
  }

  rule(chosen, not) {
    this.chosen = chosen;
    this.not = not;
    if (!chosen.length) return this.onRule(null);
    const values = chosen.length === 1 ? chosen[0] : chosen;
    this.onRule(not ? { not: values } : values);
  }

  // Chosen values first: they stay in sight whatever is searched for. A value beyond the listed ones can be typed in full.
  list() {
    const text = this.search.value.trim().toLowerCase();
    const counts = new Map(this.field.values);
    const matching = this.field.values.map(([value]) => value).filter((value) => !this.chosen.includes(value) && String(value).toLowerCase().includes(text));
    const shown = [...this.chosen, ...matching.slice(0, SHOWN)];
    const rows = shown.map((value) => {
      const box = make("input", { type: "checkbox" });
      box.checked = this.chosen.includes(value);
      box.addEventListener("change", () => this.rule(box.checked ? [...this.chosen, value] : this.chosen.filter((one) => one !== value), this.not));
      return make("li", {}, make("label", { class: "value" }, box, make("span", {}, String(value)), counts.has(value) && make("span", { class: "soft" }, count(counts.get(value)))));
    });
    if (!matching.length && text && this.field.distinct > this.field.values.length) {
      const typed = this.search.value.trim();
      rows.push(make("li", {}, make("button", { type: "button", class: "quiet", onclick: () => this.rule([...this.chosen, typed], this.not) }, `Use “${typed}”`)));
    } else if (!matching.length && text) rows.push(make("li", { class: "soft" }, "No such value."));
    else if (matching.length > SHOWN) rows.push(make("li", { class: "soft" }, `${count(matching.length - SHOWN)} more: type to find them.`));
    const focused = [...this.values.querySelectorAll("input")].indexOf(document.activeElement);
    this.values.replaceChildren(...rows);
    if (focused >= 0) this.values.querySelectorAll("input")[Math.min(focused, rows.length - 1)]?.focus();
  }

  show(rule) {
    this.not = rule !== null && typeof rule === "object" && !Array.isArray(rule);
    const values = this.not ? rule.not : rule;
    this.chosen = values == null ? [] : Array.isArray(values) ? values : [values];
    this.exclude.checked = this.not;
    const words = this.chosen.length > 2 ? plural(this.chosen.length, "value") : this.chosen.join(", ");
    this.summary.replaceChildren(this.name, ...(words ? [make("strong", { class: "chosen" }, `${this.not ? "not " : ""}${words}`)] : []));
    this.list();
  }
}

class NumberFilter {
  constructor(name, field, onRule) {
    this.name = name;
    const box = (word) => make("input", { type: "number", min: field.min, max: field.max, step: "any", placeholder: field[word], "aria-label": `${name}, ${word === "min" ? "from" : "to"}`, oninput: later(250, () => onRule(this.rule())) });
    this.min = box("min");
    this.max = box("max");
    this.summary = make("summary", {}, name);
    this.element = make("details", { class: "filter" }, this.summary, make("p", { class: "range" }, "from ", this.min, " to ", this.max));
  }

  rule() {
    const rule = {};
    if (this.min.value !== "") rule.min = Number(this.min.value);
    if (this.max.value !== "") rule.max = Number(this.max.value);
    return Object.keys(rule).length ? rule : null;
  }

  show(rule) {
    for (const word of ["min", "max"]) if (document.activeElement !== this[word]) this[word].value = rule?.[word] ?? "";
    const words = rule && `${rule.min ?? "…"} to ${rule.max ?? "…"}`;
    this.summary.replaceChildren(this.name, ...(words ? [make("strong", { class: "chosen" }, words)] : []));
  }
}
