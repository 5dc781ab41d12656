"""From an image to the network's input: the evaluation view, the training view, and normalisation on the device.

Views are uint8 (C, size, size), resized with antialiasing; all chance comes from the generator that is passed in.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

from ..config import Augmentation, SceneCrops
from ..errors import InputError
from .decoding import Box, Picture

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
_PILLOW_RESAMPLING = {"nearest": Image.Resampling.NEAREST, "lanczos": Image.Resampling.LANCZOS}  # torch has neither
# A reduced JPEG keeps at least this many pixels per target pixel and side. Measured on photographs against a full decode
# of the same box at scales 1/2, 1/4 and 1/8, the worst of 108 views keeps 35 dB with 1 pixel, 37 with 1.5, 42 with 2 and
# 48 with 3.
_REDUCED_MARGIN = 3


@dataclass(frozen=True)
class Preprocessing:
    """What pretrained weights expect of their input; it belongs to the weights, never to a guess.

    size: side of the square input, pixels. resize: shorter side before the centre crop. mean, std: per channel, of
    values in [0, 1]; their length, 3 or 1, says how many. interpolation: nearest, bilinear, bicubic or lanczos.
    """

    size: int
    resize: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bicubic"

    def __post_init__(self):
        object.__setattr__(self, "mean", tuple(self.mean))  # configuration files give lists
        object.__setattr__(self, "std", tuple(self.std))
        if self.size < 1 or self.resize < self.size:
            raise InputError(f"size {self.size}, resize {self.resize}; expected 1 ≤ size ≤ resize, in pixels.")
        if len(self.mean) not in (1, 3) or len(self.mean) != len(self.std) or min(self.std) <= 0:
            raise InputError(
                f"mean {self.mean}, std {self.std}; expected 3 (colour) or 1 (grey) numbers each, std positive."
            )
        if self.interpolation not in _INTERPOLATIONS:
            raise InputError(f"interpolation {self.interpolation!r}; expected one of {', '.join(_INTERPOLATIONS)}.")

    @property
    def channels(self) -> int:
        """3 for colour, 1 for grey."""
        return len(self.mean)


def evaluation_view(image, preprocessing: Preprocessing, *, name: str = "image") -> torch.Tensor:
    """Shorter side to `resize`, centre crop of `size`: uint8 (C, size, size).

    `image` is encoded bytes, a uint8 array (H, W[, C]) or a Pillow image; it is decoded in full. Equals torchvision's
    Resize and CenterCrop. Raises UnreadableImage with `name`.
    """
    return _framed(Picture(image, name).pixels(preprocessing.channels), preprocessing).contiguous()


def training_view(
    image,
    preprocessing: Preprocessing,
    augmentation: Augmentation,
    generator: np.random.Generator,
    *,
    name: str = "image",
) -> torch.Tensor:
    """A random view, uint8 (C, size, size), a pure function of the image and the generator's state.

    The crop is drawn from the header's size, then a JPEG is decoded at the smallest scale that does it justice.
    """
    picture = Picture(image, name)
    if augmentation.crops:
        view = crop(picture, random_box(picture.size, augmentation, generator), preprocessing)
    else:
        view = _framed(picture.pixels(preprocessing.channels), preprocessing)
    if augmentation.flip and generator.random() < 0.5:
        view = view.flip(-1)
    if augmentation.moves:
        view = _moved(view, augmentation, generator)
    return view.contiguous()


def crop(picture: Picture, box: Box, preprocessing: Preprocessing) -> torch.Tensor:
    """What `box` (left, top, right, bottom) shows, resized: uint8 (C, size, size).

    A JPEG is decoded at the smallest scale that does the box justice, the box rounded to whole pixels there.
    """
    size = preprocessing.size
    target = (_REDUCED_MARGIN * size, _REDUCED_MARGIN * size)
    return _resized(picture.pixels(preprocessing.channels, box, target), size, size, preprocessing)


def useful_side(preprocessing: Preprocessing, augmentation: Augmentation) -> float:
    """How many pixels the shorter side of a reduced image must keep, so that every random crop is faithful.

    The narrowest crop spans √(smallest share × most extreme ratio) of the shorter side, or more.
    """
    extreme = min(augmentation.ratio[0], 1 / augmentation.ratio[1], 1)
    return _REDUCED_MARGIN * preprocessing.size / math.sqrt(augmentation.scale[0] * extreme)


def normalise(batch: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """(n, C, H, W) uint8 to float32 (x / 255 − mean) / std, on the batch's device, which is not waited for."""
    mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
    scale, shift = (x.view(-1, 1, 1).to(batch.device, non_blocking=True) for x in (255 * std, mean / std))
    return batch.float().div_(scale).sub_(shift)


