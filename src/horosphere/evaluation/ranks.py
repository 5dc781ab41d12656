"""Exact decisions from inexact scores: who is nearest, and how many others are nearer.

A score is within a query's tolerance of exact. Two scores further apart than twice that are in their true order; every
other comparison that a metric depends on is made again by `Truth`, in float64.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from .scores import Scores
from .truth import Truth

#: Pairs looked at one by one at a time: bounds the memory of data in which every distance is a tie.
_PAIRS = 2**20
#: A query's list of candidates may be this much longer than twice what counts, before all of it is measured.
_SLACK = 16
#: Candidates that wait to be sorted.
_PENDING = 2**18
#: Scores in a group, whose largest says whether any is worth a look.
_GROUP = 32


class Ranks:
    """What a stream of tiles of scores (r, c) has told so far about b queries, on the device of the scores.

    First come the tiles with the queries' own classes, by `meet_positives`; then, after `seek`, all tiles, by
    `meet_others`. A tile names its queries by their places in the group, and its items by their places in the gallery.

    Attributes:
        nearest: exact distance of the nearest positive, (b,).
        rank: items of other classes met that are strictly closer than that, (b,). The reference:
            `(d[others] < d[positives].min()).sum()`, d = `space.distance` in float64.
        candidates: where `lists` is asked for, the items met that may be among a query's R nearest, R = `needed` (b,):
            places of queries and items, and scores; a superset of those that are. `settle` sorts them by query and score.
    """

    def __init__(
        self,
        scores: Scores,
        truth: Truth,
        queries: Tensor,
        gallery: Tensor,
        labels: Tensor,
        needed: Tensor,
        *,
        lists: bool,
    ):
        device = scores.tolerance.device
        self.scores, self.truth, self.queries, self.gallery = scores, truth, queries, gallery
        self.query_labels, self.gallery_labels = labels[queries].to(device), labels[gallery].to(device)
        self.tolerance, self.needed, self.lists = scores.tolerance, needed, lists
        self.nearest = torch.full((len(queries),), torch.inf, dtype=torch.float64, device=device)
        self.rank = torch.zeros(len(queries), dtype=torch.int64, device=device)
        nothing = torch.zeros(0, dtype=torch.int64, device=device)
        self.candidates: tuple[Tensor, ...] = (nothing, nothing, torch.zeros(0, device=device))
        self._best = torch.full((len(queries),), -torch.inf, device=device)
        # No item that scores below its query's floor is among the R nearest.
        self._floor = torch.full_like(self._best, -torch.inf if lists else torch.inf)
        self._most = int(needed.max()) if lists else 0
        self._new: list[tuple[Tensor, Tensor, Tensor]] = []
        self._pending = 0

    def distance(self, row: Tensor, column: Tensor) -> Tensor:
        """Exact distances of queries to gallery items, by their places."""
        return self.truth.distance(self.queries[row.cpu()], self.gallery[column.cpu()]).to(self.rank.device)

    def meet_positives(self, rows: slice, columns: slice, values: Tensor) -> None:
        """A tile with items of the queries' own classes; other items in it do not count here."""
        r, c = self.positive(rows, columns).nonzero(as_tuple=True)
        score, r, c = values[r, c], r + rows.start, c + columns.start
        if self.lists:
            self._add(r, c, score)
        self._best.scatter_reduce_(0, r, score.masked_fill(score.isnan(), -torch.inf), "amax")
        for near in (~(score < (self._best - 2 * self.tolerance)[r])).nonzero().squeeze(1).split(_PAIRS):
            self.nearest.scatter_reduce_(0, r[near], self.distance(r[near], c[near]), "amin")

    def seek(self) -> None:
        """Fix what is sought: items closer than `nearest`. Nothing is closer to a query without a positive."""
        exact = self.scores.of_distance(self.nearest.masked_fill(self.nearest == torch.inf, 0))
        tolerance = self.tolerance.double()
        self._low, self._high = (exact - tolerance).float(), (exact + tolerance).float()
        if self.lists:
            self.settle()

    def meet_others(self, rows: slice, columns: slice, values: Tensor) -> None:
        """A tile of all items, in which those of a query's class are −inf."""
        own = torch.arange(rows.start, rows.stop, device=values.device)
        if not self.lists:
            # NaN anywhere in a row makes its maximum NaN, and the row uncertain.
            some = (~(values.amax(1) < self._low[rows])).nonzero().squeeze(1)
            own, values = own[some], _some(values, some)
        if rest := values.shape[1] % _GROUP:
            values = pad(values, (0, _GROUP - rest), value=-torch.inf)
        values = values.unflatten(1, (-1, _GROUP))
        peaks = values.amax(2)
        if self.lists:
            self._raise(own, values, peaks)
        found = (~(peaks < torch.minimum(self._low, self._floor)[own, None])).nonzero()
        for r, group in (some.unbind(1) for some in found.split(_PAIRS // _GROUP)):
            near, r, first = values[r, group], own[r], group * _GROUP + columns.start
            closer = near > self._high[r, None]
            self.rank.index_add_(0, r, closer.view(torch.uint8).sum(1, dtype=torch.int64))
            at, place = (~(closer | (near < self._low[r, None])) & (near != -torch.inf)).nonzero(as_tuple=True)
            strictly = self.distance(r[at], first[at] + place) < self.nearest[r[at]]
            self.rank.index_add_(0, r[at], strictly.long())
            if self.lists:
                at, place = (~(near < self._floor[r, None]) & (near != -torch.inf)).nonzero(as_tuple=True)
                self._add(r[at], first[at] + place, near[at, place])

    def _raise(self, rows: Tensor, values: Tensor, peaks: Tensor) -> None:
        """Raise the floor of queries `rows` (r,) where more groups than count of their scores (r, g, n) reach it."""
        known = peaks if self._most <= peaks.shape[1] else values.flatten(1)
        k = min(self._most, known.shape[1])
        crowded = (peaks >= self._floor[rows, None]).sum(1) > self.needed[rows].clamp_max(peaks.shape[1] - 1)
        some = (crowded & (self.needed[rows] <= k)).nonzero().squeeze(1)
        rows, known = rows[some], known[some]
        reached = known.masked_fill_(known.isnan(), -torch.inf).topk(k).values
        reached = reached.gather(1, self.needed[rows, None] - 1).squeeze(1)
        self._floor[rows] = torch.maximum(self._floor[rows], reached - 2 * self.tolerance[rows])

    def _add(self, row: Tensor, column: Tensor, score: Tensor) -> None:
        self._new.append((row, column, score))
        self._pending += len(row)
        if self._pending > max(_PENDING, len(self.candidates[0])):
            self.settle()

    def settle(self) -> None:
        """Sort the candidates by query and score, and drop those that cannot be among the R nearest."""
        row, column, score = (torch.cat(columns) for columns in zip(self.candidates, *self._new, strict=True))
        self._new, self._pending = [], 0
        order = score.argsort(descending=True)  # NaN first
        order = order[row[order].argsort(stable=True)]
        row, column, score = row[order], column[order], score[order]
        # The R-th best of the scores that are known.
        size = row.bincount(minlength=len(self.needed))
        unknown = row[score.isnan()].bincount(minlength=len(self.needed))
        reached = unknown + self.needed <= size
        last = (size.cumsum(0) - size + unknown + self.needed - 1)[reached]
        self._floor[reached] = torch.maximum(self._floor[reached], score[last] - 2 * self.tolerance[reached])
        kept = ~(score < self._floor[row])
        row, column, score = row[kept], column[kept], score[kept]
        # Where too many remain, only the R nearest stay.
        size = row.bincount(minlength=len(self.needed))
        crowded = size > 2 * self.needed + _SLACK
        if crowded.any():
            kept = ~crowded[row]
            asked = (~kept).nonzero().squeeze(1)
            asked = asked[self._order(row[asked], row[asked], column[asked])]
            starts = (size * crowded).cumsum(0) - size * crowded
            place = torch.arange(len(asked), device=row.device) - starts[row[asked]]
            kept[asked[place < self.needed[row[asked]]]] = True
            row, column, score = row[kept], column[kept], score[kept]
        self.candidates = row, column, score

    def ranked(self, rows: slice) -> tuple[NDArray, NDArray, NDArray]:
        """The same-class items among the R nearest of each of `rows` (r,), from settled candidates: row and rank of each, by
        row and rank (ranks from 1), and the gallery place of each query's nearest item, (r,).

        Among equal distances same-class items come first, then the lower index. The reference, for one query:

            order = np.lexsort((index, ~same, d))       # without the query itself
            rank = np.flatnonzero(same[order][:R]) + 1

        Sorted by score, items fall into clusters with a gap of more than twice the tolerance between them. Only clusters
        that hold both positives and negatives, and the nearest, are measured.
        """
        row, column, score = self.candidates
        first, last = torch.searchsorted(row, torch.tensor([rows.start, rows.stop], device=row.device)).tolist()
        row, column, score = row[first:last], column[first:last].clone(), score[first:last]
        unknown = score.isnan()
        starts = torch.searchsorted(row, torch.arange(rows.start, rows.stop, device=row.device))
        # What float32 cannot tell may belong anywhere, so that its whole list is one cluster.
        gap = (score[:-1] - score[1:] > 2 * self.tolerance[row[1:]]) & ~unknown[starts][row[1:] - rows.start]
        cluster = torch.cat([row[:1] * 0, (gap | (row[1:] != row[:-1])).cumsum(0)])
        same = self._same(row, column)
        size = cluster.bincount()
        positives = cluster[same].bincount(minlength=len(size))
        measure = (positives > 0) & (positives < size)
        measure[cluster[starts]] |= size[cluster[starts]] > 1
        asked = measure[cluster].nonzero().squeeze(1)
        column[asked] = column[asked][self._order(cluster[asked], row[asked], column[asked])]
        rank = torch.arange(len(row), device=row.device) - starts[row - rows.start] + 1
        hit = self._same(row, column) & (rank <= self.needed[row])
        return (row[hit] - rows.start).cpu().numpy(), rank[hit].cpu().numpy(), column[starts].cpu().numpy()

    def ordered(self, k: int) -> NDArray:
        """The gallery places of each query's `k` nearest items, (b, k), from settled candidates of `needed` ≥ k."""
        row, column, _ = self.candidates
        order = self._order(row, row, column)
        starts = torch.searchsorted(row, torch.arange(len(self.needed), device=row.device))
        return column[order][starts.unsqueeze(1) + torch.arange(k, device=row.device)].cpu().numpy()

    def _order(self, cluster: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """The order of pairs by cluster, and in it by exact distance, same-class items first, then the lower index."""
        keys = (self.gallery[column.cpu()], ~self._same(row, column), self.distance(row, column), cluster)
        return torch.from_numpy(np.lexsort([key.cpu().numpy() for key in keys])).to(row.device)

    def same(self, rows: slice, columns: slice) -> Tensor:
        """Which items are of the query's class, itself included: (rows, columns)."""
        return self.query_labels[rows, None] == self.gallery_labels[columns]

    def positive(self, rows: slice, columns: slice) -> Tensor:
        """Which items are of the query's class, itself excepted: (rows, columns)."""
        own = self.queries[rows, None] == self.gallery[columns]
        return self.same(rows, columns) & ~own.to(self.rank.device)

    def _same(self, row: Tensor, column: Tensor) -> Tensor:
        return self.query_labels[row] == self.gallery_labels[column]


def _some(values: Tensor, rows: Tensor) -> Tensor:
    """Some rows of a tile, contiguous."""
    if values.is_contiguous():
        return values.index_select(0, rows)
    # A transposed tile, read along its memory.
    return values.mT.index_select(1, rows).mT.contiguous()
