"""Flat space, the control."""

import torch
from torch import Tensor

from .precision import at_least_float32, full_precision
from .space import Space, check_finite, quantiles


class Euclidean(Space):
    """Features as they are, with D(x, y) = ‖x − y‖."""

    def forward(self, features: Tensor) -> Tensor:
        return at_least_float32(features)

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        # The norm's subgradient at 0 is 0 in torch.
        return torch.linalg.vector_norm(at_least_float32(x) - at_least_float32(y), dim=-1)

    def pairwise(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        x = at_least_float32(x)
        y_ = x if y is None else at_least_float32(y)
        with full_precision(x.device):
            squared = x.square().sum(-1, keepdim=True) + y_.square().sum(-1) - 2 * (x @ y_.mT)
        if y is None:
            squared = squared.masked_fill(torch.eye(len(x), dtype=torch.bool, device=x.device), 0)
        # The square root has an infinite slope at 0, so zeros leave the graph: their subgradient is 0.
        apart = squared > 0
        return torch.where(apart, torch.where(apart, squared, 1).sqrt(), 0)

    def radius(self, x: Tensor) -> Tensor:
        return torch.linalg.vector_norm(at_least_float32(x), dim=-1)

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