def random_box(
    size: tuple[int, int], augmentation: Augmentation | SceneCrops, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """A crop as torchvision's RandomResizedCrop draws it: whole pixels, ten tries, then the centre."""
    width, height = size
    low, high = (math.log(r) for r in augmentation.ratio)
    for _ in range(10):
        area = width * height * rng.uniform(*augmentation.scale)
        ratio = math.exp(rng.uniform(low, high))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            return left, top, left + w, top + h
    ratio = min(max(width / height, augmentation.ratio[0]), augmentation.ratio[1])
    w, h = min(width, max(1, round(height * ratio))), min(height, max(1, round(width / ratio)))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def _framed(pixels: np.ndarray, preprocessing: Preprocessing) -> torch.Tensor:
    """(C, size, size): shorter side to `resize`, centre crop, with sides truncated and rounded as torchvision does."""
    shorter = min(pixels.shape[:2])
    # A strip of many squares would fill the memory once its shorter side is resized: only its middle can be seen.
    top, left = (max(0, (side - 16 * shorter) // 2) for side in pixels.shape[:2])
    pixels = pixels[top : pixels.shape[0] - top, left : pixels.shape[1] - left]
    height, width = (int(preprocessing.resize * side / shorter) for side in pixels.shape[:2])
    size = preprocessing.size
    top, left = round((height - size) / 2), round((width - size) / 2)
    return _resized(pixels, height, width, preprocessing)[:, top : top + size, left : left + size]


def _resized(pixels: np.ndarray, height: int, width: int, preprocessing: Preprocessing) -> torch.Tensor:
    """uint8 (h, w[, 3]) to (C, height, width), antialiased."""
    if preprocessing.interpolation in ("nearest", "lanczos") and pixels.shape[:2] != (height, width):
        image = Image.fromarray(np.ascontiguousarray(pixels))
        pixels = np.array(image.resize((width, height), _PILLOW_RESAMPLING[preprocessing.interpolation]))
    tensor = _to_tensor(pixels)
    if pixels.shape[:2] == (height, width):
        return tensor.clone()  # the pixels may be the caller's own array
    # torch's uint8 path equals Pillow's within one grey level and is six to ten times as fast.
    mode = preprocessing.interpolation
    return interpolate(tensor[None], (height, width), mode=mode, antialias=True, align_corners=False)[0]


def _moved(view: torch.Tensor, augmentation: Augmentation, rng: np.random.Generator) -> torch.Tensor:
    """A small affine map about the centre, with bilinear sampling.

    The output pixel at centre + u shows the input at centre + R(angle) · [[1, tan shear], [0, 1]] · u + shift.
    """
    side = view.shape[-1]
    angle = math.radians(rng.uniform(-augmentation.rotation, augmentation.rotation))
    lean = math.tan(math.radians(rng.uniform(-augmentation.shear, augmentation.shear)))
    shift = rng.uniform(-augmentation.translation, augmentation.translation, 2) * side
    a, d = math.cos(angle), math.sin(angle)
    b, e = a * lean - d, d * lean + a
    padding = side if augmentation.fill == "edge" else 0
    array = view[0].numpy() if len(view) == 1 else view.permute(1, 2, 0).numpy()
    if padding:
        array = np.pad(array, [(padding, padding)] * 2 + [(0, 0)] * (array.ndim - 2), mode="edge")
    centre = side / 2
    c = centre - a * centre - b * centre + shift[0] + padding
    f = centre - d * centre - e * centre + shift[1] + padding
    colour = "black" if augmentation.fill == "black" else "white"
    image = Image.fromarray(np.ascontiguousarray(array))
    moved = image.transform(
        (side, side), Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BILINEAR, fillcolor=colour
    )
    return _to_tensor(np.array(moved))


def _to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """(h, w[, 3]) to a view (C, h, w); copies where torch cannot follow numpy's strides."""
    if not pixels.flags.writeable or min(pixels.strides) < 0:
        pixels = pixels.copy()
    tensor = torch.from_numpy(pixels)
    return tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1)
