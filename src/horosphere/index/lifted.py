"""A mixture searched part by part through one field of inner products, with proof that no item was missed.

A server that holds one vector an item, and ranks by inner product alone, can still find the nearest in D = Σ λ_m D_m,
whatever the weights λ. An item's vector is its parts' keys side by side (`evaluation.scores`), and a query's vector is 0 but
for the part it asks about, so that the product is that part's excess e_m, and D_m grows with e_m. The query's is
`exact.lowered`: what float32 computes is then a bound on e_m from below, for every item.

Where the last of a part's list of nearest items has the bound τ_m, an item in no part's list has e_m ≥ τ_m in each, so that

    D ≥ Σ λ_m D_m(τ_m)

(the threshold algorithm: Fagin, Lotem and Naor, Optimal aggregation algorithms for middleware, PODS 2001). When that exceeds
the k-th distance among the lists' items, nothing else can be among the k nearest. Of one part that is so as soon as its
list is longer than k by what float32 cannot tell apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from ..errors import InputError
from ..evaluation.scores import distance_, lift, scale
from ..spaces import Mixed, Space
from .exact import lowered

#: A key that float32 still multiplies safely: √c‖v‖ of 17.
_LARGEST = 1e15


@dataclass(frozen=True)
class Question:
    """What is nearest in one part: vectors (b, q), float32, whose inner products with keys are −(a bound on the excess)."""

    part: Space
    weight: float
    vectors: Tensor

    def floor(self, bound: Tensor) -> Tensor:
        """The least that the part adds to the distance of an item whose excess is at least `bound` (…): float64 (…)."""
        return scale(self.part, self.weight) * distance_(self.part, bound.double().clamp_min(0))


def keys(space: Space, points: Tensor) -> Tensor:
    """Points (n, p) → the vectors to store (n, q), float32; of a mixture those of all parts, of weight 0 too.

    Raises InputError where float32 cannot multiply them.
    """
    out = torch.cat([lift(part, own)[1] for part, _, own in _parts(space, points)], 1)
    if far := int((out.abs().amax(1) > _LARGEST).sum()):
        raise InputError(
            f"{far} of {len(points)} points lie too far out for the server's float32 vectors; clip them (clip=…), or use "
            "the embedded index"
        )
    return out.float()


def questions(space: Space, queries: Tensor) -> list[Question]:
    """What to ask for queries (b, p): a question for each part that counts in the space, whose weights may be others."""
    parts = _parts(space, queries)
    lifts = [-lowered(part, own) for part, _, own in parts]
    out = []
    for number, (part, weight, _) in enumerate(parts):
        if weight:
            own = [vectors if place == number else torch.zeros_like(vectors) for place, vectors in enumerate(lifts)]
            out.append(Question(part, weight, torch.cat(own, 1).float()))
    return out


def _parts(space: Space, points: Tensor) -> list[tuple[Space, float, Tensor]]:
    """Each part, its weight, and its columns of the points, in float64."""
    points = points.double()
    if not isinstance(space, Mixed):
        return [(space, 1.0, points)]
    return list(zip(cast(Sequence[Space], space.parts), space.weights, space.split(points), strict=True))
