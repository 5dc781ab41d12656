// Where one looks from: an isometry of the disk and a magnification, moved at once or over a moment.
import { apply, between, carry, compose, identity, toCentre } from "./mobius.js";

export const FURTHEST = 1, NEAREST = 60;
const INSIDE = 0.985; // nothing is carried to the boundary itself
const TURN = 320; // milliseconds of a move

export class Camera {
  constructor(onMove) {
    this.onMove = onMove;
    this.isometry = identity;
    this.scale = 1;
    this.home = 1; // the scale at the start, at which the collection fills the view
    this.goal = null;
  }

  get still() { return !this.goal; }

  set(isometry, scale = this.scale) {
    this.goal = null;
    this.isometry = isometry;
    this.scale = Math.min(Math.max(scale, FURTHEST), NEAREST);
    this.onMove();
  }

  // Over a moment, or at once for those who want no motion.
  glide(isometry, scale = this.scale) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return this.set(isometry, scale);
    const to = Math.min(Math.max(scale, FURTHEST), NEAREST);
    this.goal = { from: this.isometry, to: isometry, scale: this.scale, end: to, start: performance.now() };
    this.onMove();
  }

  // One frame of a move that is under way.
  advance(now) {
    if (!this.goal) return;
    const { from, to, scale, end, start } = this.goal;
    const time = Math.min(Math.max((now - start) / TURN, 0), 1), share = time * time * (3 - 2 * time);
    this.isometry = between(from, to, share);
    this.scale = scale * (end / scale) ** share;
    if (time === 1) {
      this.isometry = to;
      this.goal = null;
    }
  }

  // Carries what is seen at one place to another (in the disk as it is seen), from where the view was at `isometry`.
  carried(isometry, from, to) {
    return compose(carry(inside(from), inside(to)), isometry);
  }

  // Magnifies, and what is seen at `at` stays where it is on the screen.
  zoomed(at, factor) {
    const scale = Math.min(Math.max(this.scale * factor, FURTHEST), NEAREST);
    const from = inside(at), to = from.map((value) => value * this.scale / scale);
    return [this.carried(this.isometry, from, to), scale];
  }

  // Brings a place of the collection's own disk to the centre.
  centred(place) {
    return compose(toCentre(apply(this.isometry, place)), this.isometry);
  }
}

function inside([x, y]) {
  const length = Math.hypot(x, y);
  return length > INSIDE ? [x * INSIDE / length, y * INSIDE / length] : [x, y];
}
