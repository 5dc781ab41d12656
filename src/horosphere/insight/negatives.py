"""The weights of many anchors' negatives together: by rank, added up, and those of the hardest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from tqdm import tqdm

from ..errors import InputError
from ..evaluation.negatives import effective_number
from ..evaluation.truth import Truth
from ..spaces import Space
from .weights import checked, checked_anchors, distances_to_others, positives_of

#: Ranks at which weights are kept, evenly spaced on a log scale.
_RANKS = 64
#: What is told of a spread over anchors beside its mean.
QUANTILES = {"low": 0.1, "median": 0.5, "high": 0.9}


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights of some anchors' negatives at one temperature.

    Attributes:
        ranks: (r,) from 1, the hardest negative, to the fewest negatives of an anchor, evenly spaced on a log scale.
        average, low, median, high: (r,) p(x⁻) of the negative of that rank: mean over anchors, quantiles 0.1, 0.5, 0.9.
        total: (a,) of each anchor Σ p(x⁻) = 1 − p(x⁺), near 0 where its positive is much nearer than any negative.
        effective: (a,) of each anchor (Σ p)²/Σ p², the number of equal weights that would be as uneven as its negatives'.
        shares: k → (a,) Σ p of its k hardest negatives over Σ p of all.
    """

    ranks: NDArray[np.int64]
    average: NDArray[np.float64]
    low: NDArray[np.float64]
    median: NDArray[np.float64]
    high: NDArray[np.float64]
    total: NDArray[np.float32]
    effective: NDArray[np.float32]
    shares: dict[int, NDArray[np.float32]]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values: means over anchors, and quantiles of the effective number."""
        curves = {name: getattr(self, name).tolist() for name in ("ranks", "average", *QUANTILES)}
        effective = np.quantile(self.effective, list(QUANTILES.values())).tolist()
        return {
            "total": float(self.total.mean(dtype=np.float64)),
            "effective": dict(zip(QUANTILES, effective, strict=True)),
            "share_of_hardest": {str(k): float(share.mean(dtype=np.float64)) for k, share in self.shares.items()},
            "by_rank": curves,
        }


@dataclass(frozen=True, eq=False)
class Negatives:
    """What a geometry makes of the negatives of some anchors.

    Attributes:
        anchors, positives: (a,) positions.
        hardest: (a, k) positions of each anchor's nearest negatives, the nearest first, equals by position.
        weights: temperature → their weights.
    """

    anchors: NDArray[np.int64]
    positives: NDArray[np.int64]
    hardest: NDArray[np.int64]
    weights: dict[float, Weights]

    def overlap(self, other: "Negatives") -> NDArray[np.float64]:
        """Of each anchor the share of its hardest negatives that are among those of another geometry: (a,)."""
        if self.hardest.shape != other.hardest.shape or not np.array_equal(self.anchors, other.anchors):
            raise InputError("the overlap is of two geometries' negatives for the same anchors, and as many of each")
        both = np.sort(np.concatenate([self.hardest, other.hardest], 1), 1)
        return (both[:, 1:] == both[:, :-1]).sum(1) / self.hardest.shape[1]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values, without what is of single anchors."""
        weights = {f"{temperature:g}": weights.to_dict() for temperature, weights in self.weights.items()}
        return {"anchors": len(self.anchors), "weights": weights}


