"""The file that keeps a collection's disk: items with their places, and the landmarks among which others are placed."""

import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..files import replacing
from ..index import SearchIndex
from ..insight.disk import DiskLayout

#: Of what is in the file.
_VERSION = 2


@dataclass(frozen=True)
class Provenance:
    """What a layout was made for, and how well it came out.

    Attributes:
        stamp: of `stamp_of`.
        part: the name of the part that is drawn, or None.
        items: how many items there were when it was made.
        method: what laid the landmarks out: least "stress", or "neighbours".
        scale, centre, chosen: the layout's.
        stress, neighbours: of `layout_quality`; None where too few items were there to tell.
    """

    stamp: str
    part: str | None
    items: int
    method: str
    scale: float
    centre: str
    chosen: str
    stress: float | None = None
    neighbours: float | None = None


@dataclass(frozen=True, eq=False)
class Kept:
    """What the file holds: items, each an id with the fingerprint of its point, and their positions (n, 2) float32; and the
    landmarks' points with their layout."""

    items: Sequence[tuple[str, int]]
    positions: np.ndarray
    about: Provenance
    landmarks: Tensor
    layout: DiskLayout


def stamp_of(index: SearchIndex, seed: int) -> str:
    """The same for two layouts that may stand for one another: of one space, one model, one seed."""
    known = {"version": _VERSION, "space": index.space.describe(settled=True), "model": index.model, "seed": seed}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def fingerprints(points: Tensor) -> np.ndarray:
    """A number for each of points (n, p) float32, int64 (n,): another where the point is another."""
    words = points.contiguous().numpy().view(np.int32)
    factors = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, words.shape[1], endpoint=True)
    return np.concatenate([(block * factors).sum(1) for block in np.array_split(words, 1 + len(words) // 8192)])


def write(file: Path, kept: Kept) -> None:
    """All of it or nothing."""
    with replacing(file) as temporary:
        np.savez(
            temporary,
            about=_bytes(asdict(kept.about)),
            ids=_bytes([id for id, _ in kept.items]),
            prints=np.array([number for _, number in kept.items]),
            positions=kept.positions,
            landmarks=kept.landmarks.numpy(),
            z=kept.layout.z,
        )


def read(file: Path, stamp: str) -> Kept | None:
    """What the file holds; None where there is none, it is damaged, or has another stamp."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            about = Provenance(**json.loads(arrays["about"].tobytes()))
            if about.stamp != stamp:
                return None
            items = list(zip(json.loads(arrays["ids"].tobytes()), arrays["prints"].tolist(), strict=True))
            layout = DiskLayout(arrays["z"], about.scale, about.centre, about.chosen)
            return Kept(items, arrays["positions"], about, torch.from_numpy(arrays["landmarks"]), layout)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _bytes(value: object) -> np.ndarray:
    return np.frombuffer(json.dumps(value).encode(), np.uint8)
