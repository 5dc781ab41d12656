// Pointer, wheel and keys, told as what they mean for the disk. Positions are pixels from the element's top left.

const CLICK = 5, TWICE = 300, SLOP = 30;

export class Gestures {
  // `on`: grab(at), drag(at), drop(), pinch(at, factor), zoom(at, factor) → whether it did anything, point(at or null), click(at),
  // twice(at), key(name, shift) → whether it means something.
  constructor(element, on) {
    this.element = element;
    this.on = on;
    this.down = new Map();
    const listen = (name, does, options) => element.addEventListener(name, does.bind(this), options);
    listen("pointerdown", this.pressed);
    listen("pointermove", this.moved);
    listen("pointerup", this.released);
    listen("pointercancel", this.released);
    listen("pointerleave", () => { if (!this.down.size) on.point(null); });
    listen("wheel", this.wheeled, { passive: false });
    listen("keydown", this.typed);
    // One finger may scroll the page; two are the disk's.
    listen("touchmove", (event) => { if (event.touches.length > 1 && event.cancelable) event.preventDefault(); }, { passive: false });
  }

  at(event) {
    const box = this.element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  pressed(event) {
    if (event.button) return;
    try { this.element.setPointerCapture(event.pointerId); } catch { /* a pointer that is gone already */ }
    const at = this.at(event);
    this.down.set(event.pointerId, at);
    this.began = { at, moved: this.down.size > 1 };
    if (this.down.size === 1) this.on.grab(at);
    else this.spread = this.measured();
  }

  measured() {
    const [[ax, ay], [bx, by]] = this.down.values();
    return { at: [(ax + bx) / 2, (ay + by) / 2], length: Math.max(10, Math.hypot(ax - bx, ay - by)) };
  }

  moved(event) {
    const at = this.at(event);
    if (!this.down.has(event.pointerId)) return this.on.point(at);
    this.down.set(event.pointerId, at);
    if (this.down.size === 2) {
      const now = this.measured();
      this.on.pinch(this.spread.at, now.at, now.length / this.spread.length);
      this.spread = now;
      return;
    }
    const across = Math.abs(at[0] - this.began.at[0]), along = Math.abs(at[1] - this.began.at[1]);
    if (!this.began.moved) {
      if (Math.hypot(across, along) <= CLICK) return;
      this.began.moved = true;
      this.began.scrolls = event.pointerType === "touch" && along > across; // that finger is the page's
    }
    if (!this.began.scrolls) this.on.drag(at);
  }

  released(event) {
    if (!this.down.delete(event.pointerId)) return;
    if (this.down.size === 1) return this.on.grab([...this.down.values()][0]); // one finger stays and drags on
    if (this.down.size) return;
    this.on.drop();
    if (event.type === "pointerup" && !this.began.moved) this.clicked(this.at(event));
  }

  // A click waits whether a second one follows, because the two mean different things.
  clicked(at) {
    if (this.waiting && Math.hypot(at[0] - this.last[0], at[1] - this.last[1]) < SLOP) {
      clearTimeout(this.waiting);
      this.waiting = null;
      return this.on.twice(at);
    }
    this.last = at;
    this.waiting = setTimeout(() => {
      this.waiting = null;
      this.on.click(at);
    }, TWICE);
  }

  wheeled(event) {
    const lines = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
    // A trackpad's pinch comes as a wheel with Ctrl, in small steps.
    const factor = Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0016));
    if (this.on.zoom(this.at(event), Math.min(Math.max(factor, 0.4), 2.5))) event.preventDefault();
  }

  typed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!this.on.key(event.key, event.shiftKey)) return;
    event.preventDefault();
    event.stopPropagation(); // the page has keys of its own
  }
}