@torch.no_grad()
def weigh_negatives(
    space: Space,
    points: Tensor,
    labels: ArrayLike | Tensor,
    temperatures: Sequence[float] = (0.05, 0.2),
    anchors: ArrayLike | Tensor | None = None,
    *,
    hardest: int = 6,
    shares: Sequence[int] = (1, 6, 10, 100),
    progress: bool = False,
) -> Negatives:
    """The weights p(x⁻) of many points together, streamed: what `negative_weights` gives, by rank and added up.

    Memory beside the points is a few blocks of 64 × n numbers and 64 numbers an anchor. Distances are made in float64 and
    sorted in float32.

    Args:
        space, points, labels: as for `negative_weights`.
        temperatures: the τ asked about.
        anchors: positions (a,); by default every point whose class has another.
        hardest: negatives kept of each anchor; fewer where an anchor has no more.
        shares: the k of which the share of the k hardest negatives is wanted.
        progress: show a progress bar.

    Raises:
        InputError: as `negative_weights`, and for counts below 1.
    """
    points, labels = checked(space, points, labels)
    if not temperatures or not all(temperature > 0 for temperature in temperatures):
        raise InputError(f"temperatures={tuple(temperatures)}; expected one or more positive numbers")
    if hardest < 1 or any(k < 1 for k in shares):
        raise InputError(f"hardest={hardest}, shares={tuple(shares)}; expected whole numbers of at least 1")
    truth = Truth(space, points)
    anchors = torch.from_numpy(anchors_among(labels)) if anchors is None else checked_anchors(labels, anchors)
    positives = positives_of(labels, anchors)
    of_positives = truth.distance(anchors, positives).float()
    sizes = labels.bincount()
    fewest = int(len(labels) - sizes[labels[anchors]].max())
    ranks = np.unique(np.geomspace(1, fewest, _RANKS).round().astype(np.int64))
    kept = torch.empty(len(anchors), min(hardest, fewest), dtype=torch.int64)
    found = {temperature: _Sums(len(anchors), ranks, shares) for temperature in temperatures}
    with tqdm(total=len(anchors), unit=" anchors", desc="negatives", disable=not progress, leave=False) as bar:
        for rows, apart in distances_to_others(truth.space, truth.points, labels, anchors, torch.float32):
            # NumPy sorts float32 many times as fast as torch does on a CPU.
            ordered = torch.from_numpy(np.sort(apart.numpy(), 1))
            kept[rows] = _nearest(apart, ordered[:, kept.shape[1] - 1 : kept.shape[1]], kept.shape[1])
            for temperature, sums in found.items():
                sums.add(rows, (of_positives[rows, None] - ordered).div_(temperature))
            bar.update(len(apart))
    weights = {temperature: sums.weights() for temperature, sums in found.items()}
    return Negatives(anchors.numpy(), positives.numpy(), kept.numpy(), weights)


def anchors_among(labels: ArrayLike | Tensor, count: int | None = None, seed: int = 0) -> NDArray[np.int64]:
    """Positions of images whose class has another, at most `count` of them drawn at random, in ascending order.

    Raises:
        InputError: where there is none.
    """
    labels = np.asarray(labels)
    _, owner, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    some = np.flatnonzero(sizes[owner] > 1)
    if len(some) == 0:
        raise InputError(
            f"none of {len(labels)} images has another of its class, so there are no positives; check the labels"
        )
    if count is None or count >= len(some):
        return some
    return np.sort(np.random.default_rng(seed).choice(some, count, replace=False))


class _Sums:
    """What is kept of the weights at one temperature, block by block."""

    def __init__(self, anchors: int, ranks: NDArray, shares: Sequence[int]):
        self.ranks, self.at = ranks, torch.from_numpy(ranks - 1)
        self.by_rank = torch.empty(len(ranks), anchors)
        self.total, self.effective = torch.empty(anchors), torch.empty(anchors)
        self.shares = {int(k): torch.empty(anchors) for k in shares}

    def add(self, rows: slice, margins: Tensor) -> None:
        """Sorted (D⁺ − D⁻)/τ (b, n), −inf behind the last negative."""
        self.effective[rows] = effective_number(margins)
        # Relative to the hardest negative's weight, so that nothing over- or underflows as a whole.
        highest = margins[:, :1].clone()
        relative = margins.sub_(highest).exp_()
        added = relative.sum(1)
        self.total[rows] = (highest.squeeze(1) + added.log()).sigmoid()
        self.by_rank[:, rows] = (relative[:, self.at] * (self.total[rows] / added)[:, None]).mT
        for k, share in self.shares.items():
            share[rows] = relative[:, :k].sum(1) / added

    def weights(self) -> Weights:
        mean = self.by_rank.mean(1, dtype=torch.float64).numpy()
        spread = np.quantile(self.by_rank.numpy(), list(QUANTILES.values()), axis=1)
        shares = {k: share.numpy() for k, share in self.shares.items()}
        return Weights(
            self.ranks,
            mean,
            **dict(zip(QUANTILES, spread, strict=True)),
            total=self.total.numpy(),
            effective=self.effective.numpy(),
            shares=shares,
        )


def _nearest(apart: Tensor, reach: Tensor, count: int) -> Tensor:
    """Positions of the `count` smallest of each row (b, n), where the last of them is `reach` (b, 1): (b, count)."""
    row, column = (apart <= reach).nonzero(as_tuple=True)
    order = np.lexsort([key.numpy() for key in (column, apart[row, column], row)])
    row, column = row[order], column[order]
    starts = torch.searchsorted(row, torch.arange(len(apart)))
    return column[starts[:, None] + torch.arange(count)]
