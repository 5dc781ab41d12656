"""Lifts of a mixture's parts side by side: what they rank, and the floor under what was not seen."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from horosphere.errors import InputError
from horosphere.index.lifted import keys, questions
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

SPACES = {
    "sphere": Sphere(),
    "euclidean": Euclidean(),
    "hyperbolic": Hyperbolic(),
    "curved": Hyperbolic(curvature=1.5, clip=2.0),
    "mixed": Mixed([Sphere(), Hyperbolic(curvature=0.5)], [0.7, 0.4]),
    "three": Mixed([Hyperbolic(curvature=0.2), Euclidean(), Hyperbolic(curvature=2.0, clip=1.0)], [1.0, 0.5, 2.0]),
    "sliced": Mixed([Sphere(), Hyperbolic()], [1.0, 0.0], slices=[(0, 3), (1, 6)]),
}


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(SPACES)),
    seed=st.integers(0, 10**6),
    spread=st.sampled_from([0.0, 1e-4, 0.3, 3.0]),
    data=st.data(),
)
def test_an_item_in_no_list_is_beyond_the_floor(name, seed, spread, data):
    trained = space = SPACES[name]
    if isinstance(trained, Mixed):
        count = len(trained.parts)
        weights = data.draw(st.lists(st.sampled_from([0.0, 0.3, 2.0]), min_size=count, max_size=count).filter(any))
        space = Mixed(list(trained.parts), weights, slices=trained.slices)
    generator = torch.Generator().manual_seed(seed)
    points = space(torch.randn(1, 6, generator=generator) + spread * torch.randn(40, 6, generator=generator))
    queries = torch.cat([points[:3], space(torch.randn(2, 6, generator=generator))])
    stored, asked = keys(trained, points), questions(space, queries)
    assert stored.dtype == torch.float32 and len(stored) == 40
    truth = space.distance(queries.double()[:, None], points.double()[None])
    bounds = [-(question.vectors @ stored.T) for question in asked]
    length = data.draw(st.integers(1, 40))
    floor = sum(question.floor(own.kthvalue(length, 1).values) for question, own in zip(asked, bounds, strict=True))
    listed = torch.stack([own <= own.kthvalue(length, 1, keepdim=True).values for own in bounds]).any(0)
    beyond = truth.masked_fill(listed, torch.inf).amin(1)
    assert (floor <= beyond * (1 + 1e-9) + 1e-12).all()
    # And for every item its own bounds are a floor.
    each = sum(question.floor(own) for question, own in zip(asked, bounds, strict=True))
    assert (each <= truth * (1 + 1e-9) + 1e-12).all()


@pytest.mark.parametrize("name", sorted(SPACES))
def test_bounds_are_the_excess_less_the_rounding_of_float32(name):
    """The excess in plain float64, from each part's own distance."""
    space = SPACES[name]
    points = space(torch.randn(30, 6, generator=torch.Generator().manual_seed(1)))
    parts = zip(space.parts, space.weights, space.split(points.double()), strict=True) if isinstance(space, Mixed) else None
    counted = [part for part in parts or [(space, 1.0, points.double())] if part[1]]
    asked = questions(space, points)
    assert len(asked) == len(counted)
    for question, (part, weight, own) in zip(asked, counted, strict=True):
        distance = part.distance(own[:, None], own[None])
        bound = -(question.vectors @ keys(space, points).T).double()
        assert (bound <= excess(part, distance)).all()
        torch.testing.assert_close(bound, excess(part, distance), rtol=1e-4, atol=5e-2)
        torch.testing.assert_close(question.floor(excess(part, distance)), weight * distance)


def excess(part, distance):
    if isinstance(part, Sphere):
        return distance
    return distance.square() if isinstance(part, Euclidean) else (math.sqrt(part.curvature) * distance).cosh() - 1


def test_points_beyond_float32_are_refused():
    space = Hyperbolic(curvature=1.0, clip=None)
    with pytest.raises(InputError, match="1 of 2 points lie too far out"):
        keys(space, torch.tensor([[1.0, 0.0], [30.0, 0.0]]))
