"""Hyperbolic distance between tangent vectors at the origin by difference, and its gradient, at unit curvature.

Every curvature c is this one scaled: D_c(v, w) = D_1(√c v, √c w)/√c, with d(0, exp0(v)) = 2‖v‖.

With u = v/‖v‖, ρ = ‖v‖, B = sinh 2ρ, C = cosh 2ρ and h = ‖u_i − u_j‖²/4:

    q = sinh²(ρ_i − ρ_j) + B_i B_j h  =  sinh²(D/2)
    D = log1p(2 (q + sqrt(q (1 + q))))

All terms of q are positive and both differences are taken first, so nothing cancels and D is accurate everywhere. D has a
cone point at coincidence: its subgradient there is 0. In float32 distances reach 88: norms of 22.
"""

import torch
from torch import Tensor

from .gram import stretch
from .precision import first_order


def elementwise(x: Tensor, y: Tensor, root: float | Tensor = 1.0) -> Tensor:
    """Distances of root·x (…, d) to root·y (…, d), tangent vectors, by difference, with broadcasting: (…)."""
    return _Elementwise.apply(*torch.broadcast_tensors(x, y), root)


def polar(x: Tensor) -> tuple[Tensor, Tensor]:
    """Directions (…, d), zero for a zero vector, and norms (…, 1)."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.where(norm > torch.finfo(x.dtype).tiny, norm, torch.inf), norm


class _Elementwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y, root):
        (u, rho), (v, sigma) = polar(x * root), polar(y * root)
        # Differences of x and y themselves, taken before any rounding of their own: at large radius sinh 2ρ would magnify
        # the rounding of u and v, each alone, into D.
        delta = (x - y) * root
        step = (delta * (x + y) * root).sum(-1, keepdim=True) / (rho + sigma).clamp_min(torch.finfo(x.dtype).tiny)
        turn = torch.where((rho > 0) & (sigma > 0), (delta - v * step) / rho, u - v)
        h = turn.square().sum(-1, keepdim=True) / 4
        q = step.sinh().square() + (2 * rho).sinh() * (2 * sigma).sinh() * h
        w = q.sqrt() * (1 + q).sqrt()
        ctx.save_for_backward(x, y, u, rho, v, sigma, step, turn, h, w)
        ctx.root = root
        return (2 * (q + w)).log1p().squeeze(-1)

    @staticmethod
    @first_order
    def backward(ctx, grad):
        x, y, u, rho, v, sigma, step, turn, h, w = ctx.saved_tensors
        weight = grad.unsqueeze(-1) / torch.where(w > 1e-15, w, torch.inf)
        sinh_x, sinh_y, slide = (2 * rho).sinh(), (2 * sigma).sinh(), (2 * step).sinh()
        # Along each radius, then across it: v − u + 2 h u is v less its part along u, by difference.
        grad_x = u * (slide + 2 * (2 * rho).cosh() * sinh_y * h) - stretch(rho) * sinh_y / 2 * (2 * h * u - turn)
        grad_y = v * (2 * (2 * sigma).cosh() * sinh_x * h - slide) - stretch(sigma) * sinh_x / 2 * (2 * h * v + turn)
        grad_x, grad_y = weight * grad_x, weight * grad_y
        grad_root = (grad_x * x + grad_y * y).sum() if ctx.needs_input_grad[2] else None
        return grad_x * ctx.root, grad_y * ctx.root, grad_root
