"""From encoded bytes or an array to upright pixels: header first, pixels when asked for, orientation always applied.

Pillow reads every header, so size, mode and orientation never depend on which decoder produces the pixels. If
`simplejpeg` is installed it decodes plain grey and colour JPEGs; whatever it will not take goes to Pillow, which has
the last word.
"""

import functools
import io

import numpy as np
from PIL import Image

Box = tuple[float, float, float, float]

ORIENTATION_TAG = 274
# EXIF orientation → how the stored pixels are turned upright; all are views, no pixel moves.
_UPRIGHT = {
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored[::-1].swapaxes(0, 1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored[:, ::-1].swapaxes(0, 1),
}
# Below this side a JPEG is decoded whole: nothing to gain, and rounding would make the scale ambiguous.
_SMALLEST_REDUCED = 64


class UnreadableImage(ValueError):
    """An image that cannot be decoded. `name` says which one, `reason` why."""

    def __init__(self, name: str, reason: str):
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason

    def __reduce__(self):
        return type(self), (self.name, self.reason)


@functools.cache
def _simplejpeg():
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg


class Picture:
    """An image whose header is known and whose pixels are decoded when asked for.

    `data` is encoded bytes, a uint8 or uint16 array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or a Pillow image.
    `size` is (width, height) as displayed, after EXIF orientation. Raises UnreadableImage.
    """

    def __init__(self, data: bytes | np.ndarray | Image.Image, name: str = "image"):
        self.name = name
        self._bytes = self._array = None
        if isinstance(data, np.ndarray):
            data = _from_array(data, name)
        if isinstance(data, np.ndarray):
            self._array, self._orientation = data, 1
            self.size = (data.shape[1], data.shape[0])
            return
        if isinstance(data, Image.Image):
            self._image = data
        else:
            if len(data) == 0:
                raise UnreadableImage(name, "the file is empty (0 bytes)")
            self._bytes = data
            self._image = self._guard(lambda: Image.open(io.BytesIO(data)))
            if self._image.format != "JPEG":
                # Only a JPEG gains from waiting; loading may tell (PNG) or apply (TIFF) the orientation.
                self._guard(self._image.load)
        self._orientation = self._guard(lambda: self._image.getexif().get(ORIENTATION_TAG, 1))
        width, height = self._image.size
        self.size = (height, width) if self._orientation in (5, 6, 7, 8) else (width, height)

    def pixels(self, channels: int = 3, box: Box | None = None, target: tuple[float, float] | None = None) -> np.ndarray:
        """Decode what `box` shows, upright: uint8 (h, w, 3) or, for `channels=1`, (h, w).

        `box` is (left, top, right, bottom) in displayed pixels, the whole image if None. `target` (width, height) allows a
        JPEG to be decoded at 1/2, 1/4 or 1/8 of its size, the box rounded to whole pixels there, as long as the box keeps
        at least so many; no other scales, for libjpeg has no fast transform for them and they cost more than a full decode.
        Transparency is composited on white, an animation gives its first frame, 16 bits a channel are rounded to 8.
        """
        box = box or (0, 0, *self.size)
        reduction = 1
        if target is not None and self._is_jpeg() and min(self.size) >= _SMALLEST_REDUCED:
            room = min((box[2] - box[0]) / target[0], (box[3] - box[1]) / target[1])
            reduction = next((r for r in (8, 4, 2) if room >= r), 1)
        array = self._guard(lambda: self._decode(reduction, "L" if channels == 1 else "RGB"))
        array = _UPRIGHT.get(self._orientation, lambda stored: stored)(array)
        # A side that does not divide gains a fraction of a pixel at its stored end, which is the displayed beginning where
        # the orientation reverses that axis.
        dx = array.shape[1] - self.size[0] / reduction if self._orientation in (2, 3, 6, 7) else 0
        dy = array.shape[0] - self.size[1] / reduction if self._orientation in (3, 4, 7, 8) else 0
        left, right = (round(edge / reduction + dx) for edge in box[::2])
        top, bottom = (round(edge / reduction + dy) for edge in box[1::2])
        return array[top:bottom, left:right]

    def _is_jpeg(self) -> bool:
        return self._bytes is not None and self._image.format == "JPEG"

    def _decode(self, reduction: int, mode: str) -> np.ndarray:
        """The stored pixels, (h, w, 3) or (h, w), of an image whose sides are divided by `reduction` and rounded up."""
        if self._array is not None:
            if self._array.ndim == (2 if mode == "L" else 3):
                return self._array
            return np.asarray(Image.fromarray(np.ascontiguousarray(self._array)).convert(mode))
        image = self._image
        if self._is_jpeg() and image.mode in ("RGB", "L") and _simplejpeg():
            least = {"min_width": -(-image.width // reduction), "min_height": -(-image.height // reduction)}
            try:
                array = _simplejpeg().decode_jpeg(
                    self._bytes,
                    colorspace="RGB" if image.mode == "RGB" else "GRAY",
                    **(least if reduction > 1 else {}),
                )
            except ValueError:
                pass  # damaged or unusual: Pillow decides, so that both installations read the same images
            else:
                array = array[..., 0] if image.mode == "L" else array
                # Pillow converts, where it must, so that the weights of the channels are its own.
                return array if image.mode == mode else np.asarray(Image.fromarray(array).convert(mode))
        if reduction > 1 and self._bytes is not None:
            # Drafting changes an image for good; the header is read again so that `pixels` may be called twice.
            image = Image.open(io.BytesIO(self._bytes))
            image.draft(None, (image.width // reduction, image.height // reduction))
        image.load()
        return np.array(self._to_mode(image, mode))

    @staticmethod
    def _to_mode(image: Image.Image, mode: str) -> Image.Image:
        if image.mode.startswith("I"):  # 16 bits, which Pillow opens as I;16 or, in some formats, as I
            values = np.asarray(image).astype(np.int64).clip(0, 65535)
            image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
        elif image.mode == "F":
            raise ValueError("floating-point pixels have no agreed range; convert the image to 8 or 16 bits")
        if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image if image.mode == mode else image.convert(mode)

    def _guard(self, action):
        """Run `action`; whatever a damaged file makes a decoder raise becomes UnreadableImage."""
        try:
            return action()
        except (MemoryError, UnreadableImage):
            raise
        except Exception as error:  # damaged files reach nearly every exception type inside Pillow's plugins
            reason = "not an image of a known format" if isinstance(error, Image.UnidentifiedImageError) else str(error)
            raise UnreadableImage(self.name, reason or type(error).__name__) from error


def decode(data: bytes | np.ndarray | Image.Image, *, channels: int = 3, name: str = "image") -> np.ndarray:
    """Decode a whole image to uint8, (H, W, 3) or, for `channels=1`, (H, W). Raises UnreadableImage with `name`."""
    return np.array(Picture(data, name).pixels(channels), order="C")


def _from_array(array: np.ndarray, name: str) -> np.ndarray | Image.Image:
    """Pixels as they are, or as the Pillow image that knows how to convert them."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    colour = array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype == np.uint8
    grey = array.ndim == 2 and array.dtype in (np.uint8, np.uint16)
    if not (colour or grey) or 0 in array.shape:
        expected = "uint8 of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or uint16 of shape (H, W)"
        raise UnreadableImage(name, f"an array of {array.dtype} and shape {array.shape}; expected {expected}")
    plain = array.dtype == np.uint8 and array.shape[2:] in ((), (3,))
    return array if plain else Image.fromarray(np.ascontiguousarray(array))
