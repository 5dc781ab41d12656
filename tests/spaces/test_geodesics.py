"""Geodesics against the papers' formulas in float64, and the laws that every space's must obey."""

import math

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere
from horosphere.spaces.poincare import mobius_add

SPACES = {
    "sphere": Sphere(),
    "euclidean": Euclidean(),
    "hyperbolic": Hyperbolic(0.1, None),
    "curved": Hyperbolic(3.0, None),
    "clipped": Hyperbolic(0.1, 2.3),
    "soft": Hyperbolic(0.1, 2.3, clipping="soft"),
    "radius": Hyperbolic(0.1, radius=1.7),
    "mixed": Mixed([Sphere(), Hyperbolic(0.1, None), Euclidean()], [1.0, 3.0, 0.0]),
}
UNBOUNDED = ["euclidean", "hyperbolic", "curved"]
fractions = st.floats(-1.5, 2.5)


def ends(name, seed, scale=1.0, shape=(6, 5)):
    generator = torch.Generator().manual_seed(seed)
    space = SPACES[name]
    return space, *(space(scale * torch.randn(*shape, generator=generator, dtype=torch.float64)) for _ in range(2))


def length(space, x, y):
    """What the fraction t counts: the distance, or on the sphere the angle."""
    if isinstance(space, Sphere):
        return 2 * torch.atan2((x - y).norm(dim=-1), (x + y).norm(dim=-1))
    return space.distance(x, y)


def moved(space, x):
    """How far rounding its coordinates may move a point: far out a last digit is a long way."""
    if not isinstance(space, Hyperbolic):
        return 0.0
    root = space.curvature**0.5
    return 2.0**-52 * (2 * root * x.norm(dim=-1)).sinh() / root


@given(st.integers(0, 10_000), st.sampled_from([*UNBOUNDED, "sphere"]), fractions, fractions)
@settings(max_examples=60, deadline=None)
def test_lengths_along_a_geodesic_are_differences_of_t(seed, name, s, t):
    space, x, y = ends(name, seed)
    whole = length(space, x, y)
    a, b = space.geodesic(x, y, s), space.geodesic(x, y, t)
    if name == "sphere":
        # Beyond an end at most to the other's antipode, and between two such the short way round.
        turn = [(f * whole).clamp(max=math.pi).maximum(whole - math.pi) for f in (s, t)]
        gap = (turn[0] - turn[1]).abs()
        expected = gap.minimum(2 * math.pi - gap)
    else:
        expected = abs(s - t) * whole
    off = (length(space, a, b) - expected).abs()
    assert (off <= 1e-6 * (1 + expected) + moved(space, a) + moved(space, b)).all()


