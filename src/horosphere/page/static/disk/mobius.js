// Isometries of the Poincaré disk as z → (p z + q)/(q̄ z + p̄) with |p|² − |q|² = 1; complex numbers are pairs.

export const identity = Object.freeze({ px: 1, py: 0, qx: 0, qy: 0 });

// Where z goes.
export function apply({ px, py, qx, qy }, [x, y]) {
  const nx = px * x - py * y + qx, ny = px * y + py * x + qy;
  const dx = qx * x + qy * y + px, dy = qx * y - qy * x - py;
  const square = dx * dx + dy * dy;
  return [(nx * dx + ny * dy) / square, (ny * dx - nx * dy) / square];
}

// First t, then s.
export function compose(s, t) {
  const px = s.px * t.px - s.py * t.py + s.qx * t.qx + s.qy * t.qy;
  const py = s.px * t.py + s.py * t.px + s.qy * t.qx - s.qx * t.qy;
  const qx = s.px * t.qx - s.py * t.qy + s.qx * t.px + s.qy * t.py;
  const qy = s.px * t.qy + s.py * t.qx + s.qy * t.px - s.qx * t.py;
  const norm = Math.sqrt(px * px + py * py - qx * qx - qy * qy);
  return { px: px / norm, py: py / norm, qx: qx / norm, qy: qy / norm };
}

// The same, or where it takes the centre further than `reach`, as far as that in the same direction. |p|² − |q|² has no digits
// left at a distance of 37.
export function bounded({ px, py, qx, qy }, reach) {
  const p = Math.hypot(px, py), q = Math.hypot(qx, qy);
  if (q <= Math.sinh(reach / 2)) return { px, py, qx, qy };
  const stretch = Math.cosh(reach / 2) / p, pull = Math.sinh(reach / 2) / q;
  return { px: px * stretch, py: py * stretch, qx: qx * pull, qy: qy * pull };
}

export const invert = ({ px, py, qx, qy }) => ({ px, py: -py, qx: -qx, qy: -qy });

// Takes w to the centre and turns nothing there.
export function toCentre([x, y]) {
  const root = Math.sqrt(Math.max(1 - x * x - y * y, 1e-15));
  return { px: 1 / root, py: 0, qx: -x / root, qy: -y / root };
}

// Takes one place to another, along the geodesic through the centre of the first and the second.
export const carry = (from, to) => compose(invert(toCentre(to)), toCentre(from));

// What goes to the centre, and the turn there: z → r (z − a)/(1 − ā z).
export function parts({ px, py, qx, qy }) {
  const square = px * px + py * py;
  return {
    a: [-(qx * px + qy * py) / square, -(qy * px - qx * py) / square],
    r: [(px * px - py * py) / square, (2 * px * py) / square],
    room: 1 / square, // 1 − |a|², with all its digits
  };
}

// A share of the way from s to t: along a geodesic, turning evenly.
export function between(s, t, share) {
  const { a, r } = parts(compose(t, invert(s)));
  const length = Math.hypot(...a), angle = Math.atan2(r[1], r[0]) * share / 2;
  const scale = length > 0 ? Math.tanh(share * Math.atanh(Math.min(length, 1 - 1e-15))) / length : 0;
  const turn = { px: Math.cos(angle), py: Math.sin(angle), qx: 0, qy: 0 };
  return compose(compose(turn, toCentre([a[0] * scale, a[1] * scale])), s);
}

// 2 artanh |(w − z)/(1 − z̄ w)|.
export function distance([x, y], [u, v]) {
  const square = (u - x) ** 2 + (v - y) ** 2;
  return 2 * Math.asinh(Math.sqrt(square / ((1 - x * x - y * y) * (1 - u * u - v * v))));
}

// The circle that carries the geodesic through two places, which may lie on the boundary: it meets the unit circle at right
// angles. null for a straight line through the centre.
export function geodesic([x, y], [u, v]) {
  const across = 2 * (x * v - y * u);
  if (Math.abs(across) < 1e-6) return null;
  const one = 1 + x * x + y * y, two = 1 + u * u + v * v;
  const centre = [(one * v - two * y) / across, (two * x - one * u) / across];
  return { centre, radius: Math.sqrt(Math.max(0, centre[0] ** 2 + centre[1] ** 2 - 1)) };
}

// The circle of places at a distance from one place, as it is seen in the disk.
export function circle([x, y], reach) {
  const t = Math.tanh(reach / 2), square = x * x + y * y, under = 1 - t * t * square;
  return { centre: [x * (1 - t * t) / under, y * (1 - t * t) / under], radius: t * (1 - square) / under };
}
