// Where one looks from: an isometry of the disk and a magnification, moved at once or over a moment.
import { apply, between, bounded, carry, compose, distance, identity, toCentre } from "./mobius.js";

export const FURTHEST = 1, NEAREST = 60;
const INSIDE = 0.985; // nothing is carried to the boundary itself
const TURN = 320; // milliseconds of a move
const BEYOND = 3, MOST = 18; // how far beyond the outermost item, and from the middle, one may look from

export class Camera {
  // Without `glides` every move is made at once: nothing draws its frames.
  constructor(onMove, glides = true) {
    this.onMove = onMove;
    this.glides = glides;
    this.reach = MOST;
    this.isometry = identity;
    this.scale = 1;
    this.home = 1; // the scale at the start, at which the collection fills the view
    this.goal = null;
  }

  get still() { return !this.goal; }

  // Where a move that is under way ends, so that keys struck fast add up.
  get heading() { return this.goal?.to ?? this.isometry; }

  // The view of a collection whose outermost item lies at `radius`.
  start(home, radius) {
    this.home = home;
    this.reach = Math.min(distance([0, 0], [radius, 0]) + BEYOND, MOST);
    this.set(identity, home);
  }

  reset() { this.glide(identity, this.home); }

  set(isometry, scale = this.scale) {
    this.goal = null;
    this.isometry = bounded(isometry, this.reach);
    this.scale = Math.min(Math.max(scale, FURTHEST), NEAREST);
    this.onMove();
  }

  // Over a moment, or at once for those who want no motion.
  glide(isometry, scale = this.scale) {
    if (!this.glides || matchMedia("(prefers-reduced-motion: reduce)").matches) return this.set(isometry, scale);
    const to = Math.min(Math.max(scale, FURTHEST), NEAREST);
    this.goal = { from: this.isometry, to: bounded(isometry, this.reach), scale: this.scale, end: to, start: performance.now() };
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
