"""Retrieval metrics of all queries against a gallery, streamed in blocks, exact as float64."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..errors import InputError
from ..spaces import Space
from .bootstrap import class_bootstrap
from .ranks import ALIGN, Block, first_positive, nearest
from .report import RetrievalReport
from .scores import Scores
from .truth import Truth

#: Scores held at a time, 128 MB: enough rows for matrix products at full speed, at any size of gallery.
_BUFFER = 2**25


@torch.no_grad()
def evaluate_retrieval(
    points: Tensor | NDArray,
    labels: ArrayLike | Tensor,
    space: Space,
    ks: Sequence[int] = (1, 2, 4, 8),
    *,
    queries: ArrayLike | Tensor | None = None,
    gallery: ArrayLike | Tensor | None = None,
    map_at_r: bool = True,
    bootstrap: int = 1000,
    seed: int = 0,
    block: int | None = None,
    progress: bool = False,
) -> RetrievalReport:
    """Recall@K, MAP@R and R-precision of `points` (n, p) with `labels` (n,), by distance in `space`.

    Each query is compared with the whole gallery but itself. Only strictly closer items count against a query:

    * Recall@K: the share of queries with fewer than K items of other classes strictly closer than the nearest of their own
      (the published rule of In-Shop, which for distinct distances is "one of the K nearest is of the query's class").
    * MAP@R (Musgrave et al., A Metric Learning Reality Check, Eq. 4–5): with R the items of the query's class, P(i) the
      precision among its i nearest, the mean of P(i) over i ≤ R at which the i-th nearest is of its class, divided by R.
      R-precision is the share of its class among its R nearest. Among equal distances, same-class items come first.

    Queries whose class has no other item in the gallery are left out and counted. The numbers are exactly those of
    `space.distance` in float64, by difference, whatever the block, the number of threads or the device: fast float32 scores
    decide where their error bound allows, and float64 decides the rest.

    Args:
        points: as `space(features)` gives them, of any floating dtype, half precision included.
        labels: integers.
        ks: the K of Recall@K.
        queries, gallery: indices into the points, without repeats; all of them by default. They may overlap (CUB, SOP) or
            not (In-Shop): a query's own row is excluded by its index.
        map_at_r: False for Recall@K alone, which is faster.
        bootstrap: draws for the 95 % intervals over classes; 0 for none.
        seed: of the bootstrap.
        block: queries at a time; by default as many as fit 128 MB of scores. Changes time and memory only.
        progress: show a progress bar.

    Raises:
        InputError: for points that are not of this space (features that were never placed in it), labels or indices that
            do not fit, and where no query has a positive.
    """
    points, labels, ks = _points(points, space), _integers(labels, "labels"), _cutoffs(ks)
    if len(labels) != len(points):
        raise InputError(f"{len(points)} points but {len(labels)} labels; give one label a point")
    if bootstrap < 0:
        raise InputError(f"bootstrap={bootstrap}; expected a number of draws, or 0 for no intervals")
    if block is not None and block < 1:
        raise InputError(f"block={block}; expected a number of queries, or None to let it fit memory")
    queries = _indices(queries, len(points), "queries")
    gallery = _indices(gallery, len(points), "gallery")

    # Sorted by label, the positives of a block of queries lie in one stretch of the gallery.
    gallery = gallery[torch.argsort(labels[gallery], stable=True)]
    positives = _positives(labels, queries, gallery)
    judged = positives > 0
    if not judged.any():
        raise InputError(
            f"none of {len(queries)} queries has another image of its class among {len(gallery)} gallery items; "
            "check the labels, and that queries= and gallery= index the points"
        )
    given = queries[judged]
    order = torch.argsort(labels[given], stable=True)
    measured = _measure(
        space,
        points,
        labels,
        given[order],
        gallery,
        positives[judged][order],
        map_at_r=map_at_r,
        block=block,
        progress=progress,
    )

    per_query = {"index": given.numpy(), "label": labels[given].numpy(), "positives": positives[judged].numpy()}
    for name, values in measured.items():
        per_query[name] = np.empty_like(values)
        per_query[name][order.numpy()] = values
    columns = {f"recall@{k}": (per_query["rank"] < k).astype(np.float64) for k in ks}
    if map_at_r:
        columns |= {"map_at_r": per_query["average_precision"], "r_precision": per_query["r_precision"]}
    intervals = {}
    if bootstrap:
        bounds = class_bootstrap(np.stack(list(columns.values()), 1), per_query["label"], draws=bootstrap, seed=seed)
        intervals = {name: (float(low), float(high)) for name, (low, high) in zip(columns, bounds, strict=True)}
    means = {name: float(column.mean()) for name, column in columns.items()}
    return RetrievalReport(
        recall={k: means[f"recall@{k}"] for k in ks},
        map_at_r=means.get("map_at_r"),
        r_precision=means.get("r_precision"),
        intervals=intervals,
        queries=len(given),
        skipped=len(queries) - len(given),
        gallery=len(gallery),
        classes=len(np.unique(per_query["label"])),
        per_query=per_query,
    )


def _measure(
    space: Space,
    points: Tensor,
    labels: Tensor,
    queries: Tensor,
    gallery: Tensor,
    positives: Tensor,
    *,
    map_at_r: bool,
    block: int | None,
    progress: bool,
) -> dict[str, NDArray]:
    """The per-query results of queries and gallery that are sorted by label, in one pass."""
    device, truth = points.device, Truth(space, points)
    scores = Scores(truth.space, truth.points, queries, gallery, device)
    query_labels, gallery_labels = labels[queries].to(device), labels[gallery].to(device)
    queries, gallery, positives = queries.to(device), gallery.to(device), positives.to(device)
    width = -(-len(gallery) // ALIGN) * ALIGN
    if block is None:
        # A list of R nearest holds several numbers an item beside its score.
        columns = width + 4 * int(positives.max()) if map_at_r else width
        block = max(1, _BUFFER // columns)
        block = block // 64 * 64 or block
    buffer = torch.full((min(block, len(queries)), width), -torch.inf, device=device)
    out = {"rank": np.empty(len(queries), np.int64)}
    if map_at_r:
        out |= {"average_precision": np.empty(len(queries)), "r_precision": np.empty(len(queries))}
        out |= {"nearest": np.empty(len(queries), np.int64)}

    for start in _steps(len(queries), block, progress):
        rows = slice(start, min(start + block, len(queries)))
        values = buffer[: rows.stop - rows.start]
        scores.block(rows, values)
        own_labels = query_labels[rows]
        first = int(torch.searchsorted(gallery_labels, own_labels[0]))
        last = int(torch.searchsorted(gallery_labels, own_labels[-1], right=True))
        stretch = slice(first, last)
        now = Block(
            scores=scores,
            truth=truth,
            values=values,
            tolerance=scores.tolerance[rows],
            queries=queries[rows],
            gallery=gallery,
            positives=positives[rows],
            columns=stretch,
            same=own_labels[:, None] == gallery_labels[stretch],
            own=queries[rows][:, None] == gallery[stretch],
        )
        if map_at_r:
            row, rank, closest = nearest(now, own_labels, gallery_labels)
            needed = now.positives.cpu().numpy()
            out["average_precision"][rows] = _average_precision(row, rank, needed)
            out["r_precision"][rows] = np.bincount(row, minlength=len(needed)) / needed
            out["nearest"][rows] = gallery.cpu().numpy()[closest]
        out["rank"][rows] = first_positive(now)
    return out


def _average_precision(row: NDArray, rank: NDArray, needed: NDArray) -> NDArray[np.float64]:
    """Σ_i i/rank_i over a query's hits, by R: from hits sorted by rank within each row, added in that order."""
    hits = np.bincount(row, minlength=len(needed))
    order = np.argsort(row, kind="stable")
    starts = np.cumsum(hits) - hits
    ordinal = np.arange(len(row)) - np.repeat(starts, hits) + 1
    return np.bincount(row[order], ordinal / rank[order], minlength=len(needed)) / needed


