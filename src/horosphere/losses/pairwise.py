"""The pairwise cross-entropy of Hyp-ViT, in any space."""

import torch
from torch import Tensor
from torch.nn.functional import softplus
from torch.utils.checkpoint import checkpoint

from ..spaces import Space, log_partition
from ..spaces.partition import BACKENDS, PRECISIONS
from .loss import Loss

REDUCTIONS = ("mean", "published")
NEGATIVES = ("subsets", "batch")
#: Numbers in float64 of classes whose positives are measured at a time, in large batches.
_CHUNK = 2**18
#: Up to this √c‖v‖ inner products in float64 tell points apart to 1e-5/√c; the error grows as e to the power of twice that.
_NEAR = 3.0


class PairwiseCrossEntropy(Loss):
    """−log of the softmax share of each positive among its negatives, logits −D/τ (Hyp-ViT, Eq. 5).

    Called as `loss(points, labels)`: points (K, p) of `space`, labels (K,) integers with the classes in any order; labels on
    the CPU spare a GPU the wait. Returns a scalar in the points' precision, float32 or better. `loss(points, labels,
    anchors)` with a slice of the batch, of whole classes, sums the terms of those anchors alone, on the scale of the whole:
    over slices that share out the batch the results, and their gradients, add up to the loss.

    Extra memory is O(K·p + K·d): the K × K distances of a large batch are never kept (see `spaces.log_partition`).

    Args:
        space: where the points live; its distance is D. For the sphere D is 2 − 2 cosine, so a published logit cosine/τ is
            `temperature=2 * τ` here.
        temperature: τ.
        reduction: "mean" over ordered positive pairs; "published" is the scale of the published code, the sum over the
            d(d − 1) ordered pairs of subsets of each pair's mean: d(d − 1) times "mean".
        negatives: "subsets" is Hyp-ViT's: the j-th image of a class, in order of appearance, is in subset j, and the
            ordered pair of subsets (i, j) takes its negatives from the other classes of both. Every class needs the same
            number d of images. "batch" takes every image of another class in the batch, whatever the class sizes; the two
            are equal at d = 2.
        precision, backend: of `spaces.log_partition`.

    Raises:
        ValueError: for an option outside its range; for features where points are expected (at the first call); for unequal
            class sizes under "subsets"; for a batch without positives or without negatives; for anchors that cut a class.
    """

    def __init__(
        self,
        space: Space,
        temperature: float = 0.2,
        reduction: str = "mean",
        negatives: str = "subsets",
        *,
        precision: str = "float32",
        backend: str = "auto",
    ):
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature={temperature}: expected a positive number")
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction={reduction!r}: expected one of {', '.join(REDUCTIONS)}")
        if negatives not in NEGATIVES:
            raise ValueError(f"negatives={negatives!r}: expected one of {', '.join(NEGATIVES)}")
        if negatives == "batch" and reduction == "published":
            raise ValueError('the published scale counts pairs of subsets: use negatives="subsets", or reduction="mean"')
        if precision not in PRECISIONS:
            raise ValueError(f"precision={precision!r}: expected one of {', '.join(PRECISIONS)}")
        if backend not in BACKENDS:
            raise ValueError(f"backend={backend!r}: expected one of {', '.join(BACKENDS)}")
        self.space, self.temperature, self.reduction, self.negatives = space, temperature, reduction, negatives
        self.precision, self.backend = precision, backend

    def forward(self, points: Tensor, labels: Tensor, anchors: slice | None = None) -> Tensor:
        labels = self._checked_labels(points, labels)
        labels = labels.unique(return_inverse=True)[1].cpu()  # from 0 on, without gaps
        classes = _classes(labels, anchors)
        if len(classes) == 0:
            return 0 * points.sum()  # no anchors, no terms
        if self.negatives == "subsets":
            return self._over_subsets(points, labels, classes)
        return self._over_batch(points, labels, classes)

    def _over_subsets(self, points: Tensor, labels: Tensor, classes: Tensor) -> Tensor:
        """The negatives of an ordered pair of subsets (i, j) are those in subset i and those in subset j.

        The reference, for subsets x_1 … x_d of N classes each:

            for i, j in ordered pairs of subsets:
                logits = cat([-pairwise(x_i, x_j), -pairwise(x_i, x_i) with -inf on the diagonal], 1) / temperature
                total += cross_entropy(logits, arange(N))
            published = total; mean = total / (d * (d - 1))
        """
        members = subsets(labels)
        n, d = members.shape
        # Subset after subset, so that a subset is a group of columns.
        columns, rows = members.T.reshape(-1), members[classes].T.reshape(-1)
        anchors, negatives = self._negatives(points, labels, rows, columns, groups=d)
        by_subset = anchors.view(d, len(classes), -1)
        positives = distances_within(self.space, by_subset.transpose(0, 1)).transpose(0, 1)  # (i, class, j)
        negatives = negatives.view(d, len(classes), d)
        own = negatives.diagonal(dim1=0, dim2=2).T.unsqueeze(2)
        # −log(e_p/(e_p + Σe)) as a function of one difference, which keeps its digits where the loss is small.
        margin = torch.logaddexp(negatives, own) + positives / self.temperature
        itself = torch.eye(d, dtype=torch.bool, device=points.device).unsqueeze(1)
        total = softplus(margin.masked_fill(itself, -torch.inf)).sum()
        return total / n if self.reduction == "published" else total / (n * d * (d - 1))

    def _over_batch(self, points: Tensor, labels: Tensor, classes: Tensor) -> Tensor:
        """−log e_ij/(e_ij + Σ_k e_ik) over ordered positive pairs (i, j), k over all images of other classes."""
        sizes = labels.bincount()
        if len(sizes) == 1:
            raise ValueError(
                "every image of the batch is of one class, so there are no negatives; sample at least two classes"
            )
        if sizes.max() == 1:
            raise ValueError(
                "no class has two images in the batch, so there are no positives; use data.ClassBalancedSampler"
            )
        # Class after class, the classes of one size together, so that theirs is one table.
        of_class = labels.argsort(stable=True).split(sizes.tolist())
        by_size = sizes.argsort(stable=True)
        classes = classes[sizes[classes].argsort(stable=True)]
        rows, columns = (torch.cat([of_class[c] for c in some.tolist()]) for some in (classes, by_size))
        anchors, negatives = self._negatives(points, labels, rows, columns, groups=1)
        total, start = 0 * anchors.sum(), 0
        for size, count in zip(*(t.tolist() for t in sizes[classes].unique(return_counts=True)), strict=True):
            if size > 1:
                some = slice(start, start + size * count)
                positives = distances_within(self.space, anchors[some].view(count, size, -1))
                margin = negatives[some].view(count, size, 1) + positives / self.temperature
                itself = torch.eye(size, dtype=torch.bool, device=points.device)
                total = total + softplus(margin.masked_fill(itself, -torch.inf)).sum()
            start += size * count
        return total / int((sizes * (sizes - 1)).sum())

    def _negatives(
        self, points: Tensor, labels: Tensor, rows: Tensor, columns: Tensor, groups: int
    ) -> tuple[Tensor, Tensor]:
        """The anchors, points[rows], and log Σ exp(−D/τ) over the images of other classes in each group of `columns`."""
        labels = labels.int()
        # index_select, because the backward of plain indexing is several times as slow.
        anchors = points.index_select(0, rows.to(points.device, non_blocking=True))
        if torch.equal(rows, columns):
            own = labels[rows]
            others, pair = None, (own, own)
        else:
            others = points.index_select(0, columns.to(points.device, non_blocking=True))
            pair = labels[rows], labels[columns]
        return anchors, log_partition(
            self.space,
            anchors,
            others,
            temperature=self.temperature,
            groups=groups,
            labels=pair,
            precision=self.precision,
            backend=self.backend,
        )


