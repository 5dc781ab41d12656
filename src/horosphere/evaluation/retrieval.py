"""Retrieval metrics of all queries against a gallery, streamed in blocks, exact as float64."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from tqdm import tqdm

from ..errors import InputError
from ..processes import collect, share, world_size
from ..spaces import Space
from .bootstrap import class_bootstrap
from .ranks import Ranks
from .report import RetrievalReport
from .scores import Gallery, Scores, slices
from .truth import Truth

#: Queries and gallery items compared at a time: matrix products at full speed, whose result stays near the processor.
_SIDE = {"cpu": 2048, "cuda": 8192}
#: Queries looked at together for their own classes, which are few of a chunk's items.
_ROWS = 256
#: Bytes of a group of queries and what is known of them.
_GROUP = 2**27
#: Points checked at a time.
_CHECKED = 2**16


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
    distributed: bool = False,
) -> RetrievalReport:
    """Recall@K, MAP@R and R-precision of `points` (n, p) with `labels` (n,), by distance in `space`.

    Each query is compared with the whole gallery but itself. Only strictly closer items count against a query:

    * Recall@K: the share of queries with fewer than K items of other classes strictly closer than the nearest of their own
      (the published rule of In-Shop, which for distinct distances is "one of the K nearest is of the query's class").
    * MAP@R (Musgrave et al., A Metric Learning Reality Check, Eq. 4–5): with R the items of the query's class, P(i) the
      precision among its i nearest, the mean of P(i) over i ≤ R at which the i-th nearest is of its class, divided by R.
      R-precision is the share of its class among its R nearest. Among equal distances, same-class items come first.

    Queries whose class has no other item in the gallery are left out and counted. The numbers are exactly those of
    `space.distance` in float64, by difference, whatever the block, the number of threads or processes, or the device: fast
    float32 scores decide where their error bound allows, and float64 decides the rest. Beside the points memory stays
    within a few hundred MB: float32 copies of the points exist a chunk at a time.

    Args:
        points: as `space(features)` gives them, of any floating dtype; those of half precision count as exact. An array may
            be memory-mapped, `np.load(path, mmap_mode="r")`.
        labels: integers.
        ks: the K of Recall@K.
        queries, gallery: indices into the points, without repeats; all of them by default. They may overlap (CUB, SOP) or
            not (In-Shop): a query's own row is excluded by its index.
        map_at_r: False for Recall@K alone, which is faster.
        bootstrap: draws for the 95 % intervals over classes; 0 for none.
        seed: of the bootstrap.
        block: queries, and gallery items, compared at a time. Changes time and memory only.
        progress: show a progress bar.
        distributed: share the work between the processes of `torch.distributed`'s default group, each with its part of the
            gallery. All of them call this with the same arguments, and get the report of one. A process works alone without.

    Raises:
        InputError: for points that are not of this space (features that were never placed in it), labels or indices that
            do not fit, and where no query has a positive.
    """
    points, labels, ks = checked(points, space), integers(labels, "labels"), cutoffs(ks)
    if len(labels) != len(points):
        raise InputError(f"{len(points)} points but {len(labels)} labels; give one label a point")
    if bootstrap < 0:
        raise InputError(f"bootstrap={bootstrap}; expected a number of draws, or 0 for no intervals")
    if block is not None and block < 1:
        raise InputError(f"block={block}; expected a number of queries and items, or None for the default")
    queries = indices(queries, len(points), "queries")
    gallery = indices(gallery, len(points), "gallery")

    if distributed:
        everyone = collect((tuple(points.shape), points.dtype, int(labels.sum()), len(queries), len(gallery), map_at_r))
        if len(set(everyone)) > 1:
            raise InputError(f"the processes judge different points: {everyone}; give all of them the same arguments")

    positives = _positives(labels, queries, gallery)
    judged = queries[positives > 0]
    if len(judged) == 0:
        raise InputError(
            f"none of {len(queries)} queries has another image of its class among {len(gallery)} gallery items; "
            "check the labels, and that queries= and gallery= index the points"
        )
    # Sorted by label, the positives of a tile of queries lie in one stretch of the gallery.
    searched, asked = _by_label(gallery, labels), _by_label(queries if not map_at_r else judged, labels)
    if not torch.equal(asked, searched):
        asked = _by_label(judged, labels)
    measured = _measure(
        space,
        points,
        labels,
        asked,
        searched,
        map_at_r=map_at_r,
        block=block,
        progress=progress,
        distributed=distributed,
    )

    per_query = {"index": judged.numpy(), "label": labels[judged].numpy(), "positives": positives[positives > 0].numpy()}
    place = torch.empty_like(labels)
    place[asked] = torch.arange(len(asked))
    for name, values in measured.items():
        per_query[name] = values[place[judged].numpy()]
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
        queries=len(judged),
        skipped=len(queries) - len(judged),
        gallery=len(gallery),
        classes=len(np.unique(per_query["label"])),
        per_query=per_query,
    )


def _measure(
    space: Space,
    points: Tensor,
    labels: Tensor,
    queries: Tensor,
    index: Tensor,
    *,
    map_at_r: bool,
    block: int | None,
    progress: bool,
    distributed: bool,
) -> dict[str, NDArray]:
    """The per-query results of queries and gallery (`index`) that are sorted by label.

    A group of queries meets the gallery chunk by chunk: first the items of its own classes, then all. Of several processes
    each meets its share of the chunks.
    """
    device, truth, positives = points.device, Truth(space, points), _positives(labels, queries, index)
    everyone = collect if distributed else lambda own: [own]
    side = min(block or _SIDE.get(device.type, _SIDE["cuda"]), -(-len(index) // (world_size() if distributed else 1)))
    gallery = Gallery(truth.space, points, index, side)
    chunks = gallery.chunks[share(len(gallery.chunks))] if distributed else gallery.chunks
    # What a query holds: its lift, and places and scores of what may be among its R nearest, twice while they are sorted.
    held = 4 * (points.shape[1] + 16) + (40 * int(positives.max()) if map_at_r else 0)
    size = max(side, _GROUP // held // side * side)
    # Where all are queries and gallery, in one group, each pair is compared once for both.
    halved = not map_at_r and len(queries) <= size and torch.equal(queries, index)
    results: list[dict[str, NDArray]] = []
    total = len(queries) * sum(columns.stop - columns.start for columns in chunks)
    with tqdm(total=total, unit=" pairs", unit_scale=True, desc="retrieval", disable=not progress) as bar:
        for group, needed in zip(queries.split(size), positives.split(size), strict=True):
            ranks = Ranks(Scores(gallery, group), truth, group, index, labels, needed.to(device), lists=map_at_r)
            meet(ranks, gallery, chunks, halved, everyone, bar)
            result = {"rank": np.sum([rank.numpy() for rank in everyone(ranks.rank.cpu())], 0)}
            if map_at_r:
                ranks.settle()
                lists = everyone(tuple(column.cpu() for column in ranks.candidates))
                ranks.candidates = tuple(torch.cat(columns).to(device) for columns in zip(*lists, strict=True))
                ranks.settle()
                parts = everyone(_precisions(ranks, share(len(group)) if distributed else slice(0, len(group))))
                result |= {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            results.append(result)
    return {name: np.concatenate([result[name] for result in results]) for name in results[0]}


def meet(
    ranks: Ranks, gallery: Gallery, chunks: list[slice], halved: bool, everyone: Callable[..., list], bar: tqdm
) -> None:
    """Show a group of queries what its own classes hold, and then all items, each process its chunks."""
    own, items, side = ranks.query_labels.cpu().numpy(), ranks.gallery_labels.cpu().numpy(), gallery.chunks[0].stop
    buffer = torch.empty(side * side, device=ranks.rank.device)

    def shared(rows: slice, columns: slice) -> slice:
        """The part of a chunk of the gallery whose labels lie among those of `rows`."""
        first, last = own[rows][[0, -1]]
        inside = items[columns]
        return slice(
            columns.start + int(np.searchsorted(inside, first)), columns.start + int(np.searchsorted(inside, last, "right"))
        )

    for columns in chunks:
        keys, (first, last) = gallery.keys(columns), items[columns][[0, -1]]
        start, stop = int(np.searchsorted(own, first)), int(np.searchsorted(own, last, "right"))
        for rows in slices(start, stop, min(side, _ROWS)):
            near = shared(rows, columns)
            if near.start == near.stop:
                continue
            inside = [key[near.start - columns.start : near.stop - columns.start] for key in keys]
            ranks.meet_positives(rows, near, ranks.scores.tile(rows, near.stop - near.start, inside, buffer))
    ranks.nearest = torch.stack(everyone(ranks.nearest.cpu())).amin(0).to(ranks.rank.device)
    ranks.seek()
    for columns in chunks:
        keys, width = gallery.keys(columns), columns.stop - columns.start
        for rows in slices(0, len(own), side):
            # Chunks i and j meet once, where j is at most half a turn ahead of i: as many for every j.
            ahead = 2 * ((columns.start - rows.start) // side % len(gallery.chunks)) - len(gallery.chunks)
            if halved and (ahead > 0 or (ahead == 0 and rows.start > columns.start)):
                continue
            values, near = ranks.scores.tile(rows, width, keys, buffer), shared(rows, columns)
            values[:, near.start - columns.start : near.stop - columns.start].masked_fill_(
                ranks.same(rows, near), -torch.inf
            )
            ranks.meet_others(rows, columns, values)
            if halved and rows != columns:
                ranks.meet_others(columns, rows, values.mT)
        bar.update(len(own) * width)


def _precisions(ranks: Ranks, rows: slice) -> dict[str, NDArray]:
    """Results of `rows` that their R nearest decide."""
    row, rank, nearest = ranks.ranked(rows)
    needed = ranks.needed[rows].cpu().numpy()
    return {
        "average_precision": _average_precision(row, rank, needed),
        "r_precision": np.bincount(row, minlength=len(needed)) / needed,
        "nearest": ranks.gallery.numpy()[nearest],
    }


def _average_precision(row: NDArray, rank: NDArray, needed: NDArray) -> NDArray[np.float64]:
    """Σ_i i/rank_i over a query's hits, by R: from hits sorted by row and rank, added in that order."""
    hits = np.bincount(row, minlength=len(needed))
    ordinal = np.arange(len(row)) - np.repeat(np.cumsum(hits) - hits, hits) + 1
    return np.bincount(row, ordinal / rank, minlength=len(needed)) / needed


