// The disk beside the results: its layout under way, its colours, the query's place in it.
import * as api from "./api.js";
import { Disk } from "./disk/view.js";
import { find, make } from "./dom.js";
import { percent, seconds } from "./words.js";

export class Panel {
  // `onUnplaced`: the answer that is shown knows no place in the disk, and another may.
  constructor({ onPick, onHover, onUnplaced, onFailure }) {
    this.onUnplaced = onUnplaced;
    this.onFailure = onFailure;
    this.actions = { thumbnailUrl: api.thumbnail, onPick, onHover };
    this.shown = null;
    this.sought = false;
  }

  async start() {
    let last = null;
    try {
      await api.layout((line) => {
        last = line;
        if ("progress" in line) this.progress(line);
      });
      if (!last?.ready) return this.tell(last?.error ?? "There is no disk for this collection.");
      const [points, items] = await Promise.all([api.diskPoints(), api.diskItems()]);
      this.open(points, items, last.sentence);
    } catch (error) {
      if (error instanceof api.Refused && error.status !== 401) this.tell(error.message);
      else this.onFailure(error, () => this.start());
    }
  }

  progress({ progress, left, step }) {
    find("disk-progress").hidden = false;
    find("disk-progress").value = progress;
    const time = left == null ? "" : `, about ${seconds(left)} left`;
    find("disk-words").textContent = `${step}, ${percent(progress)}${time}`;
  }

  tell(sentence) {
    find("disk-progress").hidden = true;
    find("disk-words").textContent = sentence;
    find("disk").classList.toggle("shut", !this.disk);
  }

  open(points, items, sentence) {
    this.disk = new Disk(find("disk"), this.actions);
    this.disk.load(points, items);
    this.tell(sentence ?? "");
    const fields = Object.keys(items.fields);
    if (fields.length && !this.disk.bare) {
      const select = find("colour-by");
      select.replaceChildren(...fields.map((name) => make("option", { value: name }, name)));
      select.addEventListener("change", () => this.disk.colourBy(select.value));
      select.value = fields.includes("class") ? "class" : fields[0];
      this.disk.colourBy(select.value);
      find("colour").hidden = false;
    }
    if (this.shown) this.show(this.shown.place, this.shown.ids);
  }

  // The query's place, null where the server knew none, and the ids of its neighbours.
  show(place, ids) {
    this.shown = { place, ids };
    this.disk?.showQuery(place, ids);
    if (place) this.sought = false;
    else if (this.disk && !this.sought) this.seek();
  }

  // The answer came before the disk was laid out, or the server was started again since: the next one may know a place.
  async seek() {
    this.sought = true;
    try {
      await api.layout(() => {});
    } catch {
      return; // What is wrong the next search tells.
    }
    if (this.shown && !this.shown.place) this.onUnplaced();
  }

  clear() {
    this.shown = null;
    this.disk?.showQuery(null, []);
  }

  // Items whose ids or labels contain the text stand out: how many; null without a disk.
  find(text) {
    return this.disk?.find(text) ?? null;
  }

  focus(id) {
    this.disk?.focus(id);
  }
}
