"""Exact decisions from inexact scores: who is nearest, and how many others are nearer.

A score is within a query's tolerance of exact. Two scores further apart than twice that are in their true order; every
other comparison that a metric depends on is made again by `Truth`, in float64.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .scores import Scores
from .truth import Truth

#: Columns of a block's buffer are a multiple of this, so that its rows can be read in groups and in words.
ALIGN = 1024
#: Elements of a block looked at pair by pair at a time: bounds the memory of data in which every distance is a tie.
_PAIRS = 2**20
#: Nearest items asked for beyond those that count, so that a tie at the end of the list rarely needs a second look.
_SLACK = 8
_GROUP = 64


@dataclass(frozen=True)
class Block:
    """A block of b queries, sorted by label, with its scores (b, w) against the gallery, sorted by label.

    Columns from the gallery's size to w hold −inf. `columns` is the stretch of the gallery with the labels of the block;
    `same` and `own` (b, stretch) mark the items of a query's class, and the query itself.
    """

    scores: Scores
    truth: Truth
    values: Tensor
    tolerance: Tensor
    queries: Tensor
    gallery: Tensor
    positives: Tensor
    columns: slice
    same: Tensor
    own: Tensor

    def distance(self, row: Tensor, column: Tensor) -> Tensor:
        """Exact distances of queries to gallery items, by their places in this block."""
        return self.truth.distance(self.queries[row], self.gallery[column]).to(self.values.device)

    def groups(self, rows: Tensor) -> tuple[Tensor, ...]:
        """`rows` a few at a time, so that their pairs fit in memory whatever needs a second look."""
        return rows.split(max(1, _PAIRS // self.values.shape[1])) if len(rows) else ()


def first_positive(block: Block) -> NDArray[np.int64]:
    """Items of other classes strictly closer than the nearest of the query's class: (b,). Masks the block's positives.

    The reference: `(d[others] < d[positives].min()).sum()`, d = `space.distance` in float64.
    """
    near = block.values[:, block.columns]
    wanted = block.same & ~block.own
    own = torch.where(wanted, near, -torch.inf)
    near.masked_fill_(block.same, -torch.inf)
    best = own.nan_to_num(nan=-torch.inf).amax(1)
    floor = best - 2 * block.tolerance
    rank = torch.zeros(len(best), dtype=torch.int64, device=best.device)
    # NaN anywhere in a row makes its maximum NaN, and the row uncertain.
    for rows in block.groups((~(block.values.amax(1) < floor)).nonzero().squeeze(1)):
        candidates = wanted[rows] & ~(own[rows] < floor[rows, None])
        r, c = candidates.nonzero(as_tuple=True)
        c = c + block.columns.start
        nearest, pick = _smallest(block.distance(rows[r], c), r, len(rows))
        exact = block.scores.exact(block.queries[rows[r[pick]]], block.gallery[c[pick]], nearest).to(best.device)
        tolerance = block.tolerance[rows].double()
        low, high = (exact - tolerance).float()[:, None], (exact + tolerance).float()[:, None]

        values = block.values[rows]
        closer = values > high
        further = values < low
        counted = _count(closer)
        rank[rows] = counted
        unclear = (counted + _count(further) < values.shape[1]).nonzero().squeeze(1)
        r, c = (~(closer[unclear] | further[unclear]) & (values[unclear] != -torch.inf)).nonzero(as_tuple=True)
        r = unclear[r]
        strictly = block.distance(rows[r], c) < nearest[r]
        rank[rows] += torch.bincount(r[strictly], minlength=len(rows))
    return rank.cpu().numpy()


def _smallest(distance: Tensor, row: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """The smallest distance of each row, and the place of one pair that has it: (rows,), (rows,)."""
    smallest = distance.new_full((rows,), torch.inf).scatter_reduce_(0, row, distance, "amin")
    place = torch.empty(rows, dtype=torch.int64, device=row.device)
    at = (distance == smallest[row]).nonzero().squeeze(1)
    place[row[at]] = at
    return smallest, place


def _count(mask: Tensor) -> Tensor:
    """True entries of each row of mask (r, w), w a multiple of ALIGN: (r,).

    Bytes are added eight at a time, as words: 128 of them at most, so that no byte overflows into the next.
    """
    words = mask.view(torch.int64).view(len(mask), -1, ALIGN // 8).sum(2)
    return words.view(torch.uint8).view(len(mask), -1).sum(1, dtype=torch.int64)


def nearest(block: Block, labels: Tensor, gallery_labels: Tensor) -> tuple[NDArray, NDArray, NDArray]:
    """The same-class items among each query's R nearest, R its number of positives: row and rank of each, by row and
    rank (ranks from 1), and the gallery place of each query's nearest item, (b,). Masks the block's own rows.

    Among equal distances same-class items come first, then the lower index. The reference, for one query:

        order = np.lexsort((index, ~same, d))       # without the query itself
        rank = np.flatnonzero(same[order][:R]) + 1
    """
    block.values[:, block.columns].masked_fill_(block.own, -torch.inf)
    size, need, twice = len(block.gallery), block.positives, 2 * block.tolerance
    k = min(int(need.max()) + _SLACK, size)
    values, columns = _top(block.values, k)
    columns = columns.clamp_max(size - 1)  # the padding ties with the query itself, at −inf: neither is looked at below
    # The R-th best of the scores that are known: no item further below it than the tolerance is among the R nearest.
    last = need - 1 + values.isnan().sum(1)
    reached = last < k
    floor = values.gather(1, last.clamp_max(k - 1)[:, None]).squeeze(1) - twice
    floor = torch.where(reached, floor, -torch.inf)
    complete = reached & ((values[:, -1] < floor) | (k == size))

    positive = gallery_labels[columns] == labels[:, None]
    # If a positive and a negative are nearer than the tolerance, so are two neighbours in the list between them.
    unsure = ~(values[:, :-1] - values[:, 1:] > twice[:, None])
    unsure[:, 1:] &= (positive[:, 1:-1] != positive[:, 2:]) & ~(values[:, 2:] < floor[:, None])
    certain = complete & ~unsure.any(1)

    place = torch.arange(k, device=values.device)
    row, rank = (positive & (place < need[:, None]) & certain[:, None]).nonzero(as_tuple=True)
    first = columns[:, 0].clone()
    found = [(row.cpu().numpy(), rank.cpu().numpy() + 1)]
    for rows in block.groups((~certain).nonzero().squeeze(1)):
        r, c, order = _settle(block, rows, floor[rows], labels[rows], gallery_labels)
        starts = torch.searchsorted(r, torch.arange(len(rows), device=r.device))
        c = c[order]
        first[rows] = c[starts]
        rank = torch.arange(len(r), device=r.device) - starts[r]
        hit = (gallery_labels[c] == labels[rows[r]]) & (rank < need[rows[r]])
        found.append((rows[r[hit]].cpu().numpy(), rank[hit].cpu().numpy() + 1))
    row, rank = (np.concatenate(column) for column in zip(*found, strict=True))
    return row, rank, first.cpu().numpy()


def _settle(
    block: Block, rows: Tensor, floor: Tensor, labels: Tensor, gallery_labels: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The items of `rows` that do not score below `floor`: their rows, ascending, their columns, and their exact order.

    Sorted by score, items fall into clusters with a gap of more than twice the tolerance between them. Only clusters that
    hold both positives and negatives, and the nearest, are measured.
    """
    scores = block.values[rows]
    # −inf is the query itself or the padding; NaN compares as neither, and may belong anywhere.
    r, c = (~(scores < floor[:, None]) & (scores != -torch.inf)).nonzero(as_tuple=True)
    score = scores[r, c]
    by_score = score.argsort(descending=True)
    by_score = by_score[r[by_score].argsort(stable=True)]
    r, c, score = r[by_score], c[by_score], score[by_score]
    same = gallery_labels[c] == labels[r]
    gap = score[:-1] - score[1:] > 2 * block.tolerance[rows[r[1:]]]
    gap &= ~scores.isnan().any(1)[r[1:]]
    cluster = torch.cat([r[:1] * 0, (gap | (r[1:] != r[:-1])).cumsum(0)])
    size, positives = cluster.bincount(), cluster[same].bincount(minlength=int(cluster[-1]) + 1)
    measure = (positives > 0) & (positives < size)
    nearest = cluster[torch.searchsorted(r, torch.arange(len(rows), device=r.device))]
    measure[nearest] |= size[nearest] > 1
    asked = measure[cluster].nonzero().squeeze(1)
    distance = torch.zeros(len(r), dtype=torch.float64, device=r.device)
    distance[asked] = block.distance(rows[r[asked]], c[asked])
    keys = (block.gallery[c], ~same, distance, cluster)
    order = np.lexsort([key.cpu().numpy() for key in keys])
    return r, c, torch.from_numpy(order).to(r.device)


def _top(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """`values.topk(k)`, NaN greatest. The k largest lie in the k groups with the largest maxima, found in one cheap pass."""
    groups = values.shape[1] // _GROUP
    if groups < 4 * k:
        return values.topk(k)
    grouped = values.view(len(values), groups, _GROUP)
    chosen = grouped.amax(2).topk(k).indices
    inside = grouped.gather(1, chosen[:, :, None].expand(-1, -1, _GROUP)).flatten(1)
    top, place = inside.topk(k)
    return top, chosen.gather(1, place // _GROUP) * _GROUP + place % _GROUP
