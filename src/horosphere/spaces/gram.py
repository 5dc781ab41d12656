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
√z and hyperbolic have a cone point, whose subgradient here is 0. In float32 a + a' + a a' overflows at √c‖v‖ of about 22.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .precision import first_order, full_precision

#: Of the derivative of sinh(2ρ)/ρ by ρ, over ρ, in powers of ρ²: 2^(2k+1) 2k/(2k+1)! from k = 1. Below 0.3 seven
#: terms are exact to float64, four to float32.
_BEND = [2 ** (2 * k + 1) * 2 * k / math.factorial(2 * k + 1) for k in range(1, 8)]

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
        return Gram(kind, *_FlatLift.apply(x))

    @staticmethod
    def hyperbolic(v: Tensor, root: float | Tensor) -> "Gram":
        """Tangent vectors v (…, n, d) at the origin, `root` the square root of the curvature."""
        return Gram("hyperbolic", *_HyperbolicLift.apply(v, root), 1 / root)


class _FlatLift(torch.autograd.Function):
    """x (…, d) → √2 x (…, d), ‖x‖² (…, 1)."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return 2**0.5 * x, x.square().sum(-1, keepdim=True)

    @staticmethod
    @first_order
    def backward(ctx, grad_p, grad_a):
        (x,) = ctx.saved_tensors
        return (grad_p * 2**0.5).addcmul_(x, grad_a, value=2)


class _HyperbolicLift(torch.autograd.Function):
    """v (…, d), root → sinh(2ρ) v/‖v‖ (…, d), cosh(2ρ) − 1 (…, 1), with ρ = root ‖v‖: smooth at 0."""

    @staticmethod
    def forward(ctx, v, root):
        norm = torch.linalg.vector_norm(v, dim=-1, keepdim=True) * root
        ctx.save_for_backward(v, norm)
        ctx.root = root
        return v * (stretch(norm) * root), 2 * norm.sinh().square()

    @staticmethod
    @first_order
    def backward(ctx, grad_p, grad_a):
        v, norm = ctx.saved_tensors
        slope, square = stretch(norm), norm.square()
        # The derivative of sinh(2ρ)/ρ by ρ, over ρ: by its series where the closed form cancels.
        terms = _BEND if v.dtype == torch.float64 else _BEND[:4]
        series = torch.full_like(square, terms[-1])
        for coefficient in terms[-2::-1]:
            series.mul_(square).add_(coefficient)
        bend = torch.where(norm < 0.3, series, (2 * (2 * norm).cosh() - slope) / torch.where(norm < 0.3, 1, square))
        along = (grad_p * v).sum(-1, keepdim=True) * ctx.root
        pull = (along * bend + 2 * slope * grad_a) * ctx.root
        grad = (grad_p * slope).addcmul_(pull, v)
        grad_root = (grad * v).sum() if ctx.needs_input_grad[1] else None
        return grad.mul_(ctx.root), grad_root


def stretch(norm: Tensor) -> Tensor:
    """sinh(2ρ)/ρ, which is 2 at 0."""
    return torch.where(norm > torch.finfo(norm.dtype).tiny, (2 * norm).sinh() / norm, 2)


def values_(kind: str, z: Tensor, *, compensated: bool = True) -> tuple[Tensor, Tensor | None]:
    """f(z), which takes the place of z, and 1/f'(z), with infinity where z = 0; None for f(z) = z.

    Without `compensated` the error of a hyperbolic f is absolute, one rounding of 1, instead of relative.
    """
    z = z.clamp_min_(0)
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
        q, b = other or (p, a)
        with full_precision(p.device):
            z = p @ q.mT
        z = torch.sub(a + b.mT, z, out=z)
        if kind == "hyperbolic":
            z.addcmul_(a, b.mT)
        if not other:
            z.diagonal(dim1=-2, dim2=-1).zero_()
        values, over_slope = values_(kind, z)
        ctx.save_for_backward(p, a, q, b, over_slope)
        ctx.kind, ctx.itself = kind, not other
        return values

    @staticmethod
    @first_order
    def backward(ctx, grad):
        p, a, q, b, over_slope = ctx.saved_tensors
        weights = grad if over_slope is None else grad / over_slope
        if ctx.itself:
            # z is symmetric: its second side's gradient is the first one's of the transposed weights.
            weights = weights + weights.mT
            if over_slope is None:
                weights.diagonal(dim1=-2, dim2=-1).zero_()
            return None, *_pull(ctx.kind, weights, q, b)
        return None, *_pull(ctx.kind, weights, q, b), *_pull(ctx.kind, weights.mT, p, a)


def _pull(kind: str, weights: Tensor, q: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Σ_j weights_ij ∂z_ij to p_i and a_i, for the other side's q and b."""
    with full_precision(weights.device):
        grad_a = weights.sum(-1, keepdim=True)
        return (weights @ q).neg_(), grad_a + weights @ b if kind == "hyperbolic" else grad_a
