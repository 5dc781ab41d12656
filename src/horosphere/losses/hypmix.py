"""The variants of HypMix: each function returns what belongs together, the space, the heads and the loss."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..spaces import Hyperbolic, Mixed, Space, Sphere
from .loss import Loss
from .pairwise import PairwiseCrossEntropy


@dataclass(frozen=True)
class Variant:
    """A way to train a mixture.

    Attributes:
        space: where the points live in training.
        search: the space to evaluate and search in; it reads the same points.
        heads: "shared" (one head) or "split" (one a part), for `models.Embedder`.
        normalise_encoding: what happens to the encoder's output before the heads: "none" or "l2".
        loss: called as `loss(points, labels)`, or with a slice of anchors as `PairwiseCrossEntropy` is.
    """

    space: Mixed
    search: Space
    heads: str
    normalise_encoding: str
    loss: nn.Module


def code(weight: float = 3.0) -> Variant:
    """As the published code: logit cosine/0.05 − λ D_hyp/0.2, λ = `weight` (3 on CUB, 8 on Cars and SOP).

    One shared head o; the sphere sees o/‖o‖ and so does the exponential map, hence the fixed radius 1, with which D_hyp is a
    monotone function of cosine and the clip never acts. Evaluation ranks by cosine.
    """
    space = Mixed([Sphere(), Hyperbolic(0.1, radius=1.0)], [10.0, 5 * weight])
    search = Mixed(list(space.parts), [1.0, 0.0])
    return Variant(space, search, "shared", "none", PairwiseCrossEntropy(space, 1.0, "published"))


def paper(weight: float = 3.0, temperature: float = 0.2) -> Variant:
    """As the paper, Eq. 10: exp(−(D_cos + λ D_hyp)/τ), the encoder's output normalised before two heads.

    The paper's §4.2 gives a temperature for each geometry where Eq. 10 has room for one; this takes one.
    """
    space = Mixed([Sphere(), Hyperbolic(0.1, 2.3)], [1.0, weight])
    return Variant(space, space, "split", "l2", PairwiseCrossEntropy(space, temperature, "published"))


def radial(weight: float = 3.0, temperature: float = 0.2) -> Variant:
    """Ours: two heads over the encoder's own output, so that the radius carries information, and the mixture searches."""
    space = Mixed([Sphere(), Hyperbolic(0.1, 2.3)], [1.0, weight])
    return Variant(space, space, "split", "none", PairwiseCrossEntropy(space, temperature, "published"))


def convex(share: float = 0.5, temperature: float = 0.2) -> Variant:
    """The ablation that the paper says did not help: λ L_hyp + (1 − λ) L_nce, λ = `share`, each loss in its own geometry.

    The sphere's loss has the published τ = 0.05 on cosines, 0.1 on D_cos; the mixture searches with the same shares.
    """
    space = Mixed([Sphere(), Hyperbolic(0.1, 2.3)], [1 - share, share])
    sphere, ball = space.parts
    losses = [PairwiseCrossEntropy(sphere, 0.1, "published"), PairwiseCrossEntropy(ball, temperature, "published")]
    return Variant(space, space, "split", "l2", ConvexCombination(space, losses, [1 - share, share]))


class ConvexCombination(Loss):
    """Σ share_m · loss_m over the parts of a mixture, each loss on its own part's points; called as those are.

    Raises ValueError unless there is a loss and a share for each part, and the shares are non-negative with sum 1.
    """

    space: Any  # a Mixed, whose attributes a module does not tell

    def __init__(self, space: Mixed, losses: list[Loss], shares: list[float]):
        super().__init__()
        if not len(losses) == len(shares) == len(space.parts):
            raise ValueError(
                f"{len(space.parts)} parts, {len(losses)} losses, {len(shares)} shares: expected one of each a part"
            )
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(f"shares={shares}: expected non-negative numbers that add to 1")
        self.space, self.losses, self.shares = space, nn.ModuleList(losses), shares

    def forward(self, points: Tensor, labels: Tensor, anchors: slice | None = None) -> Tensor:
        terms = zip(self.losses, self.shares, self.space.split(points), strict=True)
        return sum(share * loss(own, labels, anchors) for loss, share, own in terms)
