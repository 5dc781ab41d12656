"""A mixture of spaces: the weighted sum of their distances."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from .gram import Gram
from .space import Space
from .sphere import Sphere


class Mixed(Space):
    """D(x, y) = Σ_m weight_m · D_m(x_m, y_m) over any number of parts (HypMix, Eq. 10).

    Every part sees all features unless `slices` gives each its columns, or the features come as one tensor a part. The
    parts' points are concatenated, in order. A part of fixed weight 0 keeps its columns but is not computed.

    Args:
        parts: the spaces; two or more of one kind, at several curvatures say, are fine.
        weights: one non-negative number a part; 1 each by default.
        slices: (start, stop) columns of the features for each part.
        learnable_weights: learn the weights; they stay positive and their sum stays what it was, so that the temperature
            keeps its meaning.

    Raises:
        ValueError: for no parts, nested mixtures, or weights that do not fit.
    """

    #: The spaces; an nn.ModuleList, which does not tell the type of what it holds.
    parts: Any

    def __init__(
        self,
        parts: Sequence[Space],
        weights: Sequence[float] | None = None,
        *,
        slices: Sequence[tuple[int, int]] | None = None,
        learnable_weights: bool = False,
    ):
        super().__init__()
        weights = [1.0] * len(parts) if weights is None else [float(weight) for weight in weights]
        if not parts:
            raise ValueError("a mixture needs at least one part")
        if any(isinstance(part, Mixed) for part in parts):
            raise ValueError("a mixture's part is itself a mixture; give all parts to one Mixed")
        if len(weights) != len(parts):
            raise ValueError(f"{len(parts)} parts but {len(weights)} weights; give one weight a part")
        if any(not 0 <= weight < float("inf") for weight in weights) or not any(weights):
            raise ValueError(f"weights={weights}: expected numbers of at least 0, and one above it")
        if slices is not None and len(slices) != len(parts):
            raise ValueError(f"{len(parts)} parts but {len(slices)} slices; give one (start, stop) a part")
        if slices is not None and any(not 0 <= start < stop for start, stop in slices):
            raise ValueError(f"slices={list(slices)}: expected (start, stop) with 0 <= start < stop")
        if learnable_weights and not all(weights):
            raise ValueError(
                f"weights={weights}: a learned weight must start above 0; leave the part out, or fix the weights"
            )
        self.parts = nn.ModuleList(parts)
        self.slices = None if slices is None else [tuple(columns) for columns in slices]
        self._weights = weights
        if learnable_weights:
            self.log_weights = nn.Parameter(torch.tensor(weights).log())
        else:
            self.log_weights = None
        self.has_origin = any(part.has_origin for part in parts)

    def _w(self) -> Any:
        """The weights: numbers where fixed, a tensor in the graph where learned."""
        return self._weights if self.log_weights is None else sum(self._weights) * self.log_weights.softmax(0)

    @property
    def weights(self) -> list[float]:
        """The parts' weights as they are now."""
        return self._weights if self.log_weights is None else self._w().detach().tolist()

    @property
    def reach(self) -> float:
        return max(part.reach for part in self.parts)

    @property
    def diameter(self) -> float:
        return sum(weight * part.diameter for weight, part in zip(self.weights, self.parts, strict=True) if weight)

    @property
    def names(self) -> list[str]:
        """The parts' names, numbered where two are alike: ["sphere", "hyperbolic1", "hyperbolic2"]."""
        count, seen, names = Counter(part.name for part in self.parts), Counter(), []
        for part in self.parts:
            seen[part.name] += 1
            names.append(part.name if count[part.name] == 1 else f"{part.name}{seen[part.name]}")
        return names

    def dim(self, features: int) -> int:
        if self.slices is None:
            return features * len(self.parts)
        if (needed := max(stop for _, stop in self.slices)) > features:
            raise ValueError(f"the slices need {needed} columns of features; given: {features}")
        return sum(stop - start for start, stop in self.slices)

    def forward(self, features: Tensor | Sequence[Tensor]) -> Tensor:
        """Features (n, d), or one tensor of them a part, → points (n, `dim(d)`)."""
        if not isinstance(features, Tensor):
            if len(features) != len(self.parts) or self.slices is not None:
                raise ValueError(f"{len(features)} tensors of features for {len(self.parts)} parts (slices: {self.slices})")
        elif self.slices is None:
            features = [features] * len(self.parts)
        else:
            self.dim(features.shape[-1])
            features = [features[..., start:stop] for start, stop in self.slices]
        return torch.cat([part(own) for part, own in zip(self.parts, features, strict=True)], -1)

    def split(self, points: Tensor) -> tuple[Tensor, ...]:
        """Points (…, p) → each part's own points, as views."""
        if self.slices is not None:
            widths = [stop - start for start, stop in self.slices]
        else:
            widths = [points.shape[-1] // len(self.parts)] * len(self.parts)
        if sum(widths) != points.shape[-1]:
            raise ValueError(
                f"points of this mixture have {sum(widths) if self.slices else f'a multiple of {len(self.parts)}'} columns; "
                f"given: {points.shape[-1]}. Place features first with points = space(features)"
            )
        return points.split(widths, -1)

    def _active(self, *points: Tensor) -> list[tuple[Any, ...]]:
        """(part, weight, its own points …) of the parts that count."""
        parts = zip(self.parts, self._w(), *(self.split(p) for p in points), strict=True)
        return [part for part in parts if not (isinstance(part[1], float) and part[1] == 0)]

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        # From the first term, not from zeros: a mixture of one part is that part to the bit.
        return reduce(torch.add, (weight * part.distance(a, b) for part, weight, a, b in self._active(x, y)))

    def gram(self, x: Tensor) -> list[Gram]:
        # Products of contiguous columns round as they do in the part alone.
        lifted = [(weight, gram) for part, weight, own in self._active(x) for gram in part.gram(own.contiguous())]
        return [replace(gram, scale=weight * gram.scale) for weight, gram in lifted]

    def radius(self, x: Tensor) -> Tensor:
        """The weighted sum of the radii of the parts that have an origin."""
        if not self.has_origin:
            raise ValueError("no part of this mixture has an origin, so its points have no radius")
        parts = zip(self.parts, self._w(), self.split(x), strict=True)
        return sum(weight * part.radius(own) for part, weight, own in parts if part.has_origin)

    def centroids(self, x: Tensor, owner: Tensor, count: int) -> Tensor:
        """Each part's own."""
        parts = zip(self.parts, self.split(x), strict=True)
        return torch.cat([part.centroids(own, owner, count) for part, own in parts], 1)

    def project(self, x: Tensor) -> Tensor:
        """Each part's own."""
        return torch.cat([part.project(own) for part, own in zip(self.parts, self.split(x), strict=True)], -1)

    def geodesic(self, x: Tensor, y: Tensor, t: float) -> Tensor:
        """Each part's own, at the same share."""
        parts = zip(self.parts, self.split(x), self.split(y), strict=True)
        return torch.cat([part.geodesic(a, b, t) for part, a, b in parts], -1)

    def lift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Exact for one part, or for spheres alone, whose cosines add."""
        active = [
            (part, weight, own) for part, weight, own in zip(self.parts, self.weights, self.split(x), strict=True) if weight
        ]
        if len(active) == 1:
            return active[0][0].lift(active[0][2])
        if all(isinstance(part, Sphere) for part, _, _ in active):
            keys = torch.cat([part.lift(own)[1] * weight**0.5 for part, weight, own in active], 1)
            return keys, keys
        raise ValueError("distances of this mixture are no function of one inner product, so it has no exact lift")

    def telemetry(self, x: Tensor) -> dict[str, float]:
        """Each part's own, behind its name, and the weights where they are learned."""
        out = {}
        for name, part, weight, own in zip(self.names, self.parts, self.weights, self.split(x), strict=True):
            out |= {f"{name}/{key}": value for key, value in part.telemetry(own).items()}
            if self.log_weights is not None:
                out[f"{name}/weight"] = weight
        return out

    def check(self, x: Tensor) -> None:
        if x.ndim != 2:
            raise ValueError(f"points of a mixture are a matrix (n, p); given: shape {tuple(x.shape)}")
        for name, part, own in zip(self.names, self.parts, self.split(x), strict=True):
            try:
                part.check(own)
            except ValueError as error:
                raise ValueError(f"part {name!r} of the mixture: {error}") from None

    def describe(self, *, settled: bool = False) -> dict:
        return {
            "kind": "mixed",
            "parts": [part.describe(settled=settled) for part in self.parts],
            "weights": self.weights if settled else self._weights,
            "slices": None if self.slices is None else [list(columns) for columns in self.slices],
            "learnable_weights": self.log_weights is not None and not settled,
        }
