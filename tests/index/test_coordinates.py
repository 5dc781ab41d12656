import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from horosphere.errors import InputError
from horosphere.index.coordinates import Coordinates
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Space, Sphere

SPACES = [
    Sphere(),
    Euclidean(),
    Hyperbolic(),
    Mixed([Sphere(), Hyperbolic()], [1.0, 3.0]),
    Mixed([Hyperbolic(1.0, 1.5), Sphere(), Euclidean(), Hyperbolic(0.1)], [0.5, 1.0, 0.2, 2.0]),
    Mixed([Sphere(), Hyperbolic()], [1.0, 0.0]),
    Mixed([Sphere(), Hyperbolic(), Euclidean()], [1.0, 2.0, 0.3], slices=[(0, 3), (3, 7), (1, 6)]),
    Mixed([Sphere(), Hyperbolic(learnable_curvature=True)], [1.0, 1.0], learnable_weights=True),
]


def features(count, seed=0, columns=8):
    """Clusters with spread norms."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(count // 20 + 1, columns, generator=generator)
    own = centres[torch.randint(len(centres), (count,), generator=generator)]
    return (own + 0.4 * torch.randn(count, columns, generator=generator)) * (0.3 + torch.rand(count, 1, generator=generator))


def neighbours(space, points):
    """Each point and its nearest other, by brute force."""
    distance = space.distance(points[:, None].double(), points[None].double()).fill_diagonal_(torch.inf)
    return points, points[distance.argmin(1)]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
@torch.no_grad()
def test_forty_candidates_hold_the_ten_nearest(space):
    points = space(features(600))
    coordinates = Coordinates.fit(space, *neighbours(space, points[:200]))
    placed = coordinates(points)
    assert placed.dtype == torch.float32
    queries = points[:50]
    exact = space.distance(queries[:, None].double(), points[None].double()).topk(10, largest=False).indices
    near = torch.cdist(placed[:50].double(), placed.double()).topk(40, largest=False).indices
    found = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact.tolist(), near.tolist(), strict=True)])
    assert found >= 0.99


def slope_by_difference(part, x, y):
    """dD/ds for one pair: y moves on, away from x, in the part's coordinates."""
    place = part.to_poincare if isinstance(part, Hyperbolic) else lambda v: v
    back = part.from_poincare if isinstance(part, Hyperbolic) else lambda v: v
    a, b = place(x), place(y)
    # A step that keeps y's norm, and so the factor 1 − c‖y‖²: across y, away from a.
    step = (b - a) - ((b - a) @ b) / (b @ b) * b
    angle = 1e-6
    moved = np.cos(angle) * b + np.sin(angle) * b.norm() * step / step.norm()
    ds = (moved - a).square().sum() - (b - a).square().sum()
    return float((part.distance(x, back(moved)) - part.distance(x, y)) / ds)


@pytest.mark.parametrize("part", [Sphere(), Euclidean(), Hyperbolic(), Hyperbolic(2.0, 1.0)], ids=lambda part: part.name)
@given(st.integers(0, 2**31 - 1), st.floats(0.05, 1.0))
@settings(max_examples=30, deadline=None)
def test_slopes_are_derivatives(part, seed, spread):
    """The scale of a part beside a sphere, whose slope is 1, is the root of the ratio of slopes."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(5, generator=generator, dtype=torch.float64)
    x, y = part(x[None]), part((x + spread * torch.randn(5, generator=generator, dtype=torch.float64))[None])
    slope = slope_by_difference(part, x[0], y[0])
    space = Mixed([Sphere(), part], [2.0, 0.7])
    scales = Coordinates.fit(space, *(torch.cat([Sphere()(v), v], 1) for v in (x, y))).scales
    assert scales[1] / scales[0] == pytest.approx((0.7 * slope / 2) ** 0.5, rel=1e-4)


@given(st.floats(1e-3, 5.0), st.floats(0.1, 3.0), st.integers(0, 2**31 - 1))
@settings(max_examples=30, deadline=None)
def test_one_part_is_its_ball(c, clip, seed):
    space = Hyperbolic(c, clip)
    points = space(3 * features(30, seed, 4).double())
    placed = Coordinates.fit(space, points[:1], points[1:2])(points)
    norm = points.norm(dim=1, keepdim=True)
    reference = torch.tanh(c**0.5 * norm) * points / (c**0.5 * norm)
    torch.testing.assert_close(placed, reference.float(), rtol=1e-5, atol=1e-7)


def test_coincident_neighbours_say_nothing():
    space = Mixed([Sphere(), Hyperbolic()])
    points = space(features(20))
    assert Coordinates.fit(space, points, points).scales == (1.0, 1.0)
    x, y = torch.cat([points, points[:1]]), torch.cat([points, points[1:2]])
    assert Coordinates.fit(space, x, y).scales == Coordinates.fit(space, points[:1], points[1:2]).scales


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_every_dtype_and_points_far_out(dtype):
    space = Mixed([Sphere(), Hyperbolic(1.0, None)])
    points = space(torch.tensor([[0.0, 0.0], [1.0, 2.0], [300.0, 0.0], [0.0, 30.0]])).to(dtype)
    placed = Coordinates.fit(space, points, points.flip(0))(points)
    assert placed.shape == (4, 4) and torch.isfinite(placed).all()


def test_a_part_of_weight_zero_has_no_coordinates():
    space = Mixed([Sphere(), Hyperbolic()], [0.0, 2.0])
    points = space(features(20))
    coordinates = Coordinates.fit(space, points[:10], points[10:])
    torch.testing.assert_close(coordinates(points), Hyperbolic().to_poincare(points[:, 8:]))


def test_an_unknown_kind_of_space_is_refused():
    other = type("Other", (Space,), dict.fromkeys(Space.__abstractmethods__, lambda *_: None))
    points = Sphere()(features(4))
    with pytest.raises(InputError, match="promise=1"):
        Coordinates.fit(other(), points, points)
