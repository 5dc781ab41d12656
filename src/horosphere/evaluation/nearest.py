"""The k nearest of every query, streamed in blocks, in exact order."""

from collections.abc import Iterator

import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from tqdm import tqdm

from ..errors import InputError
from ..spaces import Space
from .ranks import Ranks
from .retrieval import checked, indices, integers, meet
from .scores import Gallery, Scores
from .truth import Truth

#: Queries and gallery items compared at a time, and queries whose lists are kept together.
_SIDE, _GROUP = 2048, 2**14


@torch.no_grad()
def nearest(
    points: Tensor | NDArray,
    space: Space,
    k: int,
    *,
    labels: ArrayLike | Tensor | None = None,
    queries: ArrayLike | Tensor | None = None,
    gallery: ArrayLike | Tensor | None = None,
    progress: bool = False,
) -> Iterator[tuple[NDArray, NDArray]]:
    """The `k` gallery items nearest to each query of `points` (n, p): runs of queries (b,) with what is nearest (b, k), both
    as indices into the points, nearest first.

    The order is that of `space.distance` in float64; of equal distances the lower index comes first. A query is never its
    own neighbour. The reference, for one query::

        d = space.distance(points[query].double(), points.double())
        np.lexsort((np.arange(n), d))[:k]       # without the query itself

    Args:
        points: as `space(features)` gives them.
        k: less than the gallery has items, where it holds the queries.
        labels: integers (n,), where only items of other classes than the query's are wanted.
        queries, gallery: indices into the points, without repeats; all of them by default.
        progress: show a progress bar.

    Raises:
        InputError: for points that are not of this space, labels or indices that do not fit, and too large a k.
    """
    points = checked(points, space).cpu()
    queries, gallery = indices(queries, len(points), "queries"), indices(gallery, len(points), "gallery")
    # Without labels each point is a class of its own: what is left out is then the query itself.
    classes = torch.arange(len(points)) if labels is None else integers(labels, "labels").unique(return_inverse=True)[1]
    if len(classes) != len(points):
        raise InputError(f"{len(points)} points but {len(classes)} labels; give one label a point")
    most = len(gallery) - int(classes[gallery].bincount(minlength=len(points))[classes[queries]].max())
    if not 1 <= k <= most:
        left_out = "a query itself" if labels is None else "a query's own class"
        raise InputError(f"k={k} nearest of {len(gallery)} gallery items; expected 1 to {most}, {left_out} left out")
    asked, searched = (index[classes[index].argsort(stable=True)] for index in (queries, gallery))
    return _stream(points, space, k, classes, asked, searched, progress)


class _Others(Ranks):
    """`Ranks` among whose candidates there is nothing of the query's class."""

    def meet_positives(self, rows: slice, columns: slice, values: Tensor) -> None:
        pass


@torch.no_grad()
def _stream(
    points: Tensor, space: Space, k: int, labels: Tensor, queries: Tensor, index: Tensor, progress: bool
) -> Iterator[tuple[NDArray, NDArray]]:
    """Queries and gallery (`index`) are sorted by label."""
    truth, side = Truth(space, points), min(_SIDE, len(index))
    gallery = Gallery(truth.space, points, index, side)
    size = max(side, _GROUP // side * side)
    with tqdm(
        total=len(queries) * len(index), unit=" pairs", unit_scale=True, desc="nearest", disable=not progress, leave=False
    ) as bar:
        for group in queries.split(size):
            ranks = _Others(Scores(gallery, group), truth, group, index, labels, torch.full((len(group),), k), lists=True)
            meet(ranks, gallery, gallery.chunks, False, lambda own: [own], bar)
            ranks.settle()
            yield group.numpy(), index.numpy()[ranks.ordered(k)]
