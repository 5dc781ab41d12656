"""The Poincaré ball's own operations, on ball coordinates (…, d) inside radius 1/√c, sectional curvature −c, c > 0.

For conversions and for work at a few points; distances for training and search come from `gram` and `geodesic`, which
never go near the ball's boundary. Tangent vectors at x are in ball coordinates: their length is λ_x‖v‖, λ_x = 2/(1 − c‖x‖²).
"""

import torch
from torch import Tensor


def rescale(x: Tensor, radial) -> Tensor:
    """x · radial(‖x‖)/‖x‖: the same direction at another norm. `radial` is a function with radial(0) = 0."""
    # Under the clamp the ratio is the slope at 0, which is exact to rounding for every radial function used here.
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(1e-15)
    return x * (radial(norm) / norm)


def conformal_factor(x: Tensor, c: float | Tensor) -> Tensor:
    """λ_x = 2/(1 − c‖x‖²): (…, 1)."""
    return 2 / (1 - c * x.square().sum(-1, keepdim=True))


def mobius_add(x: Tensor, y: Tensor, c: float | Tensor) -> Tensor:
    """x ⊕ y (Hyp-ViT, Eq. 1). The distance of x and y is that of (−x) ⊕ y to the origin; Eq. 2 prints x ⊕ y."""
    xy = (x * y).sum(-1, keepdim=True)
    xx, yy = x.square().sum(-1, keepdim=True), y.square().sum(-1, keepdim=True)
    return ((1 + 2 * c * xy + c * yy) * x + (1 - c * xx) * y) / (1 + 2 * c * xy + c * c * xx * yy)


def expmap(x: Tensor, v: Tensor, c: float | Tensor) -> Tensor:
    """The ball point reached from x along the geodesic that starts with v, after length λ_x‖v‖ (Hyp-ViT, Eq. 3)."""
    root = c**0.5
    half = conformal_factor(x, c) / 2
    return mobius_add(x, rescale(v, lambda n: (root * half * n).tanh() / root), c)


def logmap(x: Tensor, y: Tensor, c: float | Tensor) -> Tensor:
    """The tangent vector at x whose `expmap` is y."""
    root = c**0.5
    half = conformal_factor(x, c) / 2
    return rescale(mobius_add(-x, y, c), lambda n: (root * n).atanh() / (root * half))
