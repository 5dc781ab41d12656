"""Layouts keep what they say they keep."""

import importlib.util

import numpy as np
import pytest
import torch

from horosphere import insight
from horosphere.errors import InputError
from horosphere.evaluation import nearest
from horosphere.insight.disk.layout import own_curvature
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

SPACES = [
    Sphere(),
    Euclidean(),
    Hyperbolic(clip=0.5),
    Hyperbolic(radius=1.0),
    Mixed([Sphere(), Hyperbolic(1.0)], [1.0, 2.0]),
]


@pytest.mark.parametrize("c", [0.1, 4.0])
def test_points_of_a_hyperbolic_plane_are_found_again_with_their_curvature(c):
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(300, 2, generator=generator)
    v = v / v.norm(dim=1, keepdim=True) * torch.rand(300, 1, generator=generator) * 1.6 / c**0.5
    space = Hyperbolic(c, None)
    layout = insight.stress_layout(space, v)
    quality = insight.layout_quality(space, v, layout.z)
    flat = insight.layout_quality(space, v, insight.flat_layout(space, v), flat=True)
    assert layout.centre == "origin" and layout.chosen == "space" and layout.curvature == pytest.approx(c)
    assert quality.stress < 0.03 < 0.1 < flat.stress
    assert quality.radius > 0.99 and quality.distances > 0.99 and quality.neighbours > 0.85


def test_what_chose_the_curvature_is_known():
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(300, 2, generator=generator)
    v = v / v.norm(dim=1, keepdim=True) * torch.rand(300, 1, generator=generator)
    # The same part twice: a plane of curvature c, of which every distance is doubled, is one of c/4.
    plane = Hyperbolic(1.0, None)
    twice = insight.stress_layout(Mixed([plane, plane]), torch.cat([v, v], 1))
    assert twice.chosen == "stress" and twice.curvature == pytest.approx(0.25, rel=0.25)
    around = Sphere()(torch.randn(100, 32, generator=generator))
    assert insight.stress_layout(Sphere(), around).chosen == "most curved"
    assert insight.stress_layout(Euclidean(), v).chosen == "flattest"


@pytest.mark.parametrize(("radius", "chosen"), [(1.0, "space"), (3.0, "space"), (5.0, "most curved")])
def test_a_plane_keeps_its_curvature_until_its_points_meet_the_boundary(radius, chosen):
    v = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    shells = v / v.norm(dim=1, keepdim=True) * torch.tensor([0.5, 1.0]).repeat(100)[:, None] * radius
    layout = insight.stress_layout(Hyperbolic(1.0, None), shells)
    assert layout.chosen == chosen and (layout.curvature == 1) == (chosen == "space")
    assert (np.abs(layout.z) < 1).all()


def test_own_curvature_is_that_of_distances():
    ball = Hyperbolic(2.0)
    assert own_curvature(ball) == 2 and own_curvature(Mixed([ball], [3.0])) == pytest.approx(2 / 9)
    assert own_curvature(Mixed([Sphere(), ball], [0.0, 1.0])) == 2
    assert own_curvature(Mixed([Sphere(), ball])) is None and own_curvature(Sphere()) is None


def test_points_of_a_flat_plane_are_found_again():
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    plane = insight.flat_layout(Euclidean(), x)
    quality = insight.layout_quality(Euclidean(), x, plane, flat=True)
    assert quality.stress < 0.01 and quality.radius > 0.99 and quality.neighbours > 0.9


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_every_space_is_laid_out_the_same_for_a_seed(space):
    points = space(torch.randn(60, 8, generator=torch.Generator().manual_seed(0)))
    first, second = (insight.stress_layout(space, points, seed=3) for _ in range(2))
    assert (first.z == second.z).all() and (np.abs(first.z) < 1).all() and first.scale > 0
    assert first.centre == ("origin" if space.name == "euclidean" else "mean")
    numbers = insight.layout_quality(space, points, first.z).to_dict()
    assert 0 <= numbers["stress"] < 0.5
    assert (numbers["radius"] is None) == (space.name == "sphere" or space.name == "hyperbolic")


@pytest.mark.parametrize("space", [*SPACES, Hyperbolic(clip=None), Mixed([Sphere(), Hyperbolic()], [0.0, 1.0])], ids=repr)
@pytest.mark.parametrize("size", [0.0, 1e-4, 1.0, 40.0])
def test_a_collapsed_model_is_one_point(space, size):
    points = space(size * torch.ones(60, 8) / 8**0.5)
    layout, plane = insight.stress_layout(space, points), insight.flat_layout(space, points)
    assert (layout.z == 0).all() and (plane == 0).all() and layout.scale == 1
    assert insight.layout_quality(space, points, layout.z).stress == 0


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_one_point_apart_from_a_collapsed_rest(space):
    points = torch.ones(60, 8)
    points[7] = torch.arange(8) / 2 - 3
    points = space(points)
    layout, plane = insight.stress_layout(space, points), insight.flat_layout(space, points)
    for z in (layout.z, plane):
        rest = np.delete(z, 7)
        assert np.isfinite(z).all() and np.abs(rest - rest[0]).max() < 0.1 * np.abs(z[7] - rest[0])
    assert np.isfinite(layout.scale) and insight.layout_quality(space, points, layout.z).stress < 0.1


def test_a_mixture_whose_only_part_that_counts_has_collapsed():
    space = Mixed([Sphere(), Hyperbolic(1.0)], [0.0, 1.0])
    generator = torch.Generator().manual_seed(0)
    points = space([torch.randn(60, 4, generator=generator), torch.full((60, 4), 0.25)])
    layout, plane = insight.stress_layout(space, points), insight.flat_layout(space, points)
    assert np.isfinite(layout.z).all() and np.isfinite(plane).all() and np.isfinite(layout.scale)


def test_coincident_points_and_too_few():
    pairs = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).repeat(2, 1)
    z = insight.stress_layout(Euclidean(), pairs).z
    assert np.abs(z[:20] - z[20:]).max() < 0.1 * np.abs(z).max()
    with pytest.raises(InputError, match="three or more"):
        insight.stress_layout(Sphere(), torch.ones(2, 3))
    with pytest.raises(InputError, match="NaN"):
        insight.stress_layout(Euclidean(), torch.full((9, 3), torch.nan))


def test_umap_is_asked_for_where_it_is_absent(monkeypatch):
    monkeypatch.setattr("horosphere.insight.disk.hyperboloid_umap.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'horosphere\[umap\]'"):
        insight.umap_layout(Sphere(), torch.ones(9, 3))


@pytest.mark.skipif(importlib.util.find_spec("umap") is None, reason="umap-learn is not installed")
def test_umap_keeps_groups_together_in_the_disk():
    generator = torch.Generator().manual_seed(0)
    groups = np.arange(60) % 3
    space = Mixed([Sphere(), Hyperbolic(1.0)])
    points = space(3 * torch.eye(6)[groups] + 0.1 * torch.randn(60, 6, generator=generator))
    threads = torch.get_num_threads()
    layout = insight.umap_layout(space, points, neighbours=8)
    assert torch.get_num_threads() == threads
    plane = Hyperbolic(1.0, None)
    drawn = plane.from_poincare(torch.from_numpy(np.column_stack([layout.z.real, layout.z.imag])))
    near = np.concatenate([near for _, near in nearest(drawn, plane, 3)])
    assert (np.abs(layout.z) < 1).all() and layout.centre == "mean" and layout.scale > 0 and layout.chosen == "fit"
    assert (groups[near] == groups[:, None]).mean() > 0.95
