// Which points are near a place of the view, by a search through all: a few milliseconds for 100,000.
import { apply, invert } from "./mobius.js";

const BINS = 1024;

// The index of the point that is seen nearest to `at` (in the disk as it is seen), or −1 where none is within `reach`.
export function nearestTo(places, isometry, at, reach) {
  const { px, py, qx, qy } = isometry, [tx, ty] = apply(invert(isometry), at), room = 1 - tx * tx - ty * ty;
  // No point within `reach` is further than this: t = |w − at|/|1 − w̄ at| at most, and sinh²(d/2) = t²/(1 − t²).
  const length = Math.min(1, Math.hypot(...at) + reach), t = reach / (1 - length * Math.hypot(...at));
  const bound = t < 1 ? t * t / (1 - t * t) : Infinity;
  let best = reach * reach, found = -1;
  for (let i = 0, j = 0; j < places.length; i += 1, j += 2) {
    const x = places[j], y = places[j + 1], ax = x - tx, ay = y - ty;
    if (ax * ax + ay * ay > bound * room * (1 - x * x - y * y)) continue;
    const nx = px * x - py * y + qx, ny = px * y + py * x + qy;
    const dx = qx * x + qy * y + px, dy = qx * y - qy * x - py, under = dx * dx + dy * dy;
    const u = (nx * dx + ny * dy) / under - at[0], v = (ny * dx - nx * dy) / under - at[1];
    if (u * u + v * v < best) {
      best = u * u + v * v;
      found = i;
    }
  }
  return found;
}

// Points that are seen within `width` and `height` of the centre (in the disk as it is seen): {found: about `most` of them,
// {index, x, y} nearest to the centre first; count: how many there are}.
export function aroundCentre(places, isometry, width, height, most) {
  const { px, py, qx, qy } = isometry, far = Math.min(1, width * width + height * height);
  const bins = new Uint32Array(BINS), squares = new Float32Array(places.length / 2).fill(2);
  let count = 0;
  for (let i = 0, j = 0; j < places.length; i += 1, j += 2) {
    const x = places[j], y = places[j + 1];
    const dx = qx * x + qy * y + px, dy = qx * y - qy * x - py, under = dx * dx + dy * dy;
    const square = 1 - (1 - x * x - y * y) / under; // |w|², before w
    if (square > far) continue;
    const nx = px * x - py * y + qx, ny = px * y + py * x + qy;
    if (Math.abs(nx * dx + ny * dy) > width * under || Math.abs(ny * dx - nx * dy) > height * under) continue;
    squares[i] = square;
    bins[Math.min(BINS - 1, Math.max(0, Math.floor(square / far * BINS)))] += 1;
    count += 1;
  }
  let bin = 0;
  for (let sum = bins[0]; sum < most && bin < BINS - 1; sum += bins[bin]) bin += 1;
  const limit = bin === BINS - 1 ? 1 : (bin + 1) / BINS * far, found = [];
  for (let i = 0; i < squares.length; i += 1) {
    if (squares[i] > limit) continue;
    const [x, y] = apply(isometry, [places[2 * i], places[2 * i + 1]]);
    found.push({ index: i, x, y, square: squares[i] });
  }
  return { found: found.sort((a, b) => a.square - b.square || a.index - b.index), count };
}