def _positives(labels: Tensor, queries: Tensor, gallery: Tensor) -> Tensor:
    """How many gallery items, itself excepted, share each query's label: (nq,). The gallery is sorted by label."""
    sorted_labels, wanted = labels[gallery], labels[queries]
    count = torch.searchsorted(sorted_labels, wanted, right=True) - torch.searchsorted(sorted_labels, wanted)
    inside = torch.zeros(len(labels), dtype=torch.int64)
    inside[gallery] = 1
    return count - inside[queries]


def _steps(total: int, block: int, progress: bool) -> Iterator[int]:
    """Where each block starts, with a bar that shows rate and time left."""
    if not progress:
        yield from range(0, total, block)
        return
    from tqdm import tqdm

    with tqdm(total=total, unit=" queries", desc="retrieval") as bar:
        for start in range(0, total, block):
            yield start
            bar.update(min(block, total - start))


def _points(points: Tensor | NDArray, space: Space) -> Tensor:
    points = torch.as_tensor(points).detach()
    if not points.is_floating_point():
        raise InputError(f"points are {points.dtype}; expected floating-point numbers, points = space(features)")
    try:
        space.check(points)
    except ValueError as error:
        raise InputError(str(error)) from None
    return points


def _integers(values: ArrayLike | Tensor, name: str) -> Tensor:
    values = torch.as_tensor(values).detach().cpu()
    if values.ndim != 1 or values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise InputError(f"{name} are {values.dtype} of shape {tuple(values.shape)}; expected a vector of integers")
    return values.long()


def _indices(values: ArrayLike | Tensor | None, size: int, name: str) -> Tensor:
    if values is None:
        return torch.arange(size)
    values = _integers(values, name)
    if len(values) == 0:
        raise InputError(f"{name} is empty; give indices into the {size} points, or leave it out for all of them")
    if values.min() < 0 or values.max() >= size:
        raise InputError(f"{name} holds {int(values.min())} to {int(values.max())}; expected indices into {size} points")
    if len(values.unique()) != len(values):
        raise InputError(f"{name} repeats an index; give each image once")
    return values


def _cutoffs(ks: Sequence[int]) -> tuple[int, ...]:
    if not ks or any(k != int(k) or k < 1 for k in ks):
        raise InputError(f"ks={ks!r}; expected positive whole numbers, such as (1, 2, 4, 8)")
    return tuple(sorted({int(k) for k in ks}))
