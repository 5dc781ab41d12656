"""Proxy-Anchor: one proxy a class, and the images of the batch as its positives and negatives."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ..spaces import Space, log_partition
from .proxies import ProxyLoss, check


class ProxyAnchor(ProxyLoss):
    """Each proxy against all images of the batch (Proxy-Anchor, Kim et al., CVPR 2020, Eq. 4), in any space.

    With s = 1 − 2 D/diameter, cosine on the sphere, P the proxies and P⁺ those whose class is in the batch::

        loss = 1/|P⁺| Σ_{p ∈ P⁺} log(1 + Σ_{x of p's class} exp(−scale · (s(x, p) − margin)))
             + 1/|P|  Σ_{p ∈ P}  log(1 + Σ_{x of another class} exp(scale · (s(x, p) + margin)))

    Called as `loss(points, labels)`, or with `anchors` (see `Loss`): the anchors here are proxies, so a run of the batch has
    the terms of as large a run of them, against all images.

    Args:
        space: where the points and the proxies live.
        classes: C; labels are 0 to C − 1.
        dim: features of a head, as in `Embedder`.
        scale: α.
        margin: δ.
        diameter: the distance at which s is −1, for a space without bound; by default the space's own.
        rate: the proxies' learning rate as a multiple of the optimiser's.

    Raises:
        ValueError: for an option outside its range; for points or labels that do not fit.
    """

    def __init__(
        self,
        space: Space,
        classes: int,
        dim: int = 128,
        scale: float = 32.0,
        margin: float = 0.1,
        *,
        diameter: float | None = None,
        rate: float = 100.0,
    ):
        super().__init__(space, classes, 1, dim, scale, diameter=diameter, rate=rate)
        check(margin=(margin, margin >= 0, "0 or more"))
        self.margin = float(margin)

    def forward(self, points: Tensor, labels: Tensor, anchors: slice | None = None) -> Tensor:
        points, labels = self._checked(points, labels)
        start, stop, _ = (anchors or slice(None)).indices(len(points))
        # As many of the proxies as these are of the batch.
        first, last = (self.classes * edge // len(points) for edge in (start, stop))
        proxies = self.proxies().to(points.dtype)[first:last]
        present = labels.unique().numel()
        return self._positive(points, labels, proxies, first) / present + self._negative(points, labels, proxies, first)

    def _positive(self, points: Tensor, labels: Tensor, proxies: Tensor, first: int) -> Tensor:
        """Σ over proxies, numbered from `first`, of the log over their own images; 0 for a proxy without any."""
        own = ((labels >= first) & (labels < first + len(proxies))).nonzero().squeeze(1)
        of = labels[own] - first
        logits = -self.scale * (self.similarity(points.index_select(0, own), proxies.index_select(0, of)) - self.margin)
        # log(1 + Σ e^logit) of each proxy, its largest logit (or the 1's own, 0) taken out first.
        top = logits.new_zeros(len(proxies)).scatter_reduce(0, of, logits.detach(), "amax")
        sums = (-top).exp().index_add(0, of, (logits - top[of]).exp())
        return (top + sums.log()).sum()

    def _negative(self, points: Tensor, labels: Tensor, proxies: Tensor, first: int) -> Tensor:
        """Mean over all proxies, of which these are some, of the log over the images of other classes."""
        if len(proxies) == 0:
            return 0 * points.sum()
        classes = torch.arange(first, first + len(proxies), dtype=torch.int32, device=points.device)
        sums = log_partition(
            self.space, proxies, points, temperature=self.diameter / (2 * self.scale), labels=(classes, labels.int())
        )
        return softplus(sums + self.scale * (1 + self.margin)).sum() / self.classes
