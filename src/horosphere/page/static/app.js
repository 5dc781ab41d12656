// Start, and the state that everything else shows.
import * as api from "./api.js";
import { nameTheme, switchTheme } from "./appearance.js";
import { Controls } from "./controls.js";
import { askToken, openHelp, openProgram, openSession, startCopying } from "./dialogs.js";
import { find, later, say } from "./dom.js";
import { Filters } from "./filters.js";
import { Lens } from "./lens.js";
import { Panel } from "./panel.js";
import { Picker } from "./picker.js";
import { Query } from "./query.js";
import { Results } from "./results.js";
import { fresh, request, restored, toHash, toHistory } from "./state.js";
import { welcome } from "./welcome.js";
import { list, plural, seconds } from "./words.js";

// Milliseconds between the last move of a slider and the request, and the address: browsers take few of those a second.
const SETTLED = 90, WRITTEN = 400;

class App {
  constructor(collection) {
    this.collection = collection;
    this.state = fresh(collection);
    const onFailure = (error, again) => failed(error, again);
    const onChange = (patch) => this.change(patch);
    const onPick = (id) => this.query.only({ id });
    this.query = new Query(collection, { onChange, onFailure });
    this.picker = new Picker({ onPick, onText: (text) => this.panel.find(text), onFailure });
    this.controls = new Controls(collection, { onChange });
    this.filters = new Filters(collection, { onChange });
    this.lens = new Lens(collection, { onChange });
    this.panel = new Panel({ onPick, onHover: (id) => this.results.mark(id), onUnplaced: () => this.ask(), onFailure });
    this.results = new Results(collection, {
      onPick,
      onMore: (id) => this.query.toggle("more", { id }),
      onLess: (id) => this.query.toggle("less", { id }),
      onHover: (id) => this.panel.focus(id),
      onUnfilter: () => this.change({ where: {} }),
    });
    this.askSoon = later(SETTLED, () => this.ask());
    this.writeSoon = later(WRITTEN, () => this.write("replaceState"));
    addEventListener("popstate", (event) => this.restore(event.state));
    addEventListener("keydown", (event) => this.key(event));
    find("program").addEventListener("click", () => openProgram(this.state));
    find("home").addEventListener("click", (event) => {
      event.preventDefault();
      this.change(fresh(collection));
    });
  }

  // A new query or view is a step to go back from; a slider's move only changes the step.
  change(patch) {
    const step = "more" in patch || "lens" in patch || "class" in patch;
    this.state = { ...this.state, ...patch };
    if ("k" in patch || "weights" in patch) this.writeSoon();
    else this.write(step ? "pushState" : "replaceState");
    this.render();
    if (step) this.ask();
    else this.askSoon();
  }

  write(how) {
    history[how](toHistory(this.state, this.collection), "", `${location.pathname}#${toHash(this.state, this.collection)}`);
  }

  restore(kept) {
    this.state = restored(location.hash, kept, this.collection);
    this.render();
    this.ask();
  }

  render() {
    for (const part of [this.query, this.controls, this.filters, this.lens]) part.show(this.state);
    find("main").classList.toggle("fresh", !this.state.more.length);
  }

  // Answers to older requests are dropped: only the last one asked is shown.
  async ask() {
    this.pending?.abort();
    if (!this.state.more.length) return this.clear();
    const pending = (this.pending = new AbortController());
    const state = this.state;
    this.results.wait(state.k);
    try {
      const answer = await api.ask(...request(state), pending.signal);
      if (pending !== this.pending) return;
      this.query.fail(null);
      this.lens.took(answer, state);
      this.results.show(answer, state);
      this.query.showRadius(answer.radius);
      this.panel.show(answer.disk, answer.geometries[0].hits.map(({ id }) => id));
    } catch (error) {
      if (error.name === "AbortError" || pending !== this.pending) return;
      if (error instanceof api.Refused && error.status !== 401) {
        this.clear();
        this.query.fail(error.status === 404 ? unknown(state) : error.message);
      } else failed(error, () => this.ask());
    }
  }

  clear() {
    this.results.clear();
    this.query.showRadius(null);
    this.panel.clear();
  }

  key(event) {
    if (event.defaultPrevented) return; // What has the focus took it.
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const typing = event.target.closest("input:not([type=range], [type=checkbox]), select, textarea");
    if (typing) return;
    const { k } = this.state;
    const keys = {
      "?": openHelp,
      "/": () => find("by-id").focus(),
      u: () => find("file")?.click(),
      t: switchTheme,
      w: () => this.state.lens || this.change({ weights: null }),
      c: () => this.state.more.length && this.collection.fields.class && this.change({ lens: !this.state.lens, class: null }),
      "[": () => this.change({ k: Math.max(1, k - 1) }),
      "]": () => this.change({ k: Math.min(this.collection.limits.k, k + 1) }),
      Escape: () => this.state.more.length && this.change({ more: [], less: [], lens: false, class: null }),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }
}

// Why a search knows no such item, to a person who may have followed an old link.
function unknown({ more, less }) {
  const ids = [...more, ...less].flatMap((entry) => ("id" in entry ? [`“${entry.id}”`] : []));
  return `The collection has no item ${ids.length === 1 ? ids[0] : `with one of the ids ${list(ids)}`}. Remove it, or find another by part of its id.`;
}

function banner(text, again = null) {
  find("banner").hidden = text === null;
  find("banner-text").textContent = text ?? "";
  find("banner-retry").hidden = again === null;
  find("banner-retry").onclick = again;
}

// What waits for the server, and asks it every two seconds whether it is back.
const waiting = new Set();
let watch = null;

async function look() {
  clearTimeout(watch);
  try {
    await api.health();
  } catch {
    watch = setTimeout(look, 2000);
    return;
  }
  watch = null;
  banner(null);
  say("The server is back.");
  const calls = [...waiting];
  waiting.clear();
  for (const call of calls) call();
}

function failed(error, again) {
  if (error instanceof api.Refused && error.status === 401) return askToken().then(again);
  if (error instanceof api.Refused) return banner(error.message, again);
  if (!(error instanceof api.Gone)) throw error;
  waiting.add(again);
  banner("The server does not answer. It is asked again every two seconds; start it with “horosphere serve” if it was stopped.", look);
  watch ??= setTimeout(look, 2000);
}

api.connection.addEventListener("busy", (event) => banner(`The server is busy; the next try is in ${seconds(event.detail)}.`));
api.connection.addEventListener("free", () => waiting.size || banner(null));

async function start() {
  let collection;
  try {
    await openSession();
    collection = await api.collection();
  } catch (error) {
    return failed(error, start);
  }
  try {
    open(collection);
  } catch (error) {
    banner("The page could not show this collection. Reload it; if that does not help, it is a fault of the page.", () => location.reload());
    throw error;
  }
}

function open(collection) {
  document.title = `${collection.name} · Horosphere`;
  find("name").textContent = collection.name;
  find("size").textContent = plural(collection.items, "item");
  find("controls").open = matchMedia("(min-width: 62rem)").matches;
  const app = new App(collection);
  app.restore(history.state);
  find("main").removeAttribute("aria-busy");
  welcome(collection, (id) => app.query.only({ id })).catch((error) => failed(error, () => location.reload()));
  if (collection.items) app.panel.start();
  else app.panel.tell("There is nothing to lay out yet.");
}

find("theme").addEventListener("click", switchTheme);
find("shortcuts").addEventListener("click", openHelp);
find("skip").addEventListener("click", (event) => {
  event.preventDefault();
  find("results").focus();
});
nameTheme();
startCopying();
start();
