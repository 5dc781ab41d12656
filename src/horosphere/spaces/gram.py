"""Distance as a function of one inner product: what every geometry here has in common.

A point is lifted to a vector p and a number a ≥ 0. For two points

    z = a + a' + ε a a' − p·p' ≥ 0,    D = scale · f(z)

    kind          p            a            ε    z                 f
    squared       √2 x         ‖x‖²         0    ‖x − x'‖²         z
    euclidean     √2 x         ‖x‖²         0    ‖x − x'‖²         √z
    hyperbolic    sinh 2ρ u    cosh 2ρ − 1  1    cosh(√c D) − 1    log1p(z + √(z (z + 2)))

with u = v/‖v‖, ρ = √c‖v‖ for a hyperbolic tangent vector v at the origin, where scale is 1/√c. Taking the 1 out of
cosh keeps the digits of z as √c‖v‖ goes to 0. A matrix of z is one matrix product, and so is its gradient to each side.

From inner products a distance is known up to the rounding of z, about 1e-7 (1 + a)(1 + a') in float32: two points closer
than that allows lose relative accuracy. `Space.distance` goes by difference and does not. Where z = 0 the distances
√z and hyperbolic have a cone point, whose subgradient here is 0.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .precision import full_precision

KINDS = ("squared", "euclidean", "hyperbolic")


@dataclass(frozen=True)
class Gram:
    """Points of one geometry, lifted: `p` (…, n, d), `a` (…, n, 1) and the `scale` of their distances."""

    kind: str
    p: Tensor
    a: Tensor
    scale: float | Tensor = 1.0

    @staticmethod
    def flat(kind: str, x: Tensor) -> "Gram":
        """Vectors x (…, n, d) of flat space."""
        return Gram(kind, 2**0.5 * x, x.square().sum(-1, keepdim=True))

    @staticmethod
    def hyperbolic(v: Tensor, root: float | Tensor) -> "Gram":
        """Tangent vectors v (…, n, d) at the origin, `root` the square root of the curvature."""
        return Gram("hyperbolic", *_HyperbolicLift.apply(v * root), 1 / root)


class _HyperbolicLift(torch.autograd.Function):
    """v (…, d) at unit curvature → sinh(2‖v‖) v/‖v‖ (…, d), cosh(2‖v‖) − 1 (…, 1), smooth at 0."""

    @staticmethod
    def forward(ctx, v):
        norm = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
        slope = torch.where(norm > torch.finfo(v.dtype).tiny, (2 * norm).sinh() / norm, 2)
        ctx.save_for_backward(v, norm, slope)
        return slope * v, 2 * norm.sinh().square()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_p, grad_a):
        v, norm, slope = ctx.saved_tensors
        square = norm.square()
        # The derivative of sinh(2ρ)/ρ by ρ, over ρ: by its series where the closed form cancels.
        series = 8 / 3 + square * (16 / 15 + square * (16 / 105 + square * (32 / 2835)))
        bend = torch.where(norm < 0.3, series, (2 * (2 * norm).cosh() - slope) / torch.where(norm < 0.3, 1, square))
        along = (grad_p * v).sum(-1, keepdim=True) * bend + 2 * slope * grad_a
        return (slope * grad_p).addcmul_(along, v)


def sides(kind: str, p: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """Left and right vectors (…, n, d + 2) with left·right' = z."""
    one = torch.ones_like(a)
    return torch.cat([-p, a, 1 + a if kind == "hyperbolic" else one], -1), torch.cat([p, one, a], -1)


def from_left(kind: str, grad: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient to p and a from that to their left vector."""
    grad_a = grad[..., -2:].sum(-1, keepdim=True) if kind == "hyperbolic" else grad[..., -2:-1]
    return -grad[..., :-2], grad_a


def from_right(grad: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient to p and a from that to their right vector."""
    return grad[..., :-2], grad[..., -1:]


def values_(kind: str, z: Tensor, *, compensated: bool = True) -> tuple[Tensor, Tensor | None]:
    """f(z), which takes the place of z, and 1/f'(z), with infinity where z = 0; None for f(z) = z.

    Without `compensated` the error of a hyperbolic f is absolute, one rounding of 1, instead of relative.
    """
    z.clamp_min_(0)
    if kind == "squared":
        return z, None
    if kind == "euclidean":
        return z.sqrt_(), _over_slope(2 * z)
    # Each factor's root on its own: z² would overflow where distances reach 45.
    w = torch.add(z, 2).sqrt_().mul_(z.sqrt())
    z.add_(w)
    # log_ is many times as fast as torch's log1p on a CPU; the rounding of 1 + z is put right to first order.
    if compensated:
        one_more = z + 1
        lost = z.sub_(one_more.sub(1)).div_(one_more)
        return lost.add_(one_more.log_()), _over_slope(w)
    return z.add_(1).log_(), _over_slope(w)


def _over_slope(w: Tensor) -> Tensor:
    return torch.threshold_(w, 0.0, torch.inf)


def distances(x: Gram, y: Gram | None = None) -> Tensor:
    """Distances of x (…, n) to y (…, m), or of x to itself with a zero diagonal: (…, n, m).

    The reference, in float64:

        z = x.a + y.a.mT + ε * x.a * y.a.mT - x.p @ y.p.mT
        scale * f(z)
    """
    values = _Distances.apply(x.kind, x.p, x.a, *(() if y is None else (y.p, y.a)))
    return values if isinstance(x.scale, float) and x.scale == 1 else values * x.scale


class _Distances(torch.autograd.Function):
    @staticmethod
    def forward(ctx, kind, p, a, *other):
        left, right = sides(kind, p, a)
        if other:
            _, right = sides(kind, *other)
        with full_precision(p.device):
            z = left @ right.mT
        if not other:
            z.diagonal(dim1=-2, dim2=-1).zero_()
        values, over_slope = values_(kind, z)
        ctx.save_for_backward(left, right, over_slope)
        ctx.kind, ctx.itself = kind, not other
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        left, right, over_slope = ctx.saved_tensors
        weights = grad if over_slope is None else grad / over_slope
        if ctx.itself and over_slope is None:
            weights = weights.clone()
            weights.diagonal(dim1=-2, dim2=-1).zero_()
        with full_precision(grad.device):
            if ctx.itself:
                # z is symmetric, so the second side's gradient is the first one's of the transposed weights.
                return None, *from_left(ctx.kind, (weights + weights.mT) @ right)
            to_left, to_right = weights @ right, weights.mT @ left
        return None, *from_left(ctx.kind, to_left), *from_right(to_right)
