// Any number of points on a WebGL2 canvas, in one draw call a frame.
import { FRAGMENT, VERTEX } from "./shaders.js";
import { parts } from "./mobius.js";

const SIDE = 256; // of the palette's texture: a colour for each of 65,536 values

export class Points {
  constructor(canvas, onRestored) {
    this.canvas = canvas;
    this.places = new Float32Array();
    this.codes = new Uint16Array();
    this.found = new Uint8Array();
    this.palette = new Uint8Array(4 * SIDE * SIDE);
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      this.lost = true;
    });
    canvas.addEventListener("webglcontextrestored", () => {
      this.open();
      onRestored();
    });
    this.open();
  }

  // Makes everything that a context holds, from what is kept here.
  open() {
    const gl = this.canvas.getContext("webgl2", { antialias: false, alpha: true, premultipliedAlpha: true, depth: false });
    if (!gl) throw new Error("WebGL2 is not offered");
    this.gl = gl;
    this.lost = false;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(gl.getProgramInfoLog(program));
    gl.useProgram(program);
    this.at = Object.fromEntries(["high", "low", "turn", "extent", "room", "size", "finding"].map(
      (name) => [name, gl.getUniformLocation(program, name)],
    ));
    this.buffers = [gl.FLOAT, gl.UNSIGNED_SHORT, gl.UNSIGNED_BYTE].map((type, location) => {
      const buffer = gl.createBuffer();
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.enableVertexAttribArray(location);
      gl.vertexAttribPointer(location, location ? 1 : 2, type, false, 0, 0);
      return buffer;
    });
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.setPlaces(this.places);
    this.setCodes(this.codes);
    this.setFound(this.found);
    this.setPalette(this.palette);
  }

  fill(number, data) {
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, this.buffers[number]);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, data, this.gl.STATIC_DRAW);
  }

  setPlaces(places) { this.fill(0, this.places = places); }

  // Of each point the number of its colour.
  setCodes(codes) { this.fill(1, this.codes = codes); }

  // 1 for points that stand out where `draw` is told that something was found.
  setFound(found) { this.fill(2, this.found = found); }

  // Four bytes a value: red, green, blue, and its shape from 0 to 3, plus 4 where it is pale.
  setPalette(palette) {
    const { gl } = this;
    this.palette = palette;
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, SIDE, SIDE, 0, gl.RGBA, gl.UNSIGNED_BYTE, palette);
  }

  // The first `count` points; `radius` is the disk's and `size` a point's, in the canvas's own pixels.
  draw(isometry, radius, size, count, finding) {
    const { gl, at, canvas } = this;
    if (this.lost) return;
    const { a, r, room } = parts(isometry), high = a.map(Math.fround);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform2f(at.high, ...high);
    gl.uniform2f(at.low, a[0] - high[0], a[1] - high[1]);
    gl.uniform2f(at.turn, ...r);
    gl.uniform2f(at.extent, 2 * radius / canvas.width, 2 * radius / canvas.height);
    gl.uniform1f(at.room, room);
    gl.uniform1f(at.size, size);
    gl.uniform1f(at.finding, finding ? 1 : 0);
    gl.drawArrays(gl.POINTS, 0, count);
  }
}
