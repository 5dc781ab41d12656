// Images where points are: which have room, and the images themselves, a few requests at a time, the latest asked first.

const AT_ONCE = 6, KEPT = 600;
const SMALLEST = 22, LARGEST = 92, MOST = 90, GAP = 3;

export class Images {
  constructor(address, onImage) {
    this.address = address;
    this.onImage = onImage;
    this.known = new Map(); // id → image, or null where there is none; the least recently used first
    this.wanted = [];
    this.flying = 0;
  }

  // The image, or undefined until it is there, or null where there is none.
  get(id) {
    const image = this.known.get(id);
    if (image !== undefined) {
      this.known.delete(id);
      this.known.set(id, image);
    }
    return image;
  }

  // Ask for these, the first first; whatever was asked for before and has not begun is forgotten.
  want(ids) {
    this.wanted = ids.filter((id) => !this.known.has(id)).reverse();
    this.fetch();
  }

  fetch() {
    while (this.flying < AT_ONCE && this.wanted.length) {
      const id = this.wanted.pop();
      if (this.known.has(id)) continue;
      this.known.set(id, undefined);
      this.flying += 1;
      this.load(id).then((image) => {
        this.flying -= 1;
        this.known.set(id, image);
        if (this.known.size > KEPT) this.known.delete(this.known.keys().next().value);
        this.onImage(id);
        this.fetch();
      });
    }
  }

  async load(id) {
    const image = new Image();
    image.alt = ""; // The tip says in words what it shows.
    image.decoding = "async";
    image.src = this.address(id);
    try {
      await image.decode();
      return image;
    } catch {
      return null;
    }
  }
}

// The side of images in the middle of the disk, where `count` points share an area: 0 where it is too crowded.
export function sideFor(area, count) {
  const side = 3.4 * Math.sqrt(area / Math.max(count, 1));
  return side < SMALLEST ? 0 : Math.min(side, LARGEST);
}

// Of candidates {x, y, side, index}, in order of preference, those that cover none before them.
export function fit(candidates) {
  const cells = new Map(), chosen = [], pitch = LARGEST + GAP;
  for (const one of candidates) {
    const column = Math.floor(one.x / pitch), row = Math.floor(one.y / pitch);
    let free = true;
    for (let i = -1; i <= 1 && free; i += 1) {
      for (let j = -1; j <= 1 && free; j += 1) {
        for (const other of cells.get(`${column + i},${row + j}`) ?? []) {
          const least = (one.side + other.side) / 2 + GAP;
          if (Math.abs(one.x - other.x) < least && Math.abs(one.y - other.y) < least) { free = false; break; }
        }
      }
    }
    if (!free) continue;
    const key = `${column},${row}`;
    if (!cells.has(key)) cells.set(key, []);
    cells.get(key).push(one);
    chosen.push(one);
    if (chosen.length === MOST) break;
  }
  return chosen;
}

// One image in its frame.
export function drawImage(context, image, { x, y, side }, frame, ground) {
  const scale = side / Math.max(image.naturalWidth, image.naturalHeight);
  const width = image.naturalWidth * scale, height = image.naturalHeight * scale;
  context.fillStyle = ground;
  context.fillRect(x - width / 2, y - height / 2, width, height);
  context.imageSmoothingEnabled = scale < 2; // a small image is shown as the pixels that the model saw
  context.imageSmoothingQuality = "high";
  context.drawImage(image, x - width / 2, y - height / 2, width, height);
  context.strokeStyle = frame;
  context.lineWidth = 2;
  context.strokeRect(x - width / 2, y - height / 2, width, height);
}
