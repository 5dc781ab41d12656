// How long frames take, and how many points can move at a pace that feels smooth.

const KEPT = 120, SLOW = 40, FAST = 22, LEAST = 20000;

export class Frames {
  constructor() {
    this.intervals = [];
    this.last = null;
    this.budget = Infinity;
  }

  // A frame; `count` points are there. Only where another follows at once, `onward`, does the time to it tell how long a
  // frame takes: else it waits for the hand.
  tick(now, count, onward) {
    if (this.last !== null && now - this.last < 1000) {
      const interval = now - this.last;
      this.intervals.push(interval);
      if (this.intervals.length > KEPT) this.intervals.shift();
      const recent = middle(this.intervals.slice(-4));
      if (recent > SLOW) this.budget = Math.max(LEAST, Math.min(this.budget, count) * 0.7);
      else if (recent < FAST && this.budget < count) this.budget *= 1.15;
    }
    this.last = onward ? now : null;
  }

  // Nothing moves now: the next interval would tell of the pause.
  rest() { this.last = null; }

  drawn(count) { return Math.min(count, Math.round(this.budget)); }

  // Milliseconds from frame to frame while things moved.
  summary() {
    const sorted = [...this.intervals].sort((a, b) => a - b);
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? null;
    return { frames: sorted.length, median: at(0.5), p95: at(0.95), worst: at(1) };
  }
}

const middle = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
