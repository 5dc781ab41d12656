"""Hyperbolic space, with points kept as clipped tangent vectors at the origin."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from . import geodesic, poincare
from .gram import Gram
from .poincare import rescale
from .precision import at_least_float32, full_precision
from .space import NORM_TOLERANCE, Space, check_finite, quantiles, sums

#: A point this close to its clip radius counts as clipped.
AT_CLIP = 1 - 1e-4


class Hyperbolic(Space):
    """Hyperbolic space of sectional curvature −c, c = `curvature` > 0.

    A point is a tangent vector v at the origin, clipped to norm `clip`; its place in the Poincaré ball is
    exp0(v) = tanh(√c‖v‖) v/(√c‖v‖), and its distance to the origin is 2‖v‖ (Lorentz libraries often use ‖v‖). So points
    know no boundary and survive half precision. √c · clip says how hyperbolic a model can be: 0.727 with the defaults,
    which are Hyp-ViT's, and the largest distance is 4 · clip.

    Args:
        curvature: c; the start value where it is learned.
        clip: largest norm of a point, or None for no clip (Hyp-ViT, Eq. 7).
        clipping: "hard" cuts at the clip as published; "soft" is clip · tanh(‖v‖/clip), whose gradient never vanishes.
        radius: a norm that every point gets, in place of clipping: distance is then a monotone function of cosine (the
            control that HypMix's published code trains).
        learnable_curvature: learn log c, bounded smoothly by `curvature_bounds`.
        curvature_bounds: the open interval in which a learned curvature stays.

    Raises:
        ValueError: for an option outside its range.
    """

    def __init__(
        self,
        curvature: float = 0.1,
        clip: float | None = 2.3,
        *,
        clipping: str = "hard",
        radius: float | None = None,
        learnable_curvature: bool = False,
        curvature_bounds: tuple[float, float] = (1e-3, 10.0),
    ):
        super().__init__()
        if not (curvature > 0 and math.isfinite(curvature)):
            raise ValueError(f"curvature={curvature}: c is a positive number (the sectional curvature is −c)")
        if clip is not None and not clip > 0:
            raise ValueError(f"clip={clip}: the clip radius is a positive norm, or None for no clip")
        if clipping not in ("hard", "soft"):
            raise ValueError(f"clipping={clipping!r}: expected 'hard' or 'soft'")
        if radius is not None and not radius > 0:
            raise ValueError(f"radius={radius}: a fixed radius is a positive norm, or None for a free one")
        self.clip, self.clipping, self.fixed_radius = clip, clipping, radius
        self.curvature_bounds = tuple(curvature_bounds)
        self._curvature = float(curvature)
        if learnable_curvature:
            low, high = (math.log(bound) for bound in curvature_bounds)
            share = (math.log(curvature) - low) / (high - low)
            if not 0 < share < 1:
                raise ValueError(f"curvature={curvature} must lie strictly inside curvature_bounds={curvature_bounds}")
            self.log_curvature = nn.Parameter(torch.tensor(math.log(share / (1 - share))))
        else:
            self.log_curvature = None

    def _c(self) -> Any:
        """c: a number where it is fixed (exact in every dtype), a tensor in the graph where it is learned."""
        if self.log_curvature is None:
            return self._curvature
        low, high = (math.log(bound) for bound in self.curvature_bounds)
        # A sigmoid in log c keeps c inside its bounds without a clamp that would stop the gradient.
        return (low + (high - low) * self.log_curvature.sigmoid()).exp()

    @property
    def curvature(self) -> float:
        """c as it is now."""
        return float(self._c() if self.log_curvature is None else self._c().detach())

    @property
    def diameter(self) -> float:
        """Four times the largest norm."""
        return 4 * self._largest_norm

    @property
    def _largest_norm(self) -> float:
        largest = self.clip if self.fixed_radius is None else self.fixed_radius
        return math.inf if largest is None else largest

    @property
    def reach(self) -> float:
        c = self._curvature if self.log_curvature is None else self.curvature_bounds[1]
        return c**0.5 * self._largest_norm

    def forward(self, features: Tensor) -> Tensor:
        v = at_least_float32(features)
        if self.fixed_radius is not None:
            # Below the smallest useful norm a vector has no direction and stays where it is.
            return rescale(v, lambda n: self.fixed_radius * (n / 1e-12).clamp_max(1))
        if self.clip is None:
            return v
        if self.clipping == "soft":
            return rescale(v, lambda n: self.clip * (n / self.clip).tanh())
        norm = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
        # Dividing by the larger of norm and clip, and not min(1, clip/norm), keeps the gradient at v = 0 finite.
        return v * (self.clip / norm.clamp_min(self.clip))

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        root = self._c() ** 0.5
        return geodesic.elementwise(at_least_float32(x), at_least_float32(y), root) / root

    def gram(self, x: Tensor) -> list[Gram]:
        return [Gram.hyperbolic(at_least_float32(x), self._c() ** 0.5)]

    def radius(self, x: Tensor) -> Tensor:
        """2‖v‖."""
        return 2 * torch.linalg.vector_norm(at_least_float32(x), dim=-1)

    def centroids(self, x: Tensor, owner: Tensor, count: int) -> Tensor:
        """Lorentz centroids, which minimise Σ cosh(√c D) (Law et al., ICML 2019); of two points, the midpoint.

        They are the Einstein midpoints, Σ γ k/Σ γ of Klein coordinates k with γ = 1/√(1 − c‖k‖²). The reference:

            total = sums(self.to_lorentz(x), owner, count)
            self.from_klein(total[:, 1:] / total[:, :1] / √c)

        Far out a Klein coordinate comes too near 1 to tell its radius, so time − ‖space‖ is summed from positive terms:
        e^(−2ρ) + sinh 2ρ ‖u − n‖²/2, n the centroid's direction.
        """
        root, owner = self._c() ** 0.5, owner.to(x.device)
        u, rho = geodesic.polar(x.double())
        rho = 2 * root * rho
        n, space = geodesic.polar(sums(rho.sinh() * u, owner, count))
        short = sums((-rho).exp() + rho.sinh() * (u - n[owner]).square().sum(1, keepdim=True) / 2, owner, count)
        # artanh(space/time) = ½ log((time + space)/(time − space)), and time = short + space.
        eta = torch.where(space > 0, (2 * space / short).log1p() / 2, 0.0)
        return (n * eta / (2 * root)).to(at_least_float32(x[:0]).dtype)

    def ancestor_depth(self, x: Tensor, y: Tensor, *, norm: float | Tensor | None = None) -> Tensor:
        """Depth, as a distance from the origin, of the lowest common ancestor of points with points: (…, d), (…, d) → (…).

        Points of any radii have the Gromov product ½ (d_x + d_y − D), which is a point's own radius for a point with itself
        or with one behind it. With `norm` every point counts as its direction at that one norm; then it is the depth of
        the geodesic's nearest point to the origin (HypHC, Chami et al., NeurIPS 2020), smooth but for opposite points,
        where it is 0 and its subgradient too.
        """
        if norm is None:
            return (self.radius(x) + self.radius(y) - self.distance(x, y)) / 2
        u, v = (geodesic.polar(at_least_float32(z))[0] for z in (x, y))
        cosine_half = torch.linalg.vector_norm(u + v, dim=-1) / 2
        return self._midpoint_depth(cosine_half, (u - v).square().sum(-1) / 4, norm)

    def pairwise_ancestor_depth(self, x: Tensor, y: Tensor | None = None, *, norm: float | Tensor | None = None) -> Tensor:
        """`ancestor_depth` of every point of `x` (n, d) with every point of `y` (m, d), or of `x`: (n, m).

        From one matrix of inner products, so that coincident points are as deep as its rounding allows.
        """
        if norm is None:
            own = self.radius(x)
            return (own.unsqueeze(1) + (own if y is None else self.radius(y)) - self.pairwise(x, y)) / 2
        u, v = (geodesic.polar(at_least_float32(z))[0] for z in (x, x if y is None else y))
        with full_precision(x.device):
            cosine = u @ v.mT
        half = ((1 - cosine) / 2).clamp(0, 1)
        return self._midpoint_depth((1 - half).sqrt(), half, norm)

    def _midpoint_depth(self, cosine_half: Tensor, h: Tensor, norm: float | Tensor) -> Tensor:
        """Depth of the middle of the geodesic between two points of one norm, from the cosine of half their angle and the
        square h of its sine: asinh(B √(1 − h)/√(1 + B² h))/√c with B = sinh(2 √c norm)."""
        root = self._c() ** 0.5
        sinh = torch.as_tensor(2 * root * norm, dtype=h.dtype, device=h.device).sinh()
        return (sinh * cosine_half / (1 + sinh.square() * h).sqrt()).asinh() / root

    def project(self, x: Tensor) -> Tensor:
        """At the fixed radius, or within the clip; the rest as it is."""
        x = at_least_float32(x)
        if self.fixed_radius is not None:
            return self(x)
        if self.clip is None:
            return x
        return x * (self.clip / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(self.clip))

    def geodesic(self, x: Tensor, y: Tensor, t: float) -> Tensor:
        """On the hyperboloid (sinh((1 − t)δ) X + sinh(tδ) Y)/sinh δ, δ = √c D, by terms that do not cancel, in float64;
        then `project`.

        The coordinates are right to 1e-10 wherever 2√c‖x‖, 2√c‖y‖, δ and tδ are within 700. What their own rounding moves a
        point by grows with e^(2√c‖·‖): beyond √c‖·‖ of about 15, distances between rounded points can show it.
        """
        dtype = torch.promote_types(at_least_float32(x[:0]).dtype, at_least_float32(y[:0]).dtype)
        root = self._c() ** 0.5
        return self.project(geodesic.along(x.double() * root, y.double() * root, t) / root).to(dtype)

    def lift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The Lorentz lift: ⟨q, k⟩ = −cosh(√c D), the query's time coordinate negated."""
        keys = self.to_lorentz(x) * self._c() ** 0.5
        return torch.cat([-keys[:, :1], keys[:, 1:]], 1), keys

    def telemetry(self, x: Tensor) -> dict[str, float]:
        """`curvature`, `clip_fraction` (points at the clip), `radius_spread` (standard deviation of ‖v‖ over its mean) and
        quantiles of √c‖v‖."""
        norm = torch.linalg.vector_norm(at_least_float32(x), dim=-1).detach()
        out = {"curvature": self.curvature}
        if self.fixed_radius is None and self.clip is not None:
            # A soft clip is never reached: there, 1 % short of it counts.
            edge = self.clip * (AT_CLIP if self.clipping == "hard" else 0.99)
            out["clip_fraction"] = float((norm >= edge).float().mean())
        mean = float(norm.mean())
        out["radius_spread"] = float(norm.std(correction=0)) / mean if mean > 0 else 0.0
        return out | quantiles(norm * self.curvature**0.5, "sqrt_c_norm")

    def check(self, x: Tensor) -> None:
        check_finite(x, "hyperbolic space")
        norms = torch.linalg.vector_norm(at_least_float32(x), dim=1)
        if self.fixed_radius is not None:
            off = ((norms - self.fixed_radius).abs() > NORM_TOLERANCE * self.fixed_radius) & (norms > 0)
            expected = f"{self.fixed_radius:g} (the fixed radius)"
        elif self.clip is not None:
            off, expected = norms > self.clip * (1 + NORM_TOLERANCE), f"at most {self.clip:g} (the clip)"
        else:
            return
        if off.any():
            raise ValueError(
                f"{int(off.sum())} of {len(x)} points have a norm such as {float(norms[off][0]):.4g}, expected {expected}: "
                "these look like features; place them first with points = space(features)"
            )

    def describe(self, *, settled: bool = False) -> dict:
        return {
            "kind": "hyperbolic",
            "curvature": self.curvature if settled else self._curvature,
            "clip": self.clip,
            "clipping": self.clipping,
            "radius": self.fixed_radius,
            "learnable_curvature": self.log_curvature is not None and not settled,
            "curvature_bounds": list(self.curvature_bounds),
        }

    # Other models of the same space. Each `to_` takes points (…, d), each `from_` gives points (…, d).

    def to_poincare(self, x: Tensor) -> Tensor:
        """Ball coordinates (…, d), inside radius 1/√c."""
        root = self._c() ** 0.5
        return rescale(at_least_float32(x), lambda n: (root * n).tanh() / root)

    def from_poincare(self, ball: Tensor) -> Tensor:
        """Points from ball coordinates (…, d). Raises ValueError on or outside the boundary."""
        root = self._c() ** 0.5
        ball = at_least_float32(ball)
        self._check_inside(ball * root, "ball")
        return rescale(ball, lambda n: (root * n).atanh() / root)

    def to_lorentz(self, x: Tensor) -> Tensor:
        """Hyperboloid coordinates (…, d + 1), time first, ⟨x, x⟩ = −1/c."""
        root = self._c() ** 0.5
        x = at_least_float32(x)
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return torch.cat([(2 * root * norm).cosh() / root, rescale(x, lambda n: (2 * root * n).sinh() / root)], -1)

    def from_lorentz(self, hyperboloid: Tensor) -> Tensor:
        """Points from hyperboloid coordinates (…, d + 1), time first; only the space part is read."""
        root = self._c() ** 0.5
        return rescale(at_least_float32(hyperboloid)[..., 1:], lambda n: (root * n).asinh() / (2 * root))

    def to_klein(self, x: Tensor) -> Tensor:
        """Klein disk coordinates (…, d), inside radius 1/√c, where geodesics are straight."""
        root = self._c() ** 0.5
        return rescale(at_least_float32(x), lambda n: (2 * root * n).tanh() / root)

    def from_klein(self, klein: Tensor) -> Tensor:
        """Points from Klein disk coordinates (…, d). Raises ValueError on or outside the boundary."""
        root = self._c() ** 0.5
        klein = at_least_float32(klein)
        self._check_inside(klein * root, "Klein disk")
        return rescale(klein, lambda n: (root * n).atanh() / (2 * root))

    def _check_inside(self, scaled: Tensor, model: str) -> None:
        norms = torch.linalg.vector_norm(scaled, dim=-1)
        if not (norms < 1).all():
            raise ValueError(
                f"coordinates outside the {model}: √c‖x‖ reaches {float(norms.max()):.6g}, expected below 1 for "
                f"c = {self.curvature:g}; check the curvature, or convert in float64"
            )

    # Maps between points, through the ball.

    def expmap(self, x: Tensor, v: Tensor) -> Tensor:
        """The point reached from point x (…, d) along tangent vector v (…, d) at x, in ball coordinates; length λ_x‖v‖."""
        with full_precision(x.device):
            return self.from_poincare(poincare.expmap(self.to_poincare(x), at_least_float32(v), self._c()))

    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        """The tangent vector at point x (…, d), in ball coordinates, whose `expmap` is point y (…, d)."""
        with full_precision(x.device):
            return poincare.logmap(self.to_poincare(x), self.to_poincare(y), self._c())

    def mobius_add(self, x: Tensor, y: Tensor) -> Tensor:
        """x ⊕ y for points (…, d): the translation that takes the origin to x, applied to y."""
        with full_precision(x.device):
            return self.from_poincare(poincare.mobius_add(self.to_poincare(x), self.to_poincare(y), self._c()))

    def midpoint(self, x: Tensor, y: Tensor) -> Tensor:
        """The point half way along the geodesic from point x (…, d) to point y (…, d)."""
        total = self.to_lorentz(x) + self.to_lorentz(y)
        # ⟨total, total⟩ = −(2 cosh(√c D/2))²/c, taken from the distance because the Lorentz product would cancel.
        root = self._c() ** 0.5
        half = (root * self.distance(x, y) / 2).cosh()
        return self.from_lorentz(total / (2 * half.unsqueeze(-1)))
