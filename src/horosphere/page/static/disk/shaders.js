// The points' shaders: an isometry moves every point in the vertex shader, a texture gives each its colour and shape.

// Pixels above which a point has its shape: smaller shapes look alike.
export const SHAPED = 6;

export const VERTEX = `#version 300 es
precision highp float;
layout(location = 0) in vec2 place;
layout(location = 1) in float code;
layout(location = 2) in float found;
uniform vec2 high, low, turn, extent;   // the place that is at the centre, as a sum; the turn; the disk's radius over half the canvas
uniform float room, size, finding;
uniform highp sampler2D palette;
flat out vec4 colour;
flat out float shape, width;

vec2 times(vec2 a, vec2 b) { return vec2(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x); }

void main() {
  // (z − a)/(1 − ā z), with 1 − ā z = (1 − |a|²) − ā (z − a): no digits are lost near the boundary.
  vec2 d = (place - high) - low, a = high + low;
  vec2 under = vec2(room, 0.0) - times(vec2(a.x, -a.y), d);
  vec2 w = times(turn, times(d, vec2(under.x, -under.y)) / dot(under, under));
  float depth = max(0.0, 1.0 - dot(w, w));
  int number = int(code + 0.5);
  vec4 texel = texelFetch(palette, ivec2(number & 255, number >> 8), 0);
  int look = int(texel.a * 255.0 + 0.5);
  bool pale = (look & 4) != 0 || (finding > 0.5 && found < 0.5);
  shape = float(look & 3);
  width = size * (0.4 + 0.6 * depth) * (finding > 0.5 && found > 0.5 ? 1.8 : 1.0);
  colour = pale ? vec4(vec3(0.5), 0.22) : vec4(texel.rgb, 0.88);
  gl_Position = vec4(w * extent, 0.0, 1.0);
  // Discs have soft edges, so their squares are a pixel larger; a point under a pixel is paler instead.
  gl_PointSize = max(width, 1.0) + 1.0;
  colour.a *= min(width, 1.0);
}`;

export const FRAGMENT = `#version 300 es
precision mediump float;
flat in vec4 colour;
flat in float shape, width;
out vec4 pixel;

void main() {
  vec2 p = (gl_PointCoord - 0.5) * (max(width, 1.0) + 1.0);   // in pixels from the middle
  float half_width = max(width, 1.0) * 0.5, far = length(p);
  if (width > ${SHAPED.toFixed(1)}) {
    vec2 q = abs(p);
    if (shape > 2.5) far = max(p.y + 0.25 * half_width, 0.5 * (-p.y + 1.9 * q.x) + 0.1 * half_width);
    else if (shape > 1.5) far = 0.78 * (q.x + q.y);
    else if (shape > 0.5) far = max(q.x, q.y) * 1.12;
  }
  float alpha = colour.a * clamp(half_width + 0.5 - far, 0.0, 1.0);
  if (alpha < 0.01) discard;
  pixel = vec4(colour.rgb * alpha, alpha);
}`;
