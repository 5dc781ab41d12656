"""The unit sphere, where distance is a function of cosine."""

import math

import torch
from torch import Tensor

from .gram import Gram
from .precision import at_least_float32
from .space import NORM_TOLERANCE, Space, check_finite, sums


class Sphere(Space):
    """Unit vectors with D_cos(x, y) = ‖x − y‖² = 2 − 2 cosine, in [0, 4] (Hyp-ViT, Eq. 4).

    The published code of Hyp-ViT uses logits cosine/τ; in the words of this package that is −D_cos/(2τ), so its τ = 0.1
    is `temperature=0.2` here. D_cos is a squared distance: it ranks as cosine does, and obeys the triangle inequality
    only after a square root.
    """

    has_origin = False
    diameter = 4.0

    def forward(self, features: Tensor) -> Tensor:
        features = at_least_float32(features)
        norm = torch.linalg.vector_norm(features, dim=-1, keepdim=True)
        # A zero vector has no direction: it stays zero, with a zero gradient, instead of dividing by nothing.
        return features / torch.where(norm > torch.finfo(norm.dtype).tiny, norm, torch.inf)

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        return (at_least_float32(x) - at_least_float32(y)).square().sum(-1)

    def gram(self, x: Tensor) -> list[Gram]:
        return [Gram.flat("squared", at_least_float32(x))]

    def radius(self, x: Tensor) -> Tensor:
        raise ValueError("a sphere has no origin, so its points have no radius; ask a hyperbolic or Euclidean part")

    def centroids(self, x: Tensor, owner: Tensor, count: int) -> Tensor:
        """The normalised sums, which minimise the sum of D_cos."""
        return self(sums(x, owner, count)).to(at_least_float32(x[:0]).dtype)

    def project(self, x: Tensor) -> Tensor:
        """At norm 1; a zero vector stays zero."""
        return self(x)

    def geodesic(self, x: Tensor, y: Tensor, t: float) -> Tensor:
        """Great circles: cos(tθ) x + sin(tθ) w, w the unit tangent vector at x towards y, θ their angle.

        `t` is a share of the angle, not of D_cos. Beyond an end the circle goes on to the other end's antipode, the farthest
        point, and no further. Antipodes, between which no circle is the shortest, take one of them.
        """
        x, y = torch.broadcast_tensors(at_least_float32(x), at_least_float32(y))
        zero_x, zero_y = (torch.linalg.vector_norm(z, dim=-1, keepdim=True) == 0 for z in (x, y))
        x, y = torch.where(zero_x, y, x), torch.where(zero_y, x, y)
        chord = torch.linalg.vector_norm(y - x, dim=-1, keepdim=True)
        # Kahan's angle, accurate for small ones and for those near π.
        angle = 2 * torch.atan2(chord, torch.linalg.vector_norm(x + y, dim=-1, keepdim=True))
        # y − x cos θ, by difference; at the antipodes what is left is rounding, and some axis across x takes its place.
        across = y - x + x * chord.square() / 2
        axis = torch.zeros_like(x).scatter_(-1, x.abs().argmin(-1, keepdim=True), 1.0)
        across = torch.where(math.pi - angle > 1e-6, across, axis)
        across = self(across - x * (across * x).sum(-1, keepdim=True))
        turn = (t * angle).minimum(angle.new_tensor(math.pi)).maximum(angle - math.pi)
        return self(turn.cos() * x + turn.sin() * across)

    def lift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """⟨q, k⟩ = cosine."""
        x = at_least_float32(x)
        return x, x

    def telemetry(self, x: Tensor) -> dict[str, float]:
        """`concentration`: length of the mean point, 0 where points surround the sphere, 1 where all coincide."""
        return {"concentration": float(at_least_float32(x).mean(0).norm())}

    def check(self, x: Tensor) -> None:
        check_finite(x, "the sphere")
        norms = torch.linalg.vector_norm(at_least_float32(x), dim=1)
        # A zero vector is what a zero feature becomes, so it passes.
        off = ((norms - 1).abs() > NORM_TOLERANCE) & (norms > 0)
        if off.any():
            worst = float(norms[off][0])
            raise ValueError(
                f"{int(off.sum())} of {len(x)} points are not unit vectors (norm {worst:.4g}, expected 1): "
                "these look like features; place them first with points = space(features)"
            )

    def describe(self, *, settled: bool = False) -> dict:
        return {"kind": "sphere"}
