"""The pairwise cross-entropy of Hyp-ViT, in any space."""

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import logsigmoid

from ..spaces import Space

REDUCTIONS = ("mean", "published")
NEGATIVES = ("subsets", "batch")


class PairwiseCrossEntropy(nn.Module):
    """−log of the softmax share of each positive among its negatives, logits −D/τ (Hyp-ViT, Eq. 5).

    Called as `loss(points, labels)`: points (K, p) of `space`, labels (K,) integers with the classes in any order; labels on
    the CPU spare a GPU the wait. Returns a scalar in the points' precision, float32 or better.

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

    Raises:
        ValueError: for an option outside its range; for features where points are expected (at the first call); for unequal
            class sizes under "subsets"; for a batch without positives or without negatives.
    """

    def __init__(self, space: Space, temperature: float = 0.2, reduction: str = "mean", negatives: str = "subsets"):
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
        self._points_checked = False

    def forward(self, points: Tensor, labels: Tensor) -> Tensor:
        labels = torch.as_tensor(labels)
        if points.ndim != 2 or labels.shape != points.shape[:1]:
            raise ValueError(
                f"expected points (K, p) and labels (K,); given: {tuple(points.shape)} and {tuple(labels.shape)}"
            )
        if not self._points_checked:
            # Once: a wrong wiring shows at the first step, and a check a step would make a GPU wait.
            self.space.check(points.detach())
            self._points_checked = True
        return self._over_subsets(points, labels) if self.negatives == "subsets" else self._over_batch(points, labels)

    def _over_subsets(self, points: Tensor, labels: Tensor) -> Tensor:
        """All ordered pairs of subsets from one Gram matrix, whose (subset, class) blocks are summed once each.

        The reference, for subsets x_1 … x_d of N classes each:

            for i, j in ordered pairs of subsets:
                logits = cat([-pairwise(x_i, x_j), -pairwise(x_i, x_i) with -inf on the diagonal], 1) / temperature
                total += cross_entropy(logits, arange(N))
            published = total; mean = total / (d * (d - 1))
        """
        members = subsets(labels)
        n, d = members.shape
        # index_select, because the backward of plain indexing is several times as slow.
        points = points.index_select(0, members.T.reshape(-1).to(points.device))
        rows = points.view(d, n, -1)
        i, j = torch.triu_indices(d, d, 1, device=points.device)
        # Training makes positives close, where the Gram matrix loses accuracy: theirs are taken by difference.
        exact = self.space.distance(rows.index_select(0, i), rows.index_select(0, j))
        positives = exact.new_zeros(d, d, n).index_put((i, j), exact)
        total = _SubsetTerms.apply(self.space.pairwise(points), positives + positives.transpose(0, 1), self.temperature)
        return total / n if self.reduction == "published" else total / (n * d * (d - 1))

    def _over_batch(self, points: Tensor, labels: Tensor) -> Tensor:
        """−log e_ij/(e_ij + Σ_k e_ik) over ordered positive pairs (i, j), k over all images of other classes."""
        same = labels[:, None] == labels
        if same.all():
            raise ValueError(
                "every image of the batch is of one class, so there are no negatives; sample at least two classes"
            )
        anchor, positive = same.fill_diagonal_(False).nonzero(as_tuple=True)
        if len(anchor) == 0:
            raise ValueError(
                "no class has two images in the batch, so there are no positives; use data.ClassBalancedSampler"
            )
        anchor, positive, same = anchor.to(points.device), positive.to(points.device), same.to(points.device)
        attraction = -self.space.distance(points[anchor], points[positive]) / self.temperature
        logits = self.space.pairwise(points) * (-1 / self.temperature)
        repulsion = logits.masked_fill(same.fill_diagonal_(True), -torch.inf).logsumexp(1)
        return -logsigmoid(attraction - repulsion[anchor]).mean()


class _SubsetTerms(torch.autograd.Function):
    """Σ over ordered pairs of subsets (i, j), i ≠ j, and classes of −log of the positive's share.

    `distances` (d n, d n) is laid out subset after subset; `positives` (d, d, n) replaces its entries between two images of
    one class. For the anchor of class c in subset i the negatives of pair (i, j) are those of its row's blocks j and i: one
    sum a block serves all pairs, and the gradient is the block's softmax, scaled.
    """

    @staticmethod
    def forward(ctx, distances, positives, temperature):
        d, _, n = positives.shape
        blocks = (distances * (-1 / temperature)).view(d, n, d, n)
        blocks.diagonal(dim1=1, dim2=3).fill_(-torch.inf)  # images of the anchor's class are no negatives
        top = blocks.amax(-1, keepdim=True)
        blocks.sub_(top).exp_()
        top = top.squeeze(-1).transpose(1, 2)  # from here on (i, j, c)
        sums = blocks.sum(-1).transpose(1, 2).log() + top
        own = sums.diagonal(dim1=0, dim2=1).T.unsqueeze(1)
        negatives = torch.logaddexp(sums, own)
        # −log(e_p/(e_p + Σe)) as a function of one difference, which keeps its digits where the loss is small.
        margin = negatives + positives / temperature
        margin.diagonal(dim1=0, dim2=1).fill_(-torch.inf)  # i = j is no pair
        if any(ctx.needs_input_grad):
            # Block j of a row is among the negatives of (i, j), block i among those of every j.
            share = logsigmoid(margin) - negatives
            every = share.logsumexp(1)
            share.diagonal(dim1=0, dim2=1).copy_(every.T)
            blocks.mul_(((share + top).exp() * (-1 / temperature)).transpose(1, 2).unsqueeze(-1))
            ctx.save_for_backward(blocks.view_as(distances), margin.sigmoid() / temperature)
        return -logsigmoid(-margin).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        repulsion, pull = ctx.saved_tensors
        return repulsion * grad, pull * grad, None


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
