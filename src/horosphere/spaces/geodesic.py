"""Hyperbolic distance between tangent vectors at the origin, and its gradient, at unit curvature.

Every curvature c is this one scaled: D_c(v, w) = D_1(√c v, √c w)/√c, with d(0, exp0(v)) = 2‖v‖. So the functions here know
no curvature, and the gradient to a learnable one follows from the scaling.

With u = v/‖v‖, ρ = ‖v‖, B = sinh 2ρ, C = cosh 2ρ and h = (1 − u_i·u_j)/2:

    q = sinh²(ρ_i − ρ_j) + B_i B_j h  =  sinh²(D/2)
    D = log1p(2 (q + sqrt(q (1 + q))))

All terms of q are positive, so nothing cancels. `pairwise` takes u_i·u_j from one matrix product, and loses relative
accuracy where h < 1.4e-3; `elementwise` takes h = ‖u_i − u_j‖²/4 by difference, and is accurate everywhere.
D has a cone point at coincidence: its subgradient there is 0. In float32 distances reach 88: norms of 22.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .precision import full_precision


def pairwise(x: Tensor, y: Tensor | None = None, scale: float = 1.0) -> Tensor:
    """`scale` × distances of tangent vectors x (n, d) to y (m, d), or to x itself with a zero diagonal: (n, m).

    The reference, in float64:

        u, v = x / norm(x), y / norm(y)
        h = (1 - u @ v.T) / 2
        q = sinh(norm(x) - norm(y).T) ** 2 + sinh(2 * norm(x)) * sinh(2 * norm(y)).T * h
        scale * log1p(2 * (q + sqrt(q * (1 + q))))
    """
    return _Pairwise.apply(x, y, scale)


def elementwise(x: Tensor, y: Tensor, root: float | Tensor = 1.0) -> Tensor:
    """Distances of root·x (…, d) to root·y (…, d), tangent vectors, by difference, with broadcasting: (…)."""
    return _Elementwise.apply(*torch.broadcast_tensors(x, y), root)


def _polar(x: Tensor) -> tuple[Tensor, Tensor]:
    """Directions (…, d), zero for a zero vector, and norms (…, 1)."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.where(norm > torch.finfo(x.dtype).tiny, norm, torch.inf), norm


def _slope(norm: Tensor) -> Tensor:
    """sinh(2ρ)/ρ, which is 2 at 0."""
    return torch.where(norm > torch.finfo(norm.dtype).tiny, (2 * norm).sinh() / norm, 2)


class _Pairwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y, scale):
        u, rho = _polar(x)
        v, sigma = (u, rho) if y is None else _polar(y)
        with full_precision(x.device):
            sinh_u, sinh_v = (2 * rho).sinh(), (2 * sigma).sinh()
            # z = 2q, as two products: B_i B_j (1 − u_i·v_j), and sinh(ρ − σ) = sinh ρ cosh σ − cosh ρ sinh σ.
            z = torch.cat([-sinh_u * u, sinh_u], 1) @ torch.cat([sinh_v * v, sinh_v], 1).mT
            t = torch.cat([rho.sinh(), -rho.cosh()], 1) @ torch.cat([sigma.cosh(), sigma.sinh()], 1).mT
        z.clamp_min_(0).addcmul_(t, t, value=2)
        if y is None:
            z.fill_diagonal_(0)
        # √2 sqrt(q (1 + q)), each factor's root on its own: q² would overflow where distances reach 45.
        w = torch.add(1, z, alpha=0.5, out=t).sqrt_().mul_(z.sqrt())
        distances = _log1p(z.add_(w, alpha=2**0.5)).mul_(scale)
        if any(ctx.needs_input_grad):
            # Below this the difference is rounding noise, and so would be the gradient: the subgradient there is 0.
            noise = 1e-6 * torch.minimum(sinh_u.amax() * sinh_v.amax(), sinh_u.new_ones(())).sqrt()
            ctx.save_for_backward(u, rho, v, sigma, torch.where(w > noise, w, torch.inf))
            ctx.same, ctx.scale = y is None, scale * 2**0.5
        return distances

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        u, rho, v, sigma, w = ctx.saved_tensors
        with full_precision(grad.device):
            if ctx.same:
                weights = (grad + grad.mT).div_(w)
                return _pull(weights, u, rho, u, rho).mul_(ctx.scale), None, None
            weights = grad / w
            grad_x = _pull(weights, u, rho, v, sigma).mul_(ctx.scale) if ctx.needs_input_grad[0] else None
            grad_y = _pull(weights.mT, v, sigma, u, rho).mul_(ctx.scale) if ctx.needs_input_grad[1] else None
        return grad_x, grad_y, None


def _pull(weights: Tensor, u: Tensor, rho: Tensor, v: Tensor, sigma: Tensor) -> Tensor:
    """Σ_j weights_ij ∂q_ij/∂x_i: the gradient to the left points, from one matrix product (n, m) × (m, d + 1).

    ∂q/∂ρ_i = sinh 2(ρ_i − σ_j) + 2 C_i B_j h = B_i C_j − C_i B_j u_i·v_j, and across, −B_i B_j/(2ρ_i) (v_j − u_i u_i·v_j).
    """
    pulled = weights @ torch.cat([(2 * sigma).sinh() * v, (2 * sigma).cosh()], 1)
    towards, cosh = pulled[:, :-1], pulled[:, -1:]
    along = (towards * u).sum(1, keepdim=True)
    radial = (2 * rho).sinh() * cosh - (2 * rho).cosh() * along
    return u * radial - _slope(rho) / 2 * (towards - u * along)


def _log1p(z: Tensor) -> Tensor:
    """log(1 + z) in place: the rounding of 1 + z is put right to first order. Several times torch's log1p on a CPU."""
    one_more = z + 1
    lost = z.sub_(one_more.sub(1)).div_(one_more)
    return one_more.log_().add_(lost)


class _Elementwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y, root):
        (u, rho), (v, sigma) = _polar(x * root), _polar(y * root)
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
    @once_differentiable
    def backward(ctx, grad):
        x, y, u, rho, v, sigma, step, turn, h, w = ctx.saved_tensors
        weight = grad.unsqueeze(-1) / torch.where(w > 1e-15, w, torch.inf)
        sinh_x, sinh_y, slide = (2 * rho).sinh(), (2 * sigma).sinh(), (2 * step).sinh()
        # Along each radius, then across it: v − u + 2 h u is v less its part along u, by difference.
        grad_x = u * (slide + 2 * (2 * rho).cosh() * sinh_y * h) - _slope(rho) * sinh_y / 2 * (2 * h * u - turn)
        grad_y = v * (2 * (2 * sigma).cosh() * sinh_x * h - slide) - _slope(sigma) * sinh_x / 2 * (2 * h * v + turn)
        grad_x, grad_y = weight * grad_x, weight * grad_y
        grad_root = (grad_x * x + grad_y * y).sum() if ctx.needs_input_grad[2] else None
        return grad_x * ctx.root, grad_y * ctx.root, grad_root
