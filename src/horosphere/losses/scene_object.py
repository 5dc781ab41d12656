"""Scene–object contrast (Ge et al., CVPR 2023): objects on the sphere as in MoCo, scenes around them in hyperbolic space.

    L = (1 − β) L_euc + β L_dense + λ L_hyp

    L_euc    two views of an object, each the other's key among a queue of its own; directions alone count
    L_dense  the same for places of the views' grids (DenseCL); β is 0 for plain MoCo
    L_hyp    a scene among a queue of objects, with an object that it holds as its key; norms count

All are `contrast` in a space. On the sphere the papers' logits cosine/τ are −D/(2τ) and a constant.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..spaces import Hyperbolic, Space, Sphere
from ..spaces.partition import log_partition

_SPHERE = Sphere()


def contrast(space: Space, queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """−log of the share of exp(−D/τ) that a query's own key has among it and the queue: (n,).

    The reference, in float64:

        logits = -torch.cat([space.distance(queries, keys)[:, None], space.pairwise(queries, queue)], 1) / temperature
        -logits.log_softmax(1)[:, 0]

    The distances to a queue are made in blocks and never kept. Without a queue there is nothing to tell a key from: 0.

    Args:
        queries: points (n, p), which alone get a gradient where keys and queue are made without one.
        keys: points (n, p), a query's own each; their distance is taken by difference.
        queue: points (m, p), the negatives of all queries; m may be 0.
        temperature: τ > 0.
    """
    positive = space.distance(queries, keys) / temperature
    if not len(queue):
        return 0 * positive
    return torch.logaddexp(log_partition(space, queries, queue, temperature=temperature)[:, 0], -positive) + positive


def accuracy(space: Space, queries: Tensor, keys: Tensor, queue: Tensor) -> Tensor:
    """The share of queries to which their own key is nearer than all of the queue, without gradient."""
    with torch.no_grad():
        nearest = space.pairwise(queries, queue).amin(1) if len(queue) else torch.inf
        # From inner products too: by difference a key would win where all points have become one.
        own = space.pairwise(queries.unsqueeze(1), keys.unsqueeze(1)).flatten()
        return (own < nearest).float().mean()


def ball_gradient(points: Tensor, curvature: float, *, directions: bool = True) -> Tensor:
    """Hyperbolic points (n, p) as they are, whose gradient is scaled by (1 − c‖x‖²)²/4, x in the ball, as published.

    At the ball's point x = exp0(v) the published code multiplies the gradient g by s = (1 − c‖x‖²)²/4, the inverse of the
    metric, and sends J(v)ᵀ (s g) on to v, with J the derivative of exp0. s is a number, so this is s J(v)ᵀ g: the gradient
    to the tangent vector, times s. With 1 − c‖x‖² = 1 − tanh²(√c‖v‖), s = cosh(√c‖v‖)⁻⁴/4. Steps stay Euclidean: this is
    no Riemannian optimiser.

    Without `directions` (the published `decoupled`) only the part along v is left, so that the gradient moves norms alone.
    """
    fixed = points.detach()
    norm = torch.linalg.vector_norm(fixed, dim=-1, keepdim=True)
    change = points - fixed  # nothing, with the gradient of the points
    if not directions:
        along = fixed / torch.where(norm > 0, norm, torch.inf)
        change = along * (along * change).sum(-1, keepdim=True)
    return fixed + change * (curvature**0.5 * norm).cosh() ** -4 / 4


class Queue(nn.Module):
    """The latest `size` keys, (size, dim). It starts empty: what was never a key is no negative."""

    rows: Tensor

    def __init__(self, size: int, dim: int):
        super().__init__()
        self.register_buffer("rows", torch.zeros(size, dim))
        self.count = 0

    @property
    def keys(self) -> Tensor:
        """The keys in it, (m, dim), m ≤ size, in no order of interest."""
        return self.rows[: min(self.count, len(self.rows))]

    @property
    def fill(self) -> float:
        """Share of the places taken."""
        return min(1.0, self.count / len(self.rows))

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Put keys (n, dim), n ≤ size, in place of the oldest."""
        if len(keys) > len(self.rows):
            raise ValueError(f"{len(keys)} keys for a queue of {len(self.rows)}: make the queue larger")
        places = torch.arange(self.count, self.count + len(keys), device=keys.device) % len(self.rows)
        self.rows[places] = keys.to(self.rows.dtype)
        self.count += len(keys)

    def get_extra_state(self) -> int:
        return self.count

    def set_extra_state(self, state: int) -> None:
        self.count = state


