"""A searchable collection of images: an index, the model that made its points, and thumbnails, in one folder."""

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .. import build
from ..data import evaluation_view
from ..errors import InputError
from ..index import SearchIndex, open_index
from ..models import Embedder
from ..spaces import Mixed, Space
from . import confidence
from .folder import MODEL, About, fingerprint
from .thumbnails import Thumbnails


class Collection:
    """What `horosphere index` made, to search in. Its methods may be called from several threads.

    ```python
    collection = Collection.open("runs/demo/index")
    hits = collection.index.search(collection.embed([Path("cat.jpg").read_bytes()]), k=10)
    ```
    """

    def __init__(self, folder: Path, about: About, index: SearchIndex, thumbnails: Thumbnails, device: torch.device):
        self.folder, self.index, self._about = folder, index, about
        self._thumbnails, self._device = thumbnails, device
        self._loading = threading.Lock()

    @classmethod
    def open(cls, folder: str | Path, *, device: str = "auto", token: str = "") -> Self:
        """The collection in a folder. `token` is a Milvus server's, where the points are on one.

        Raises:
            InputError: where there is none, it is damaged, or its model is not the one that made the points.
        """
        folder = Path(folder)
        about = About.read(folder)
        own = fingerprint(folder / MODEL)
        index = open_index(folder, token=token)
        try:
            if index.model != own:
                raise InputError(
                    f"the model in {folder / MODEL} is not the one that made the points of {folder}: put the run's own "
                    "model back, or make the collection anew"
                )
            return cls(folder, about, index, Thumbnails(folder), build.device(device))
        except BaseException:
            index.close()
            raise

    def close(self) -> None:
        """Leave the index and the thumbnails."""
        self.index.close()
        self._thumbnails.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.index)

    @property
    def name(self) -> str:
        """For people."""
        return self._about.name

    @property
    def takes_images(self) -> bool:
        """Whether images can be queries: False where the run was trained on cached features."""
        return self._about.takes_images

    @property
    def about(self) -> dict:
        """What this is, as JSON-able values: the index's own description, the name, the run and the geometries."""
        return {
            "name": self.name,
            "run": self._about.run,
            "takes_images": self.takes_images,
            "geometries": list(self.geometries),
            "index": self.index.describe(),
        }

    @property
    def space(self) -> Space:
        """Where the points live."""
        return self.index.space

    @property
    def model(self) -> Embedder:
        """The model that made the points, in eval mode; loaded when first asked for."""
        with self._loading:  # two threads that ask at once
            return self._model

    @cached_property
    def _model(self) -> Embedder:
        return Embedder.load(self.folder / MODEL).to(self._device)

    @cached_property
    def geometries(self) -> dict[str, tuple[float, ...] | None]:
        """name → weights to search with: the trained space first, with None, and of a mixture each part alone."""
        if not isinstance(self.space, Mixed):
            return {self.space.name: None}
        count = len(self.space.parts)
        alone = {name: tuple(float(i == j) for j in range(count)) for i, name in enumerate(self.space.names)}
        return {"mixture": None, **alone}

    @property
    def radii(self) -> confidence.Radii | None:
        """What the radius of a query says; None where the space has no origin. Measured in seconds, once, and kept."""
        with self._loading:
            return self._radii

    @cached_property
    def _radii(self) -> confidence.Radii | None:
        return confidence.radii(self.index, self.folder)

    def temperature(self, geometry: str) -> float:
        """What the run's loss divided the distance of this geometry by; of one that no loss saw, the loss's own."""
        temperatures = self._about.temperatures
        return temperatures.get(geometry, temperatures[""])

    def view(self, image: bytes | np.ndarray | Image.Image) -> Tensor:
        """What the model sees of an image, encoded, uint8 (H, W[, C]) or Pillow's: uint8 (C, size, size).

        Raises:
            UnreadableImage: where it cannot be decoded.
            InputError: where the run was trained on cached features.
        """
        preprocessing = self.model.preprocessing
        if preprocessing is None:
            raise InputError(
                f"{self.name} was trained on cached features, so it takes no images: search for items, by their ids"
            )
        return evaluation_view(image, preprocessing)

    def embed(self, images: Sequence[bytes | np.ndarray] | Tensor) -> Tensor:
        """Points (n, p), float32 on the CPU, of images, or of what `view` made of them, as one tensor.

        Raises:
            UnreadableImage: where an image cannot be decoded.
            InputError: where there are none, or the run was trained on cached features.
        """
        if not isinstance(images, Tensor):
            images = torch.stack([self.view(image) for image in images]) if len(images) else torch.empty(0)
        return self.model.encode(images).float().cpu()

    @property
    def has_thumbnails(self) -> bool:
        """Whether any item has one."""
        return self._thumbnails.any()

    def thumbnail(self, id: str) -> bytes | None:
        """What the model saw of an item, small, as a JPEG; None where it was no image, or there is no such item."""
        return self._thumbnails.get(id)