def _by_label(index: Tensor, labels: Tensor) -> Tensor:
    """Indices sorted by label, and by index within one."""
    index = index.sort().values
    return index[labels[index].argsort(stable=True)]


def _positives(labels: Tensor, queries: Tensor, gallery: Tensor) -> Tensor:
    """How many gallery items, itself excepted, share each query's label: (nq,)."""
    sorted_labels, wanted = labels[gallery].sort().values, labels[queries]
    count = torch.searchsorted(sorted_labels, wanted, right=True) - torch.searchsorted(sorted_labels, wanted)
    inside = torch.zeros(len(labels), dtype=torch.int64)
    inside[gallery] = 1
    return count - inside[queries]


def as_tensor(points: Tensor | ArrayLike) -> Tensor:
    """The points, in the same memory where they are an array. A memory-mapped one is often read-only: nothing writes."""
    # Filters of warnings are the process's, so other threads' searches leave them alone.
    if not isinstance(points, np.ndarray) or points.flags.writeable:
        return torch.as_tensor(points)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.as_tensor(points)


def checked(points: Tensor | NDArray, space: Space) -> Tensor:
    points = as_tensor(points).detach()
    if not points.is_floating_point():
        raise InputError(f"points are {points.dtype}; expected floating-point numbers, points = space(features)")
    try:
        # A chunk at a time, because a check copies what it checks.
        for chunk in points.split(_CHECKED) if points.ndim == 2 else [points]:
            space.check(chunk)
    except ValueError as error:
        raise InputError(str(error)) from None
    return points


def integers(values: ArrayLike | Tensor, name: str) -> Tensor:
    values = torch.as_tensor(values).detach().cpu()
    if values.ndim != 1 or values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise InputError(f"{name} are {values.dtype} of shape {tuple(values.shape)}; expected a vector of integers")
    return values.long()


def indices(values: ArrayLike | Tensor | None, size: int, name: str) -> Tensor:
    if values is None:
        return torch.arange(size)
    values = integers(values, name)
    if len(values) == 0:
        raise InputError(f"{name} is empty; give indices into the {size} points, or leave it out for all of them")
    if values.min() < 0 or values.max() >= size:
        raise InputError(f"{name} holds {int(values.min())} to {int(values.max())}; expected indices into {size} points")
    if len(values.unique()) != len(values):
        raise InputError(f"{name} repeats an index; give each image once")
    return values


def cutoffs(ks: Sequence[int]) -> tuple[int, ...]:
    if not ks or any(k != int(k) or k < 1 for k in ks):
        raise InputError(f"ks={ks!r}; expected positive whole numbers, such as (1, 2, 4, 8)")
    return tuple(sorted({int(k) for k in ks}))