class View(Protocol):
    """What the loss reads of one view of n images: `models.Projection` is one.

    points: (n, p). With a dense loss, for each of s places: dense features (n, s, dim), and the encoder's (n, s, width).
    """

    @property
    def points(self) -> Tensor: ...

    @property
    def dense(self) -> Tensor | None: ...

    @property
    def grid(self) -> Tensor | None: ...


@dataclass(frozen=True)
class _Pair:
    """Queries and their keys, points of `space`, with the queue that they are told from."""

    term: str
    space: Space
    queries: Tensor
    keys: Tensor
    queue: Tensor
    temperature: float


class SceneObjectContrast(nn.Module):
    """Scene–object contrast of queries with keys (HCL; λ = 0 is MoCo v2, or with a dense share DenseCL).

    Points are those of `space`, tangent vectors at the origin; their directions are the points on the sphere. Queues hold
    the keys of earlier steps: `forward` reads them; after a step `new_keys` says what is to be pushed.

    Args:
        space: the hyperbolic space of scenes and objects; published: c = 0.05, no clip.
        dim: columns of points, and of dense features.
        queue: keys that each queue holds.
        weight: λ, of the hyperbolic loss. With 0 no third projection is asked for, and there is no queue of objects.
        temperature, hyperbolic_temperature: τ of cosine, and of hyperbolic distance.
        gradient: "coupled", the scaled gradient of `ball_gradient`, or "decoupled", its part along the norm.
        dense_share: β < 1, DenseCL's share of the loss of objects.

    Raises:
        ValueError: for an option outside its range.
    """

    def __init__(
        self,
        space: Hyperbolic,
        dim: int,
        *,
        queue: int = 65536,
        weight: float = 0.1,
        temperature: float = 0.2,
        hyperbolic_temperature: float = 0.2,
        gradient: Literal["coupled", "decoupled"] = "coupled",
        dense_share: float = 0.0,
    ):
        super().__init__()
        if not (temperature > 0 and hyperbolic_temperature > 0):
            raise ValueError(f"temperatures {temperature} and {hyperbolic_temperature}: expected positive numbers")
        if not (weight >= 0 and 0 <= dense_share < 1):
            raise ValueError(f"weight={weight}, dense_share={dense_share}: expected 0 or more, and 0 to below 1")
        if gradient not in ("coupled", "decoupled"):
            raise ValueError(f"gradient={gradient!r}: expected 'coupled' or 'decoupled'")
        self.space, self.gradient = space, gradient
        self.temperature, self.hyperbolic_temperature = temperature, hyperbolic_temperature
        shares = {"euclidean": 1 - dense_share, "dense": dense_share, "hyperbolic": weight}
        #: Of each term that takes part.
        self.shares = {term: share for term, share in shares.items() if share}
        queues = {"euclidean": ("first", "second"), "dense": ("dense first", "dense second"), "hyperbolic": ("objects",)}
        self.queues = nn.ModuleDict({name: Queue(queue, dim) for term in self.shares for name in queues[term]})

    def forward(self, queries: Sequence[View], keys: Sequence[View]) -> dict[str, Tensor]:
        """`loss` and those of its terms `euclidean`, `dense` and `hyperbolic` that take part: means over the images.

        Args:
            queries: the projections of an object's two views, and with a weight λ that of a scene around it.
            keys: the projections of the same two views by the momentum encoder, and with λ that of the object.
        """
        rows: dict[str, list[Tensor]] = {term: [] for term in self.shares}
        for pair in self._pairs(queries, keys):
            rows[pair.term].append(contrast(pair.space, pair.queries, pair.keys, pair.queue, pair.temperature).mean())
        terms = {term: torch.stack(means).mean() for term, means in rows.items()}
        return {"loss": torch.stack([share * terms[term] for term, share in self.shares.items()]).sum(), **terms}

    @property
    def scenes(self) -> bool:
        """Whether scenes take part: λ > 0."""
        return "hyperbolic" in self.shares

    @property
    def fill(self) -> float:
        """Share of the queues' places that are taken."""
        return cast(Queue, self.queues["first"]).fill

    def keys(self, queue: str) -> Tensor:
        """What is in a queue (m, dim)."""
        return cast(Queue, self.queues[queue]).keys

    def push(self, new: Mapping[str, Tensor]) -> None:
        """Put the whole batch's `new_keys` into the queues."""
        for name, rows in new.items():
            cast(Queue, self.queues[name]).push(rows)

    def accuracy(self, queries: Sequence[View], keys: Sequence[View]) -> dict[str, Tensor]:
        """For each term the share of queries to which their own key is nearer than all of their queue."""
        rows: dict[str, list[Tensor]] = {term: [] for term in self.shares}
        for pair in self._pairs(queries, keys):
            rows[pair.term].append(accuracy(pair.space, pair.queries, pair.keys, pair.queue))
        return {term: torch.stack(means).mean() for term, means in rows.items()}

    def new_keys(self, keys: Sequence[View]) -> dict[str, Tensor]:
        """What these keys add to each queue, (n, dim): of a grid its mean, as DenseCL."""
        new = {}
        for term in self.shares:
            if term == "euclidean":
                new |= {"first": _SPHERE(keys[0].points), "second": _SPHERE(keys[1].points)}
            elif term == "dense":
                means = [view.dense.mean(1) for view in keys[:2] if view.dense is not None]
                new |= {"dense first": _SPHERE(means[0]), "dense second": _SPHERE(means[1])}
            else:
                new["objects"] = keys[2].points
        return new

    def _pairs(self, queries: Sequence[View], keys: Sequence[View]) -> Iterator[_Pair]:
        # Each view is the other's key, among earlier keys of that other view.
        for query, key, other in ((queries[0], keys[1], "second"), (queries[1], keys[0], "first")):
            for term in self.shares:
                if term == "euclidean":
                    yield self._on_sphere(term, query.points, key.points, other)
                elif term == "dense":
                    yield self._on_sphere(term, *_places(query, key), f"dense {other}")
        if self.scenes:
            scenes = ball_gradient(queries[2].points, self.space.curvature, directions=self.gradient == "coupled")
            queue = self.keys("objects")
            yield _Pair("hyperbolic", self.space, scenes, keys[2].points, queue, self.hyperbolic_temperature)

    def _on_sphere(self, term: str, queries: Tensor, keys: Tensor, queue: str) -> _Pair:
        # cosine/τ is −D/(2τ) and a constant.
        return _Pair(term, _SPHERE, _SPHERE(queries), _SPHERE(keys), self.keys(queue), 2 * self.temperature)


def _places(query: View, key: View) -> tuple[Tensor, Tensor]:
    """Dense features of all places of a view, and of the places of the other view that look most alike: (n · s, dim) each.

    Alike is the cosine of the encoder's own features (DenseCL, Eq. 3).
    """
    assert query.dense is not None and query.grid is not None and key.dense is not None and key.grid is not None
    with torch.no_grad():
        alike = (query.grid @ normalize(key.grid, dim=2).mT).argmax(2)
        keys = key.dense.gather(1, alike.unsqueeze(2).expand(-1, -1, key.dense.shape[2]))
    return query.dense.flatten(0, 1), keys.flatten(0, 1)
