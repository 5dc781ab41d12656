"""SoftTriple: several proxies a class, in any space."""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ..spaces import Mixed, Space, Sphere, log_class_partition
from .pairwise import distances_within
from .proxies import ProxyLoss, check


class SoftTriple(ProxyLoss):
    """Cross-entropy over classes of several proxies each (SoftTriple, Qian et al., ICCV 2019, Eq. 6 to 8).

    With s = 1 − 2 D/diameter, cosine on the sphere, and w_ck the proxies::

        S_ic = Σ_k softmax_k(s(x_i, w_ck)/gamma) s(x_i, w_ck)
        loss = mean_i of the cross-entropy of scale · (S_ic − margin [c = y_i])
             + merging/(C K (K − 1)) Σ_c Σ_{j<k} sqrt(e(w_cj, w_ck) + 1e-5)

    where e is the squared distance of two proxies on the scale of the sphere's, from 0 to 4: 2 − 2 cosine; elsewhere
    (2 D/diameter)², in a clipped ball D²/(2 clip)²; in a bounded mixture the mean of its parts' e, weighted by each part's
    share of the diameter. The last term draws the proxies that a class does not need onto each other.

    Called as `loss(points, labels)`, or with `anchors` (see `Loss`): a run of the batch has the cross-entropies of its
    images and its share of the merging term. Memory is that of the proxies: similarities of points with proxies are
    computed in blocks (see `spaces.log_class_partition`).

    Args:
        space: where the points and the proxies live.
        classes: C; labels are 0 to C − 1.
        centres: K, proxies a class; 2 do where classes are many.
        dim: features of a head, as in `Embedder`.
        scale: λ of the softmax over classes.
        gamma: temperature of the softmax over the centres of a class.
        margin: δ, by which the own class has to be more similar.
        merging: τ, weight of the last term.
        diameter: the distance at which s is −1, for a space without bound; by default the space's own.
        rate: the proxies' learning rate as a multiple of the optimiser's.

    Raises:
        ValueError: for an option outside its range; for points or labels that do not fit.
    """

    def __init__(
        self,
        space: Space,
        classes: int,
        centres: int = 10,
        dim: int = 128,
        scale: float = 20.0,
        gamma: float = 0.1,
        margin: float = 0.01,
        merging: float = 0.2,
        *,
        diameter: float | None = None,
        rate: float = 100.0,
    ):
        super().__init__(space, classes, centres, dim, scale, diameter=diameter, rate=rate)
        check(
            gamma=(gamma, gamma > 0, "a positive temperature of the softmax over centres"),
            margin=(margin, margin >= 0, "0 or more"),
            merging=(merging, merging >= 0, "0 or more"),
        )
        self.gamma, self.margin, self.merging = float(gamma), float(margin), float(merging)

    def forward(self, points: Tensor, labels: Tensor, anchors: slice | None = None) -> Tensor:
        points, labels = self._checked(points, labels)
        batch, rows = len(points), anchors or slice(None)
        points, labels = points[rows], labels[rows]
        proxies = self.proxies().to(points.dtype)
        total = softplus(self._others(points, labels, proxies) - self._own(points, labels, proxies)).sum()
        if self.centres > 1 and self.merging:
            total = total + len(points) * self._merging(proxies)
        return total / batch

    def _others(self, points: Tensor, labels: Tensor, proxies: Tensor) -> Tensor:
        """log Σ exp(scale · S) over the classes that are not the point's: (n,)."""
        sums = log_class_partition(
            self.space,
            points,
            proxies,
            count=self.centres,
            temperature=self.diameter / (2 * self.scale),
            softness=self.gamma * self.diameter / 2,
            labels=labels,
        )
        return sums + self.scale

    def _own(self, points: Tensor, labels: Tensor, proxies: Tensor) -> Tensor:
        """scale · (S − margin) of the point's own class (n,): training makes these close, so they go by difference."""
        own = proxies.view(self.classes, self.centres, -1).index_select(0, labels)
        s = self.similarity(points.unsqueeze(1), own)
        return self.scale * (((s / self.gamma).softmax(1) * s).sum(1) - self.margin)

    def _merging(self, proxies: Tensor) -> Tensor:
        squared = _squared(self.space, proxies.view(self.classes, self.centres, -1), self.diameter)
        j, k = torch.triu_indices(self.centres, self.centres, 1, device=proxies.device)
        # Each of C · K(K − 1)/2 pairs once, over C · K(K − 1) as published: half of a mean.
        return self.merging / 2 * (squared[:, j, k] + 1e-5).sqrt().mean()


def _squared(space: Space, groups: Tensor, diameter: float) -> Tensor:
    """Squared distances within groups of points (n, d, p), on the scale of the sphere's, from 0 to 4: (n, d, d).

    A learned weight learns nothing here: it would move towards the part where proxies are close already.
    """
    if isinstance(space, Mixed) and math.isfinite(space.diameter):
        parts = zip(space.parts, space.weights, space.split(groups), strict=True)
        return sum(w * p.diameter / space.diameter * _squared(p, own, p.diameter) for p, w, own in parts if w)
    distances = distances_within(space, groups)
    return distances if isinstance(space, Sphere) else (2 / diameter * distances).square()
