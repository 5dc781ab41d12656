"""The Poincaré disk of a whole collection: some items laid out together, all others and every query placed among them."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..files import alone
from ..index import SearchIndex
from ..insight.disk import (
    NeighbourPlacement,
    Placement,
    coincide,
    hyperbolic_parts,
    landmarks_of,
    layout_quality,
    neighbour_layout,
    stress_layout,
)
from ..spaces import Space
from .disk_file import Kept, Provenance, fingerprints, read, stamp_of, write

#: The file in a collection's folder.
_FILE = "disk.npz"
#: Items laid out together, and items by lot whose neighbours among all items are looked for in the picture.
_LANDMARKS, _JUDGED = 2000, 500
#: What has grown by this factor is laid out anew.
_GROWN = 2
#: Seconds, roughly, of laying out, of placing an item and of judging: for the share that is done.
_LAYING, _PLACING, _JUDGING = 6.0, 2.5e-4, 2.0

#: How what is not a landmark is placed, by what laid the landmarks out.
_PLACEMENTS = {"stress": Placement, "neighbours": NeighbourPlacement}

#: Hears the share that is done, from 0 to 1, and what is being done.
Tell = Callable[[float, str], None]


@dataclass(frozen=True, eq=False)
class CollectionDisk:
    """A collection's items in the unit disk.

    Attributes:
        ids: of the items, in the index's order.
        positions: (n, 2) float32, inside the unit circle.
        part: the name of the hyperbolic part that is drawn alone; None where the whole space is.
        stress: Kruskal's, of pairs by lot (see `insight.LayoutQuality`); None for fewer than three items.
        neighbours: of the ten items nearest to one, the share that is among its ten nearest in the picture, on average over
            items by lot; None as well.
        landmarks: how many items were laid out together.
        sentence: what is drawn, and how far to trust it.
    """

    ids: tuple[str, ...]
    positions: np.ndarray
    part: str | None
    stress: float | None
    neighbours: float | None
    landmarks: int
    sentence: str
    _space: Space
    _placement: Placement

    def place(self, points: Tensor) -> np.ndarray:
        """Where points (b, p) of the collection's space belong: (b, 2) float32.

        An item's own point comes to the item's place, or near it where the item was laid out with others.
        Raises ValueError for points that are not of this space.
        """
        return _columns(self._placement.place(_drawn(self._space, points, self.part)[1]))


def collection_disk(
    index: SearchIndex, folder: Path | None = None, *, seed: int = 0, tell: Tell | None = None
) -> CollectionDisk:
    """The disk of what `index` holds, kept in the collection's `folder` where one is given.

    A mixture's first hyperbolic part is drawn alone, because that is what a disk can show; any other space by its own
    distances. Of a layout by least stress and one by neighbours, that is taken which keeps more neighbours among the items
    that are laid out together. Items that came since are placed among the same landmarks, without a new layout, until there
    are twice as many. A file that is damaged, or of another space or model, is made anew. A second process waits for the
    first. `tell` may raise to stop, and then nothing is written.

    Raises InputError for an index without items.
    """
    with ExitStack() as held:
        if folder is not None:
            with suppress(OSError):  # where nothing can be written, nobody is waited for
                held.enter_context(alone(folder / ".disk.lock", "which lays out the same disk"))
        return _made(index, None if folder is None else folder / _FILE, seed, tell or (lambda share, step: None))


def _made(index: SearchIndex, file: Path | None, seed: int, tell: Tell) -> CollectionDisk:
    ids = index.ids
    if not ids:
        raise InputError("the collection holds no items, so it has no disk; add images with `horosphere index`")
    points, stamp = index.points(ids), stamp_of(index, seed)
    items = list(zip(ids, fingerprints(points).tolist(), strict=True))
    kept = None if file is None else read(file, stamp)
    laying = kept is None or len(items) > _GROWN * min(kept.about.items, len(set(items) & set(kept.items)))
    total = _JUDGING + _PLACING * len(items) + _LAYING * laying

    def clock(start: float, seconds: float, step: str) -> Callable[[int, int], None]:
        return lambda done, of: tell(round((start + seconds * done / of) / total, 6), step)

    if kept is None or laying:
        kept = _laid_out(index, ids, items, points, stamp, seed, clock)
    part = kept.about.part
    space, own = _drawn(index.space, points, part)
    placement = _PLACEMENTS[kept.about.method](space, kept.landmarks, kept.layout, seed)
    rows = {item: row for row, item in enumerate(kept.items)}
    places = np.array([rows.get(item, -1) for item in items])
    positions, about = kept.positions[places], kept.about
    new = np.flatnonzero(places < 0)
    if laying or len(new) or len(items) < len(kept.items):
        placing = clock(_LAYING * laying, _PLACING * len(items), f"placing {len(new):,} items")
        positions[new] = _columns(placement.place(own[torch.from_numpy(new)], placing))
        clock(total - _JUDGING, _JUDGING, "judging the picture")(0, 1)
        about = _judged(about, space, own, positions, seed)
        if file is not None:
            try:
                write(file, Kept(items, positions, about, kept.landmarks, kept.layout))
            except OSError as error:
                warnings.warn(
                    f"{file} cannot be written ({error.strerror}): the disk is laid out anew next time", stacklevel=3
                )
    laid = min(len(kept.landmarks), len(items))
    sentence = _sentence(len(items), laid, about)
    return CollectionDisk(
        tuple(ids), positions, part, about.stress, about.neighbours, laid, sentence, index.space, placement
    )


def _laid_out(
    index: SearchIndex,
    ids: Sequence[str],
    items: Sequence[tuple[str, int]],
    points: Tensor,
    stamp: str,
    seed: int,
    clock: Callable[[float, float, str], Callable[[int, int], None]],
) -> Kept:
    """The landmarks, and no other items yet."""
    parts = [name for name, _, own in hyperbolic_parts(index.space, points) if not coincide(own)]
    part = parts[0] if parts else None
    space, own = _drawn(index.space, points, part)
    chosen = landmarks_of(len(ids), _LANDMARKS, _classes(index, ids), seed=seed)
    step = f"laying out {len(chosen):,} of {len(ids):,} items"
    clock(0.0, _LAYING, step)(0, 1)
    # A layout needs three points: of fewer, some are there more than once.
    landmarks = own[torch.from_numpy(np.resize(chosen, max(3, len(chosen))))]
    layout, method = stress_layout(space, landmarks, seed=seed, tell=clock(0.0, _LAYING / 2, step)), "stress"
    if layout.z.any():
        other = neighbour_layout(space, landmarks, layout, seed=seed, tell=clock(_LAYING / 2, _LAYING / 2, step))
        # Least stress wins where two dimensions are nearly enough; elsewhere it tears neighbours apart.
        kept = [layout_quality(space, landmarks, own.z, seed=seed).neighbours for own in (layout, other)]
        if kept[1] > kept[0]:
            layout, method = other, "neighbours"
    about = Provenance(stamp, part, len(ids), method, layout.scale, layout.centre, layout.chosen)
    return Kept([items[row] for row in chosen], _columns(layout.z)[: len(chosen)], about, landmarks, layout)


def _drawn(space: Space, points: Tensor, part: str | None) -> tuple[Space, Tensor]:
    """The space that is drawn, and its points."""
    if part is None:
        return space, points
    return next((own_space, own) for name, own_space, own in hyperbolic_parts(space, points) if name == part)


def _judged(about: Provenance, space: Space, points: Tensor, positions: np.ndarray, seed: int) -> Provenance:
    """With the stress, and the neighbours that items by lot keep among all items."""
    if len(points) < 3:
        return about
    x, y = positions.T.astype(float)
    quality = layout_quality(space, points, x + 1j * y, queries=_JUDGED, seed=seed)
    return replace(about, stress=quality.stress, neighbours=quality.neighbours)


def _sentence(items: int, landmarks: int, about: Provenance) -> str:
    what = "The collection's distances" if about.part is None else f"The distances of the part {about.part} alone"
    how = "neighbours" if about.method == "neighbours" else "least stress"
    sentence = f"{what}, laid out in the hyperbolic plane by {how}; "
    if about.centre == "origin":
        sentence += "the distance to the centre follows the radius. "
    else:
        sentence += "the centre is the items' mean. "
    if landmarks < items:
        sentence += f"{landmarks:,} of {items:,} items were laid out together, the others placed among them. "
    if about.neighbours is None:
        return sentence.strip()
    return (
        f"{sentence}Two dimensions cannot hold what many can: of an item's ten nearest, {100 * about.neighbours:.0f} % are "
        f"among its ten nearest here (stress {about.stress:.2f}). Read groups off it, and take neighbours from the search."
    )


def _columns(z: np.ndarray) -> np.ndarray:
    """Complex places as (n, 2) float32, which rounds none of them to the boundary."""
    z = z * (np.minimum(np.abs(z), 1 - 2.0**-20) / np.maximum(np.abs(z), 1e-300))
    return np.stack([z.real, z.imag], 1).astype(np.float32)


def _classes(index: SearchIndex, ids: Sequence[str]) -> list[str] | None:
    if "class" not in index.fields(0):
        return None
    return [str(item.get("class", "")) for item in index.metadata(ids)]
