"""Flat space, the control."""

import math

import torch
from torch import Tensor

from .gram import Gram
from .precision import at_least_float32
from .space import Space, check_finite, quantiles, sums


class Euclidean(Space):
    """Features as they are, with D(x, y) = ‖x − y‖."""

    diameter = math.inf

    def forward(self, features: Tensor) -> Tensor:
        return at_least_float32(features)

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        # The norm's subgradient at 0 is 0 in torch.
        return torch.linalg.vector_norm(at_least_float32(x) - at_least_float32(y), dim=-1)

    def gram(self, x: Tensor) -> list[Gram]:
        return [Gram.flat("euclidean", at_least_float32(x))]

    def radius(self, x: Tensor) -> Tensor:
        return torch.linalg.vector_norm(at_least_float32(x), dim=-1)

    def centroids(self, x: Tensor, owner: Tensor, count: int) -> Tensor:
        sizes = torch.bincount(owner, minlength=count).clamp_min(1).to(x.device)
        return (sums(x, owner, count) / sizes.unsqueeze(1)).to(at_least_float32(x[:0]).dtype)

    def project(self, x: Tensor) -> Tensor:
        """All are points."""
        return at_least_float32(x)

    def geodesic(self, x: Tensor, y: Tensor, t: float) -> Tensor:
        """(1 − t) x + t y."""
        x, y = at_least_float32(x), at_least_float32(y)
        return x + t * (y - x)

    def lift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """⟨q, k⟩ = x·y − ‖y‖²/2."""
        x = at_least_float32(x)
        return torch.cat([x, torch.ones_like(x[:, :1])], 1), torch.cat([x, -x.square().sum(1, keepdim=True) / 2], 1)

    def telemetry(self, x: Tensor) -> dict[str, float]:
        return quantiles(self.radius(x), "radius")

    def check(self, x: Tensor) -> None:
        check_finite(x, "Euclidean space")

    def describe(self, *, settled: bool = False) -> dict:
        return {"kind": "euclidean"}
