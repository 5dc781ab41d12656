"""CHEST: SoftTriple in two geometries at once, and a hierarchy over the proxies."""

from typing import Any

from torch import Tensor

from ..spaces import Hyperbolic, Mixed, Sphere
from .hierarchy import ProxyHierarchy
from .loss import Loss, share
from .multi_similarity import multi_similarity
from .proxies import check
from .soft_triple import SoftTriple

MULTI_SIMILARITY = ("none", "added", "alone")


class Chest(Loss):
    """L_E + α L_H + β L_HypHC over a sphere and a ball with a head each (CHEST, Saeki et al., arXiv 2510.05643).

    Reconstructed from the paper's abstract and the works that it builds on. L_E and L_H are `SoftTriple` on the sphere's and
    on the ball's points, each with proxies of its own; L_HypHC is `ProxyHierarchy` over the ball's proxies, alike as the
    sphere's are. Called as `loss(points, labels)`, or with `anchors` (see `Loss`).

    Args:
        space: Mixed([Sphere(), Hyperbolic()]) without slices; its weights do not enter the loss, they are how it searches.
        classes: C; labels are 0 to C − 1.
        centres, dim, scale, gamma, margin, merging, rate: of `SoftTriple`, alike in both.
        hyperbolic_weight: α; 0 leaves the sphere alone, but for L_HypHC. The ball alone is `SoftTriple` in it.
        hierarchy_weight: β.
        hierarchy_temperature: of the softmax over depths.
        triples: of `ProxyHierarchy`, a step, at most.
        anneal_steps: steps in which the hierarchy's temperature falls from 1.
        multi_similarity: "added" to each SoftTriple, or "alone" in its place, which leaves no proxies to have a hierarchy.
        seed: of the triples.

    Raises:
        ValueError: for another space, or an option outside its range.
    """

    space: Any  # a Mixed, whose attributes a module does not tell

    def __init__(
        self,
        space: Mixed,
        classes: int,
        centres: int = 10,
        dim: int = 128,
        scale: float = 20.0,
        gamma: float = 0.1,
        margin: float = 0.01,
        merging: float = 0.2,
        *,
        hyperbolic_weight: float = 1.0,
        hierarchy_weight: float = 0.1,
        hierarchy_temperature: float = 0.05,
        triples: int = 4096,
        anneal_steps: int = 0,
        multi_similarity: str = "none",
        rate: float = 100.0,
        seed: int = 0,
    ):
        super().__init__()
        kinds = [type(part) for part in space.parts] if isinstance(space, Mixed) else [type(space)]
        if kinds != [Sphere, Hyperbolic] or space.slices is not None:
            raise ValueError(
                "CHEST needs a sphere and a ball, in this order and without slices; given: "
                f"{', '.join(kind.__name__ for kind in kinds)}. Take Mixed([Sphere(), Hyperbolic()]) with split heads, or "
                "SoftTriple for one space alone"
            )
        check(
            hyperbolic_weight=(hyperbolic_weight, hyperbolic_weight >= 0, "0 or more"),
            hierarchy_weight=(hierarchy_weight, hierarchy_weight >= 0, "0 or more"),
            hierarchy_temperature=(
                hierarchy_temperature,
                hierarchy_temperature > 0,
                "a positive number of units of distance",
            ),
            multi_similarity=(
                multi_similarity,
                multi_similarity in MULTI_SIMILARITY,
                f"one of {', '.join(MULTI_SIMILARITY)}",
            ),
        )
        if multi_similarity == "alone" and hierarchy_weight:
            raise ValueError("without SoftTriple no proxy learns from images: set hierarchy_weight=0")
        self.space, self.multi_similarity = space, multi_similarity
        self.weights = [1.0, float(hyperbolic_weight)]
        self.hierarchy_weight = float(hierarchy_weight)
        sphere, ball = space.parts

        def soft_triple(part) -> SoftTriple | None:
            if multi_similarity == "alone":
                return None
            return SoftTriple(part, classes, centres, dim, scale, gamma, margin, merging, rate=rate)

        self.spherical = soft_triple(sphere)
        self.hyperbolic = soft_triple(ball) if hyperbolic_weight or hierarchy_weight else None
        self.hierarchy = None
        if hierarchy_weight:  # then both have proxies
            self.hierarchy = ProxyHierarchy(ball, hierarchy_temperature, triples, anneal_steps=anneal_steps, seed=seed)
        self.rate = rate

    def forward(self, points: Tensor, labels: Tensor, anchors: slice | None = None) -> Tensor:
        labels = self._checked_labels(points, labels)
        total = 0 * points.sum()  # a part of weight 0 gets a gradient of 0
        parts = zip(self.space.parts, self.space.split(points), (self.spherical, self.hyperbolic), self.weights, strict=True)
        for part, own, soft_triple, weight in parts:
            if weight and soft_triple is not None:
                total = total + weight * soft_triple(own, labels, anchors)
            if weight and self.multi_similarity != "none":
                total = total + weight * multi_similarity(part, own, labels, anchors)
        if self.hierarchy is not None and self.spherical is not None and self.hyperbolic is not None:
            term = self.hierarchy(self.hyperbolic.proxies.raw[0], self.spherical.proxies.raw[0])
            total = total + self.hierarchy_weight * share(anchors, len(points)) * term
        return total

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The proxies of both spaces and the norm that they have in common in the hierarchy; see `SoftTriple`'s."""
        modules = (self.spherical, self.hyperbolic)
        groups = [group for module in modules if module is not None for group in module.parameter_groups()]
        if self.hierarchy is not None and self.hierarchy.raw_norm.requires_grad:
            groups.append({"name": "norm", "params": [self.hierarchy.raw_norm], "rate": self.rate, "weight_decay": 0.0})
        return groups