def distances_within(space: Space, groups: Tensor) -> Tensor:
    """Distances between the points of each group (n, d, p): (n, d, d).

    Training makes them close, where inner products in float32 lose accuracy; so they are taken in float64, and far from
    the origin, where that would not do, by difference.
    """
    near = space.reach <= _NEAR

    def measure(groups: Tensor) -> Tensor:
        exact = groups.to(torch.float64, memory_format=torch.contiguous_format)
        apart = space.pairwise(exact) if near else space.distance(exact.unsqueeze(2), exact.unsqueeze(1))
        return apart.to(torch.promote_types(groups.dtype, torch.float32))

    n, d, columns = groups.shape
    chunk = max(1, _CHUNK // (d * (max(d, columns) if near else d * columns)))
    if chunk >= n:
        return measure(groups)
    return torch.cat([checkpoint(measure, some, use_reentrant=False) for some in groups.split(chunk)])


def subsets(labels: Tensor) -> Tensor:
    """Rows of the batch by class and subset (N, d): entry (n, j) is the j-th image of class n in order of appearance.

    `labels` are 0 to N − 1.

    Raises ValueError unless at least two classes have the same number d ≥ 2 of images each.
    """
    sizes = labels.bincount()
    d, most = int(sizes.min()), int(sizes.max())
    if d != most or d < 2 or len(sizes) < 2:
        raise ValueError(
            f"the batch has {len(sizes)} classes of {d} to {most} images; subsets need at least 2 classes with the same "
            'number, at least 2, of images each: draw batches with data.ClassBalancedSampler, or use negatives="batch"'
        )
    return labels.argsort(stable=True).view(len(sizes), d)


def _classes(labels: Tensor, anchors: slice | None) -> Tensor:
    """The classes of the anchors, ascending. Raises ValueError where they hold a part of a class."""
    whole = labels.bincount()
    inside = labels[anchors or slice(None)].bincount(minlength=len(whole))
    if ((inside > 0) & (inside < whole)).any():
        raise ValueError(f"anchors={anchors} cut a class in two: share out the batch by whole classes")
    return inside.nonzero().squeeze(1)
