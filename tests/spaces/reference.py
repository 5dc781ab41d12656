"""Plain float64 restatements, written from the formulas of the papers and not from the package."""

import torch


def hyperbolic_distance(x, y, c):
    """2/√c artanh(√c‖(−x) ⊕ y‖) with x, y = exp0 of tangent vectors (n, d) and (m, d), in float64: (n, m)."""
    x, y = exp0(x.double(), c)[:, None], exp0(y.double(), c)[None]
    xy, xx, yy = (-x * y).sum(-1, keepdim=True), (x * x).sum(-1, keepdim=True), (y * y).sum(-1, keepdim=True)
    added = ((1 + 2 * c * xy + c * yy) * -x + (1 - c * xx) * y) / (1 + 2 * c * xy + c * c * xx * yy)
    return 2 / c**0.5 * torch.atanh(c**0.5 * added.norm(dim=-1))


def exp0(v, c):
    norm = v.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    return torch.tanh(c**0.5 * norm) * v / (c**0.5 * norm)


def half_angle(x, y):
    """h = (1 − cosine)/2 between rows, (n, m), in float64 by difference."""
    x, y = (v.double() / v.double().norm(dim=1, keepdim=True) for v in (x, y))
    return (x[:, None] - y[None]).square().sum(-1) / 4
