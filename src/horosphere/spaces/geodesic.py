"""Hyperbolic distance between tangent vectors at the origin by difference, and its gradient, at unit curvature.

Every curvature c is this one scaled: D_c(v, w) = D_1(√c v, √c w)/√c, with d(0, exp0(v)) = 2‖v‖.

With u = v/‖v‖, ρ = ‖v‖, B = sinh 2ρ, C = cosh 2ρ and h = ‖u_i − u_j‖²/4:

    q = sinh²(ρ_i − ρ_j) + B_i B_j h  =  sinh²(D/2)
    D = log1p(2 (q + sqrt(q (1 + q))))

All terms of q are positive and both differences are taken first, so nothing cancels and D is accurate everywhere. D has a
cone point at coincidence: its subgradient there is 0. In float32 distances reach 88: norms of 22.
"""

import math

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


def along(x: Tensor, y: Tensor, t: float) -> Tensor:
    """The point at t on the geodesic from x (…, d), t = 0, to y (…, d), t = 1, tangent vectors at the origin: (…, d).

    It is reached from the nearer of the two, x say, by the triangles that x and y, and then x and the point, make with the
    origin. In a triangle with sides a and b, the angle C between them, the angle A opposite to a, and the third side c,

        tan A = sinh a sin C/(sinh(b − a) + 2 sinh a cosh b sin²(C/2))
        sinh²(c/2) = sinh²((b − a)/2) + sinh a sinh b sin²(C/2)

    First C is the angle at the origin, and A the one at x; then A, or beyond x its supplement, is the angle between the ways
    to the origin and to the point, c the point's distance from the origin, and the new A how far its direction is turned.
    Of every angle the sine and the cosine of half of it are known, so that no digits are lost near 0 nor near π.
    """
    if t > 0.5:
        return along(y, x, 1 - t)
    x, y = torch.broadcast_tensors(x.double(), y.double())
    length = abs(t) * elementwise(x, y).unsqueeze(-1)
    (u, rho), (v, sigma) = polar(x), polar(y)
    tiny = torch.finfo(x.dtype).tiny
    step = ((x - y) * (x + y)).sum(-1, keepdim=True) / (rho + sigma).clamp_min(tiny)
    turn = torch.where((rho > tiny) & (sigma > tiny), (x - y - v * step) / rho, u - v)
    sine, cosine = (torch.linalg.vector_norm(side, dim=-1, keepdim=True) / 2 for side in (turn, u + v))
    acute = sine < cosine
    # Across u, on the side of y.
    across = torch.where(acute, -turn, u + v)
    for _ in range(2):
        across, _ = polar(across - u * (across * u).sum(-1, keepdim=True))
    other = (1 - torch.minimum(sine, cosine).square()).sqrt()
    sine, cosine = torch.where(acute, sine, other), torch.where(acute, other, cosine)
    sine, cosine = _opposite(2 * sigma, 2 * step, sine, cosine)
    if t < 0:
        sine, cosine, across = cosine, sine, -across
    half = torch.hypot((rho - length / 2).sinh(), ((2 * rho).sinh().sqrt() * length.sinh().sqrt()) * sine)
    sine, cosine = _opposite(length, 2 * rho - length, sine, cosine)
    # torch's asinh ends at 1e154.
    radius = torch.where(half < 1e8, half.asinh(), half.log() + math.log(2))
    place = radius * ((cosine - sine) * (cosine + sine) * u + 2 * sine * cosine * across)
    # From the origin every way leads outwards.
    return torch.where(rho > tiny, place, t * y)


def _opposite(a: Tensor, gap: Tensor, sine: Tensor, cosine: Tensor) -> tuple[Tensor, Tensor]:
    """Sine and cosine of half the angle opposite to side a, from those of half the angle between a and b = a + gap."""
    short = -(-2 * a).expm1() / 2  # sinh a, as the rest multiplied by exp(−a)
    rise = 2 * short * sine * cosine
    run = gap.sinh() * (-a).exp() + 2 * short * (a + gap).cosh() * sine.square()
    reach = torch.hypot(rise, run)
    larger = ((reach + run.abs()) / (2 * reach)).sqrt().nan_to_num(1.0)
    smaller = (rise / (2 * reach * larger)).nan_to_num(0.0)
    return torch.where(run < 0, larger, smaller), torch.where(run < 0, smaller, larger)


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
