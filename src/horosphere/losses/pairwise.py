"""The pairwise cross-entropy of Hyp-ViT, in any space."""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils.checkpoint import checkpoint

from ..spaces import Space, log_partition

REDUCTIONS = ("mean", "published")
NEGATIVES = ("subsets", "batch")
#: Numbers in float64 of classes whose positives are measured at a time, in large batches.
_CHUNK = 2**20


class PairwiseCrossEntropy(nn.Module):
    """−log of the softmax share of each positive among its negatives, logits −D/τ (Hyp-ViT, Eq. 5).

    Called as `loss(points, labels)`: points (K, p) of `space`, labels (K,) integers with the classes in any order; labels on
    the CPU spare a GPU the wait. Returns a scalar in the points' precision, float32 or better. `loss(points, labels,
    anchors)` with a slice of the batch sums the terms of those anchors alone, on the scale of the whole: over slices that
    share out the batch the results, and their gradients, add up to the loss.

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
            class sizes under "subsets"; for a batch without positives or without negatives.
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
        self.space, self.temperature, self.reduction, self.negatives = space, temperature, reduction, negatives
        self.precision, self.backend = precision, backend
        self._points_checked = False

    def forward(self, points: Tensor, labels: Tensor, anchors: slice | None = None) -> Tensor:
        labels = torch.as_tensor(labels)
        if points.ndim != 2 or labels.shape != points.shape[:1]:
            raise ValueError(
                f"expected points (K, p) and labels (K,); given: {tuple(points.shape)} and {tuple(labels.shape)}"
            )
        if not self._points_checked:
            # Once: a wrong wiring shows at the first step, and a check a step would make a GPU wait.
            self.space.check(points.detach())
            self._points_checked = True
        labels = labels.unique(return_inverse=True)[1].cpu()
        rows = torch.arange(len(points))[anchors or slice(None)]
        return (
            self._over_subsets(points, labels, rows)
            if self.negatives == "subsets"
            else self._over_batch(points, labels, rows)
        )

    def _over_subsets(self, points: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        """The negatives of an ordered pair of subsets (i, j) are those in subset i and those in subset j.

        The reference, for subsets x_1 … x_d of N classes each:

            for i, j in ordered pairs of subsets:
                logits = cat([-pairwise(x_i, x_j), -pairwise(x_i, x_i) with -inf on the diagonal], 1) / temperature
                total += cross_entropy(logits, arange(N))
            published = total; mean = total / (d * (d - 1))
        """
        members = subsets(labels)
        n, d = members.shape
        order = members.T.reshape(-1)  # subset after subset: each is a group of columns
        if len(rows) == len(order):
            rows, negatives = order, self._negatives(points, labels, order, d)
        else:
            negatives = self._negatives(points, labels, order, d, rows)
        subset = torch.empty_like(order).scatter_(0, order, torch.arange(len(order))) // n
        classes, place = labels[rows].unique(return_inverse=True)
        device, own = points.device, subset[rows, None]
        positives = self._positives(points, members[classes])[place.to(device), own.squeeze(1).to(device)]
        own = own.to(device)
        margin = torch.logaddexp(negatives, negatives.gather(1, own)) + positives / self.temperature
        # −log(e_p/(e_p + Σe)) as a function of one difference keeps its digits where the loss is small; i = j is no pair.
        total = softplus(margin.scatter(1, own, -torch.inf)).sum()
        return total / n if self.reduction == "published" else total / (n * d * (d - 1))

    def _over_batch(self, points: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
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
        everything = torch.arange(len(points))
        if len(rows) == len(points):
            negatives = self._negatives(points, labels, everything, 1).squeeze(1)
        else:
            # A sum of −inf, of no negatives, makes a term of 0: other anchors' terms are not ours.
            own = self._negatives(points, labels, everything, 1, rows).squeeze(1)
            negatives = own.new_full((len(points),), -torch.inf).index_copy(0, rows.to(own.device), own)
        total = negatives.new_zeros(())
        by_class = labels.argsort(stable=True).split(sizes.tolist())
        wanted = torch.zeros(len(sizes), dtype=torch.bool).index_fill_(0, labels[rows], True)
        for size in sizes[wanted].unique().tolist():
            if size > 1:
                members = torch.stack([by_class[c] for c in (wanted & (sizes == size)).nonzero().squeeze(1).tolist()])
                margin = negatives[members.to(points.device), None] + self._positives(points, members) / self.temperature
                itself = torch.eye(size, dtype=torch.bool, device=points.device)
                total = total + softplus(margin.masked_fill(itself, -torch.inf)).sum()
        return total / int((sizes * (sizes - 1)).sum())

    def _negatives(self, points: Tensor, labels: Tensor, order: Tensor, groups: int, rows: Tensor | None = None) -> Tensor:
        """log Σ exp(−D/τ) over the images of other classes in each group of the points in `order`: (anchors, groups).

        The anchors are the points in `order`, or those of `rows`.
        """
        # index_select, because the backward of plain indexing is several times as slow.
        columns = points.index_select(0, order.to(points.device, non_blocking=True))
        anchors = None if rows is None else points.index_select(0, rows.to(points.device, non_blocking=True))
        return log_partition(
            self.space,
            columns if anchors is None else anchors,
            None if anchors is None else columns,
            temperature=self.temperature,
            groups=groups,
            labels=(labels[order if rows is None else rows], labels[order]),
            precision=self.precision,
            backend=self.backend,
        )

    def _positives(self, points: Tensor, members: Tensor) -> Tensor:
        """Distances between the images of each class, `members` (m, d): (m, d, d).

        Training makes positives close, where inner products in float32 lose accuracy; so theirs are taken in float64.
        """
        n, d = members.shape

        def measure(points: Tensor, members: Tensor) -> Tensor:
            rows = points.index_select(0, members.flatten().to(points.device, non_blocking=True)).unflatten(0, members.shape)
            return self.space.pairwise(rows.double()).to(torch.promote_types(points.dtype, torch.float32))

        chunk = max(1, _CHUNK // (d * max(d, points.shape[1])))
        if chunk >= n:
            return measure(points, members)
        return torch.cat([checkpoint(measure, points, some, use_reentrant=False) for some in members.split(chunk)])


def subsets(labels: Tensor) -> Tensor:
    """Rows of the batch by class and subset (N, d): entry (n, j) is the j-th image of class n in order of appearance.

    Raises ValueError unless at least two classes have the same number d ≥ 2 of images each.
    """
    _, sizes = labels.unique(return_counts=True)
    d, most = int(sizes.min()), int(sizes.max())
    if d != most or d < 2 or len(sizes) < 2:
        raise ValueError(
            f"the batch has {len(sizes)} classes of {d} to {most} images; subsets need at least 2 classes with the same "
            'number, at least 2, of images each: draw batches with data.ClassBalancedSampler, or use negatives="batch"'
        )
    return labels.argsort(stable=True).view(len(sizes), d).cpu()
