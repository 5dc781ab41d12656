"""From an uploaded image to the point to search from: judged by its header, decoded in a small pool, embedded in batches."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..collection import Collection
from ..collection.thumbnails import jpeg
from .bodies import encode_point, refuse
from .limits import Limits
from .workers import Batcher, Pool

#: What browsers show and cameras write. TIFF is left out: its tiles may be far larger than the image that they are of, and
#: BMP, whose runs Pillow decodes in Python.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
#: A progressive JPEG is decoded once a scan, and cameras write ten; hundreds of empty ones are an attack.
_SCANS = 64
_BATCH = 8


@dataclass(frozen=True)
class Seen:
    """What the model sees of an image, uint8 (C, size, size), and the image's own size as displayed."""

    view: Tensor
    width: int
    height: int


def see(collection: Collection, data: bytes, limits: Limits) -> Seen:
    """The view of an encoded image. Refuses what is no image, too large, or damaged."""
    names = ", ".join(FORMATS)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
    except Image.DecompressionBombError:
        refuse(413, f"the image has more than {limits.pixels:,} pixels, which is the most taken; send it smaller")
    except Exception:  # damaged headers reach nearly every exception type inside Pillow's plugins
        refuse(415, f"the body is no image that is taken; send one of {names}")
    if width * height > limits.pixels:
        refuse(413, f"the image has {width * height:,} pixels; at most {limits.pixels:,} are taken; send it smaller")
    if image.format in ("JPEG", "MPO") and data.count(b"\xff\xda") > _SCANS:
        refuse(413, f"the JPEG has more than {_SCANS} scans; save it anew")
    try:
        turned = image.getexif().get(274, 1) in (5, 6, 7, 8)
        view = collection.view(image)
    except MemoryError:
        refuse(413, "the image takes more memory than there is; send it smaller")
    except Exception:
        # Pillow's reasons, which may name its own files, stay here.
        refuse(422, "the image is damaged or of an unusual kind, and cannot be decoded; save it anew")
    return Seen(view, height if turned else width, width if turned else height)


def preview(view: Tensor) -> str:
    """A view as a data: URL of a JPEG."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg(view.permute(1, 2, 0).numpy())).decode()}"


class Embedding:
    """Images on their way to points: two are decoded at a time, and what waits for the model goes through it together."""

    def __init__(self, collection: Collection, limits: Limits):
        self._collection, self._limits = collection, limits
        self._decoding = Pool("decode", 2, limits.images, limits.answer)
        self._model = Batcher("embed", self._embed, _BATCH, limits.answer)

    def _embed(self, views: Sequence[Tensor]) -> Sequence[Tensor]:
        return self._collection.embed(torch.stack(list(views))).unbind()

    async def run(self, data: bytes) -> dict[str, Any]:
        """The answer of POST /api/queries."""
        seen = await self._decoding.run(see, self._collection, data, self._limits)
        shown = await self._decoding.run(preview, seen.view)
        point = await self._model.run(seen.view)
        return {"point": encode_point(point.numpy()), "preview": shown, "width": seen.width, "height": seen.height}

    def close(self) -> None:
        """Let what runs finish."""
        self._decoding.close()
        self._model.close()
