"""Have points collapsed? How many directions they fill, how close classes are, and how evenly they cover the sphere."""

import math

import torch
from torch import Tensor

from ..errors import InputError
from ..spaces import Sphere

#: Rows of the matrix of all pairs that are made at a time.
_ROWS = 1024


def effective_rank(points: Tensor) -> float:
    """exp of the entropy of the normalised singular values of points (n, p), from 1 to min(n, p) (Roy & Vetterli, 2007).

    The reference, in float64:

        s = torch.linalg.svdvals(points)
        share = s / s.sum()
        torch.special.entr(share).sum().exp()

    Points are not centred, so that it is 1 where all points are one. Here the singular values are roots of eigenvalues, so
    those below 1e-8 of the largest count as 0. NaN without points, and where all of them are 0 or one is not finite.
    """
    points = _matrix(points).double()
    scale = points.abs().max() if points.numel() else 0.0
    if not 0 < scale < math.inf:
        return math.nan
    points = points / scale
    gram = points.mT @ points if points.shape[0] >= points.shape[1] else points @ points.mT
    squares = torch.linalg.eigvalsh(gram)
    singular = torch.where(squares > 1e-16 * squares[-1], squares, 0).sqrt()
    return float(torch.special.entr(singular / singular.sum()).sum().exp())


def alignment(points: Tensor, labels: Tensor) -> float:
    """Mean ‖x − y‖² of the directions of points of one class, from 0 to 4 (Wang & Isola, 2020, with α = 2).

    The mean is over all pairs of two different points (n, p) with the same label (n,), so over pairs of the batch and not
    over classes; small is aligned. Computed from class sums, in float64. NaN where no class has two points.
    """
    directions = Sphere()(_matrix(points).double())
    if labels.shape != points.shape[:1]:
        raise InputError(
            f"alignment of points {tuple(points.shape)} with labels {tuple(labels.shape)}; expected one a point"
        )
    numbers, sizes = labels.to(points.device).unique(return_inverse=True, return_counts=True)[1:]
    pairs = int((sizes * (sizes - 1)).sum())
    if not pairs:
        return math.nan
    sums = directions.new_zeros(len(sizes), directions.shape[1]).index_add_(0, numbers, directions)
    squares = directions.square().sum(1)
    # Σ ‖x − y‖² over the ordered pairs of a class of m points is 2 m Σ ‖x‖² − 2 ‖Σ x‖².
    total = 2 * (sizes[numbers] * squares).sum() - 2 * sums.square().sum()
    return max(0.0, float(total) / pairs)


def uniformity(points: Tensor) -> float:
    """log mean exp(−2 ‖x − y‖²) over all pairs of the directions of two different points, from −8 to 0 (Wang & Isola, 2020,
    with t = 2).

    Classes do not matter; 0 where all points (n, p) have one direction, near −4 where they fill a sphere of many dimensions.
    Pairs are made in blocks, from inner products in float32 or better. NaN for fewer than two points.
    """
    points = _matrix(points)
    if len(points) < 2:
        return math.nan
    directions = Sphere()(points)
    squares = 2 * directions.square().sum(1)
    total = 0.0
    for start in range(0, len(points), _ROWS):
        rows = slice(start, start + _ROWS)
        exponent = torch.addmm(-squares, directions[rows], directions.mT, alpha=4).sub_(squares[rows, None])
        exponent.diagonal(start).fill_(-torch.inf)
        total += float(exponent.clamp_(max=0).exp_().sum(dtype=torch.float64))
    return math.log(total / (len(points) * (len(points) - 1)))


def _matrix(points: Tensor) -> Tensor:
    """Points without gradient. Raises InputError for anything but a matrix."""
    if points.ndim != 2:
        raise InputError(f"points are a matrix (n, p); given: shape {tuple(points.shape)}")
    return points.detach()
