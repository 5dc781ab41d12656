"""What every space can do: place features, measure distances, describe itself."""

from abc import ABC, abstractmethod
from functools import reduce

import torch
from torch import Tensor, nn

from .gram import Gram, distances

#: How far a norm may stand off before points are refused as un-projected features (half precision included).
NORM_TOLERANCE = 5e-3


class Space(nn.Module, ABC):
    """A geometry: how features become points, and how far apart points are.

    Features are (n, d) and Euclidean; points are one tensor (n, `dim(d)`). Distances are computed in float32, or float64
    where the points are float64, whatever autocast says.
    """

    #: False where no single point is the origin (the sphere), so that `radius` has no meaning.
    has_origin: bool = True

    @property
    def name(self) -> str:
        """One word for tables and logs."""
        return type(self).__name__.lower()

    @property
    def reach(self) -> float:
        """Largest √c‖v‖ of a hyperbolic part's points, infinite where nothing bounds it; 0 without one."""
        return 0.0

    @property
    @abstractmethod
    def diameter(self) -> float:
        """Largest distance of two points, infinite where nothing bounds it."""

    def dim(self, features: int) -> int:
        """Columns of the points that `features` columns of features give."""
        return features

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Features (n, d) → points (n, `dim(d)`), float32 or float64."""

    @abstractmethod
    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Distance of points with points, elementwise with broadcasting: (…, p), (…, p) → (…).

        Computed by difference: exact at coincidence, where it is 0 and its subgradient is 0.
        """

    @abstractmethod
    def gram(self, x: Tensor) -> list[Gram]:
        """Points (…, n, p), lifted so that distance follows from inner products: one `Gram` a part, whose distances add."""

    def pairwise(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Distance of every point of `x` (…, n, p) with every point of `y` (…, m, p), or of `x`: (…, n, m).

        Computed from inner products (see `spaces.gram`). Without `y` the diagonal is exactly 0.
        """
        own = self.gram(x)
        others = [None] * len(own) if y is None else self.gram(y)
        return reduce(torch.add, (distances(a, b) for a, b in zip(own, others, strict=True)))

    @abstractmethod
    def radius(self, x: Tensor) -> Tensor:
        """Distance of points (…, p) to the origin: (…). Raises ValueError where the space has no origin."""

    @abstractmethod
    def centroids(self, x: Tensor, owner: Tensor, count: int) -> Tensor:
        """The mean of each group of points x (n, p), whose groups are `owner` (n,), from 0 to `count` − 1: (count, p).

        A group without points gets zeros. A mean of points at one fixed radius lies within it.
        """

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """The nearest points of this space to what lies just off it, a mean or a point moved: (…, p) → (…, p)."""

    @abstractmethod
    def geodesic(self, x: Tensor, y: Tensor, t: float) -> Tensor:
        """Points on the geodesics from points x to points y (…, p) at the fraction `t` of their length: (…, p).

        0 is x, 1 is y, 1/2 the midpoint; above 1 the geodesic goes on beyond y, below 0 beyond x. The result is a point of
        the space: where that has a bound, the geodesic's point is brought back to it.
        """

    @abstractmethod
    def lift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Points (n, p) → (queries, keys), each (n, q), whose inner products rank as −distance.

        For one query the ranking over keys is exact in exact arithmetic. Raises ValueError where no such lift exists.
        """

    @abstractmethod
    def telemetry(self, x: Tensor) -> dict[str, float]:
        """What to watch in points (n, p) while training, as plain numbers."""

    @abstractmethod
    def check(self, x: Tensor) -> None:
        """Raise ValueError where `x` cannot be points of this space: most often features that were never placed in it."""

    @abstractmethod
    def describe(self, *, settled: bool = False) -> dict:
        """The space as it was made, as JSON-able values: `horosphere.spaces.from_description` makes it again.

        What it has learned since is in its `state_dict`; with `settled=True` the description has the learned values, fixed.
        """


def sums(values: Tensor, owner: Tensor, count: int) -> Tensor:
    """Σ of the rows of `values` (n, d) that each of `count` groups owns: (count, d), in float64."""
    values = values.double()
    return values.new_zeros(count, values.shape[1]).index_add(0, owner.to(values.device), values)


def check_finite(x: Tensor, space: str) -> None:
    """Raise ValueError where points are not a finite (n, p) tensor."""
    if x.ndim != 2:
        raise ValueError(f"points of {space} are a matrix (n, p); given: shape {tuple(x.shape)}")
    if not torch.isfinite(x).all():
        bad = int((~torch.isfinite(x)).any(1).sum())
        raise ValueError(f"{bad} of {len(x)} points of {space} hold NaN or infinity; look at the features they came from")


def quantiles(values: Tensor, prefix: str) -> dict[str, float]:
    """The 5, 50 and 95 % quantiles of a vector, as `prefix_q05`, …"""
    # torch.quantile takes no more than 16 million; every n-th value, because rows may come class after class.
    values = values[:: 1 + len(values) // 100_000].float()
    q = torch.quantile(values, torch.tensor([0.05, 0.5, 0.95], device=values.device))
    return {f"{prefix}_q{name}": float(v) for name, v in zip(("05", "50", "95"), q, strict=True)}
