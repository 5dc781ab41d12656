// Colours that colour-blind readers tell apart (after Okabe and Ito), each readable on its ground, and what has which.

const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#b8559a", "#c98a00", "#3a9fd8", "#7a4fbf", "#4a4a4a"];
const DARK = ["#4aa8e0", "#ff8a3d", "#2cc796", "#e58fc4", "#f0c030", "#9bd8ff", "#b79bff", "#d8d8d8"];
// For numbers, dark to light as the number grows: blue to yellow, which every eye tells apart (after cividis).
const RAMP = [[0, 45, 106], [65, 78, 110], [124, 123, 120], [187, 173, 107], [253, 231, 55]];
export const HUES = LIGHT.length;
export const SHAPES = ["●", "■", "◆", "▲"];
const MANY = 12; // numbers with more values than this are shown as a ramp

const bytes = (hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));

// How the values of a field look: {numeric, order (values, most frequent first), count, colour(value), shape(value)}.
export function scheme({ values, codes }, dark) {
  const count = new Uint32Array(values.length);
  for (const code of codes) if (code >= 0 && code < values.length) count[code] += 1;
  const order = values.map((_, code) => code).filter((code) => count[code]).sort((a, b) => count[b] - count[a] || a - b);
  const numeric = values.length > MANY && values.every((value) => typeof value === "number");
  if (numeric) {
    const known = order.map((code) => values[code]), low = Math.min(...known), high = Math.max(...known);
    const share = (code) => (high > low ? (values[code] - low) / (high - low) : 0.5);
    return { numeric, order, count, low, high, colour: (code) => ramp(share(code)), shape: () => 0 };
  }
  const hues = (dark ? DARK : LIGHT).map(bytes), rank = new Uint32Array(values.length);
  order.forEach((code, place) => { rank[code] = place; });
  return {
    numeric, order, count,
    colour: (code) => hues[rank[code] % hues.length],
    shape: (code) => Math.floor(rank[code] / hues.length) % SHAPES.length,
  };
}

export function ramp(share) {
  const at = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1), low = Math.min(Math.floor(at), RAMP.length - 2);
  return RAMP[low].map((value, i) => Math.round(value + (at - low) * (RAMP[low + 1][i] - value)));
}

export const css = (rgb) => `rgb(${rgb.join(" ")})`;

// The texture's bytes: the last texel is for points without a value. `only` are the values that are not pale, or null.
export function texture({ order, colour, shape }, only, dark) {
  const out = new Uint8Array(4 * 65536);
  for (const code of order) out.set([...colour(code), shape(code) + (only && !only.has(code) ? 4 : 0)], 4 * code);
  out.set([...(dark ? [150, 150, 150] : [120, 120, 120]), only ? 4 : 0], 4 * 65535);
  return out;
}