@given(st.integers(0, 10_000), st.sampled_from(sorted(SPACES)), fractions)
@settings(max_examples=80, deadline=None)
def test_every_result_is_a_point_of_its_space(seed, name, t):
    space, x, y = ends(name, seed, 3.0)
    for dtype in (torch.float16, torch.float32, torch.float64):
        found = space.geodesic(x.to(dtype), y.to(dtype), t)
        assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        space.check(found)
    exact = space.geodesic(x, y, t)
    torch.testing.assert_close(space.geodesic(x.float(), y.float(), t).double(), exact, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(space.geodesic(y, x, 1 - t), exact, atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize("name", SPACES)
def test_ends_coincidence_and_broadcasting(name):
    space, x, y = ends(name, 1)
    torch.testing.assert_close(space.geodesic(x, y, 0.0), x)
    torch.testing.assert_close(space.geodesic(x, y, 1.0), y)
    for t in (-1.0, 0.0, 0.5, 2.0):
        torch.testing.assert_close(space.geodesic(x, x, t), x)
    torch.testing.assert_close(space.geodesic(x[0], y, 0.3)[2], space.geodesic(x[0], y[2], 0.3))
    zero = torch.zeros_like(x)
    found = space.geodesic(zero, y, 0.5)
    assert torch.isfinite(found).all()
    space.check(found)
    assert (space.geodesic(zero, zero, 0.5) == 0).all()


@given(st.integers(0, 10_000), st.sampled_from([1e-6, 0.1, 1.0, 3.0]), fractions)
@settings(max_examples=60, deadline=None)
def test_the_balls_geodesic_is_that_of_gyrovectors(seed, c, t):
    """x ⊕ t ⊗ ((−x) ⊕ y), t ⊗ v = tanh(t artanh √c‖v‖) v/(√c‖v‖) (Ungar, Eq. 6.61), in ball coordinates."""
    generator = torch.Generator().manual_seed(seed)
    space, root = Hyperbolic(c, None), c**0.5
    x, y = (torch.randn(6, 4, generator=generator, dtype=torch.float64) / 4 for _ in range(2))
    a, b = (torch.tanh(root * v.norm(dim=1, keepdim=True)) * v / (root * v.norm(dim=1, keepdim=True)) for v in (x, y))
    step = mobius_add(-a, b, c)
    norm = step.norm(dim=1, keepdim=True)
    ball = mobius_add(a, torch.tanh(t * torch.atanh(root * norm)) * step / (root * norm), c)
    torch.testing.assert_close(space.to_poincare(space.geodesic(x, y, t)), ball, atol=1e-9, rtol=1e-8)


def test_the_balls_geodesic_near_coincidence_and_far_out():
    space = Hyperbolic(1.0, None)
    x = torch.tensor([0.9, -0.4, 0.2], dtype=torch.float64)
    for gap in (1e-3, 1e-6, 1e-9):
        y = x + gap * torch.tensor([0.3, 0.5, -0.8], dtype=torch.float64)
        for t in (0.25, 0.5, 3.0):
            found = space.distance(x, space.geodesic(x, y, t))
            torch.testing.assert_close(found, t * space.distance(x, y), rtol=1e-5, atol=1e-14)
    far, opposite = torch.tensor([40.0, 0.0], dtype=torch.float64), torch.tensor([-40.0, 1e-9], dtype=torch.float64)
    assert space.radius(space.geodesic(far, -far, 0.5)) < 1e-12
    torch.testing.assert_close(space.geodesic(far, opposite, 0.25), far / 2, atol=1e-6, rtol=0)
    torch.testing.assert_close(space.geodesic(far, far / 2, 0.5), 0.75 * far)
    two = torch.tensor([[0.3, 0.4], [1.0, -0.2]], dtype=torch.float64)
    torch.testing.assert_close(space.geodesic(two[0], two[1], 0.5), space.midpoint(two[0], two[1]))


def at(x, y, t):
    """(sinh((1 − t)δ) X + sinh(tδ) Y)/sinh δ on the hyperboloid of curvature −1, to 800 digits, for x and y (d,)."""
    with mpmath.workdps(800):
        points = [[mpmath.mpf(value) for value in point.tolist()] for point in (x, y)]
        norms = [2 * mpmath.sqrt(sum(value**2 for value in point)) for point in points]
        spaces = [
            [mpmath.sinh(norm) * 2 * value / norm for value in point] for point, norm in zip(points, norms, strict=True)
        ]
        inner = sum(a * b for a, b in zip(*spaces, strict=True))
        delta = mpmath.acosh(mpmath.cosh(norms[0]) * mpmath.cosh(norms[1]) - inner)
        shares = [mpmath.sinh(share * delta) / mpmath.sinh(delta) for share in (1 - mpmath.mpf(t), mpmath.mpf(t))]
        total = [shares[0] * a + shares[1] * b for a, b in zip(*spaces, strict=True)]
        norm = mpmath.sqrt(sum(value**2 for value in total))
        return torch.tensor([float(value / norm * mpmath.asinh(norm) / 2) for value in total], dtype=torch.float64)


@pytest.mark.parametrize("radius", [0.05, 0.727, 3.0, 10.0, 50.0, 100.0])  # 0.727: a clip of 2.3 at c = 0.1
@pytest.mark.parametrize("kind", ["any", "opposite", "one direction"])
def test_the_balls_geodesic_is_right_far_out_and_far_beyond_its_ends(radius, kind):
    x, y = torch.randn(2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x, y = x / x.norm() * radius, 0.7 * y / y.norm() * radius
    y = {"any": y, "opposite": 1e-3 * y - 0.5 * x, "one direction": 1e-3 * y + 0.7 * x}[kind]
    for c in (1.0, 0.1):
        space = Hyperbolic(c, None)
        for t in (-1.5, -0.5, -1e-3, 0.2, 0.5, 0.9, 1.3, 1.5):
            found = space.geodesic(x / c**0.5, y / c**0.5, t) * c**0.5
            torch.testing.assert_close(found, at(x, y, t), rtol=1e-10, atol=1e-10 * max(radius, 1.0))


def test_a_geodesic_from_the_origin_leads_outwards():
    space, y = Hyperbolic(1.0, None), torch.tensor([3.0, 4.0], dtype=torch.float64)
    for t in (-2.0, -0.5, 0.0, 0.3, 0.7, 1.5):
        torch.testing.assert_close(space.geodesic(torch.zeros_like(y), y, t), t * y)
        torch.testing.assert_close(space.geodesic(y, torch.zeros_like(y), 1 - t), t * y)


def test_the_spheres_geodesic_at_small_angles_and_antipodes():
    space = Sphere()
    x = space(torch.tensor([1.0, 2.0, -0.5], dtype=torch.float64))
    y = space(x + 1e-9 * torch.tensor([0.1, -0.7, 0.3], dtype=torch.float64))
    torch.testing.assert_close(length(space, x, space.geodesic(x, y, 0.5)), length(space, x, y) / 2, rtol=1e-5, atol=0)
    middle = space.geodesic(x, -x, 0.5)
    torch.testing.assert_close(length(space, x, middle), torch.tensor(math.pi / 2, dtype=torch.float64))
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([-0.6, 0.8])
    torch.testing.assert_close(space.geodesic(a, b, 3.0), -a, atol=1e-6, rtol=0)


def test_projecting_changes_no_point():
    for name in SPACES:
        space, x, _ = ends(name, 3, 2.0)
        torch.testing.assert_close(space.project(x), x)
    clipped, radius = SPACES["clipped"], SPACES["radius"]
    torch.testing.assert_close(clipped.project(torch.full((1, 4), 9.0)).norm(), torch.tensor(2.3))
    mean = radius.centroids(ends("radius", 0)[1], torch.zeros(6, dtype=torch.int64), 1)
    radius.check(radius.project(mean))
    assert mean.norm() < 1.69
