"""The disk as complex numbers is the hyperbolic plane of every curvature."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from horosphere.insight.disk import unit_disk
from horosphere.spaces import Hyperbolic


def plane(c: float, n: int, seed: int, reach: float = 1.5):
    """Points of the plane of curvature c, with √c‖v‖ up to `reach`, and the same in the unit disk."""
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    v = v / v.norm(dim=1, keepdim=True) * torch.rand(n, 1, generator=generator, dtype=torch.float64) * reach / c**0.5
    space = Hyperbolic(c, None)
    return space, v, unit_disk.of_points(space, v)


@given(st.floats(1e-3, 10), st.integers(0, 1000))
def test_recentring_keeps_the_distances_of_every_curvature(c, seed):
    space, v, z = plane(c, 12, seed)
    true = space.distance(v[:, None], v[None]).numpy()
    for picture in (z, unit_disk.recentre(z, z[0]), unit_disk.recentre(z, unit_disk.mean(z))):
        found = unit_disk.distance(picture[:, None], picture) / c**0.5
        assert np.allclose(found, true, rtol=1e-12, atol=1e-7 / c**0.5 * (true < 1e-6))
        assert (np.abs(picture) < 1).all()
    assert abs(unit_disk.recentre(z, z[0])[0]) == 0


@given(st.floats(1e-3, 10), st.integers(0, 1000))
def test_an_arc_is_the_geodesic(c, seed):
    space, v, z = plane(c, 2, seed)
    (arc,) = unit_disk.arc(z[:1], z[1:], 65)
    middle = unit_disk.of_points(space, space.midpoint(v[0], v[1]))
    assert np.allclose([arc[0], arc[32], arc[-1]], [z[0], middle, z[1]], atol=1e-9)
    gaps = unit_disk.distance(arc[:-1], arc[1:])
    assert np.allclose(gaps, unit_disk.distance(*z) / 64, rtol=1e-6, atol=1e-9)
    # A circle that meets the unit circle at right angles holds |p|² + 1 = 2 p·centre; a diameter is its limit.
    rows = np.column_stack([arc.real, arc.imag, (np.abs(arc) ** 2 + 1) / 2])
    values = np.linalg.svd(rows, compute_uv=False)
    assert values[-1] <= 1e-10


def test_a_step_leads_where_towards_says_and_the_mean_balances():
    _, _, z = plane(1.0, 40, 3)
    length, direction = unit_disk.towards(z[:20], z[20:])
    assert np.allclose(unit_disk.step(z[:20], length * direction), z[20:], atol=1e-12)
    centre = np.array([unit_disk.mean(z)])
    length, direction = unit_disk.towards(centre, z)
    assert abs((length * direction).sum()) < 1e-8
    assert unit_disk.mean(np.full(3, 0.5 + 0.1j)) == pytest.approx(0.5 + 0.1j)
    with pytest.raises(ValueError, match="no points"):
        unit_disk.mean(z[:0])
