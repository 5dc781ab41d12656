// What is drawn in lines under and over the points: the disk, its grid, and geodesics. All arcs are true circles.
import { apply, circle, geodesic } from "./mobius.js";

const SPOKES = 12, RINGS = [1, 2, 3, 4, 5, 6];

// A view says where a place of the disk is on the canvas: {middle: [x, y], radius, isometry}.
const screen = ({ middle, radius }, [x, y]) => [middle[0] + radius * x, middle[1] - radius * y];

// A path along the geodesic between two places as they are seen.
export function arc(context, view, from, to) {
  const bend = geodesic(from, to), [fx, fy] = screen(view, from), [tx, ty] = screen(view, to);
  context.moveTo(fx, fy);
  // A circle much larger than the canvas is a line, and its angles have no digits left.
  if (!bend || bend.radius > 1e4) return context.lineTo(tx, ty);
  const [cx, cy] = screen(view, bend.centre);
  const start = Math.atan2(fy - cy, fx - cx), end = Math.atan2(ty - cy, tx - cx);
  const sweep = ((end - start) % (2 * Math.PI) + 3 * Math.PI) % (2 * Math.PI) - Math.PI;
  context.arc(cx, cy, bend.radius * view.radius, start, end, sweep < 0); // inside the disk the short way
}

// The disk, circles at whole distances around the middle of the collection, and geodesics through it.
export function drawGround(context, view, colours) {
  const { middle, radius, isometry } = view;
  context.beginPath();
  context.arc(...middle, radius, 0, 2 * Math.PI);
  context.fillStyle = colours.ground;
  context.fill();
  context.save();
  context.clip();
  context.strokeStyle = colours.grid;
  context.lineWidth = 1;
  context.beginPath();
  for (let i = 0; i < SPOKES; i += 1) {
    const angle = (Math.PI * i) / SPOKES, end = [Math.cos(angle), Math.sin(angle)];
    arc(context, view, onto(apply(isometry, end)), onto(apply(isometry, [-end[0], -end[1]])));
  }
  const origin = apply(isometry, [0, 0]);
  for (const reach of RINGS) {
    const ring = circle(origin, reach), [cx, cy] = screen(view, ring.centre);
    context.moveTo(cx + ring.radius * radius, cy);
    context.arc(cx, cy, ring.radius * radius, 0, 2 * Math.PI);
  }
  context.stroke();
  const [ox, oy] = screen(view, origin);
  context.beginPath();
  context.moveTo(ox - 5, oy);
  context.lineTo(ox + 5, oy);
  context.moveTo(ox, oy - 5);
  context.lineTo(ox, oy + 5);
  context.strokeStyle = colours.soft;
  context.stroke();
  context.restore();
  context.beginPath();
  context.arc(...middle, radius, 0, 2 * Math.PI);
  context.strokeStyle = colours.rim;
  context.lineWidth = 1.5;
  context.stroke();
}

// Rounding leaves the ends of a geodesic a little off the boundary.
function onto([x, y]) {
  const length = Math.hypot(x, y);
  return [x / length, y / length];
}

// The query with geodesics to its neighbours, nearest strongest.
export function drawQuery(context, view, query, neighbours, colours) {
  context.strokeStyle = colours.accent;
  neighbours.forEach((place, rank) => {
    context.beginPath();
    arc(context, view, query, place);
    context.globalAlpha = 0.9 - 0.6 * rank / neighbours.length;
    context.lineWidth = rank ? 1.4 : 2.4;
    context.stroke();
  });
  context.globalAlpha = 1;
  const [x, y] = screen(view, query);
  for (const [radius, width, colour] of [[8, 5, colours.card], [8, 2.5, colours.accent]]) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke();
  }
  context.beginPath();
  context.arc(x, y, 3, 0, 2 * Math.PI);
  context.fillStyle = colours.accent;
  context.fill();
}

// A ring around a point that is looked at.
export function drawRing(context, view, place, colours, radius = 9) {
  const [x, y] = screen(view, place);
  for (const [width, colour] of [[5, colours.card], [2, colours.ink]]) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke();
  }
}
