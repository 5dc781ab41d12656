"""Layouts keep what they say they keep."""

import importlib.util

import numpy as np
import pytest
import torch

from horosphere import insight
from horosphere.errors import InputError
from horosphere.insight.disk.quality import nearest
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
    assert layout.centre == "origin" and layout.curvature == pytest.approx(c, rel=0.25)
    assert quality.stress < 0.03 < 0.1 < flat.stress
    assert quality.radius > 0.99 and quality.distances > 0.99 and quality.neighbours > 0.85


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


def test_coincident_points_and_too_few():
    same = insight.stress_layout(Euclidean(), torch.ones(10, 3))
    assert np.allclose(same.z, same.z[0])
    pairs = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).repeat(2, 1)
    z = insight.stress_layout(Euclidean(), pairs).z
    assert np.abs(z[:20] - z[20:]).max() < 0.1 * np.abs(z).max()
    with pytest.raises(InputError, match="three or more"):
        insight.stress_layout(Sphere(), torch.ones(2, 3))
    with pytest.raises(InputError, match="NaN"):
        insight.stress_layout(Euclidean(), torch.full((9, 3), torch.nan))


def test_nearest_leaves_out_the_point_itself():
    points = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    distances, positions = nearest(Euclidean(), points, 3, np.arange(50))
    away = torch.cdist(points.double(), points.double()).fill_diagonal_(torch.inf)
    assert (positions == away.topk(3, largest=False).indices.numpy()).all()
    assert np.allclose(distances, away.topk(3, largest=False).values, atol=1e-4)


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
    layout = insight.umap_layout(space, points, neighbours=8)
    _, near = nearest(
        Hyperbolic(1.0, None), torch.from_numpy(np.column_stack([layout.z.real, layout.z.imag])), 3, np.arange(60)
    )
    assert (np.abs(layout.z) < 1).all() and layout.centre == "mean" and layout.scale > 0
    assert (groups[near] == groups[:, None]).mean() > 0.95
