"""Points placed among landmarks lie where their distances ask for."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from horosphere import insight
from horosphere.insight.disk import (
    DiskLayout,
    NeighbourPlacement,
    Placement,
    hyperbolic_parts,
    landmarks_of,
    neighbour_layout,
    unit_disk,
)
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

PLANE = Hyperbolic(1.0, None)


def around(n: int, reach: float, seed: int = 0) -> torch.Tensor:
    """Points of a hyperbolic plane whose radii are spread evenly."""
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(n, 2, generator=generator)
    return v / v.norm(dim=1, keepdim=True) * torch.rand(n, 1, generator=generator) * reach


def known(points: torch.Tensor, scale: float = 1.0, centre: str = "origin") -> Placement:
    """The landmarks of a plane where they are, so that every place is known exactly."""
    return Placement(PLANE, points, DiskLayout(unit_disk.of_points(PLANE, points), scale, centre, "space"))


@pytest.mark.parametrize("centre", ["origin", "mean"])
@pytest.mark.parametrize("reach", [0.01, 1.0, 3.0])
def test_points_of_a_plane_come_to_where_they_are(reach, centre):
    placement, points = known(around(200, reach), centre=centre), around(300, reach, seed=1)
    z = placement.place(points)
    # Far out 200 landmarks are so thin that the stress of a few points has a second valley, and a lower start in it.
    off = unit_disk.distance(z, unit_disk.of_points(PLANE, points))
    assert np.quantile(off, 0.95) < 1e-3 * reach and (reach > 1 or off.max() < 1e-3 * reach)
    # A landmark placed anew is where it was, and a point's place depends on no other's.
    again = placement.place(placement.landmarks)
    assert unit_disk.distance(again, placement.layout.z).max() < 1e-3 * reach
    assert placement.place(points[:1])[0] == pytest.approx(z[0], abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(2, 32),
    scale=st.floats(0.2, 2.0),
    centre=st.sampled_from(["origin", "mean"]),
)
def test_no_place_near_by_has_less_stress(seed, count, scale, centre):
    rng = np.random.default_rng(seed)
    landmarks = torch.from_numpy(rng.normal(size=(count, 5)))
    z = unit_disk.of_tangents(rng.normal(size=count) + 1j * rng.normal(size=count))
    space, point = Euclidean(), torch.from_numpy(rng.normal(size=(1, 5)))
    placement = Placement(space, landmarks, DiskLayout(z, scale, centre, "fit"), seed=seed)
    (found,) = placement.place(point)
    # So few landmarks are all met; of more, some stand for others.
    wanted = space.pairwise(point, landmarks)[0].numpy()
    weights = np.maximum(wanted / space.pairwise(landmarks, landmarks).mean().item(), 0.05) ** -2.0

    def stress(at):
        total = np.sum(weights * (unit_disk.distance(at, z) - scale * wanted) ** 2)
        if centre == "origin":
            total += np.sum(weights) * (unit_disk.distance(at, 0j) - scale * space.radius(point).item()) ** 2
        return total / np.sum(weights)

    around = unit_disk.step(np.full(16, found), 0.01 * np.exp(2j * np.pi * np.arange(16) / 16))
    assert stress(found) <= 1.002 * min(stress(at) for at in around) + 1e-4


@pytest.mark.parametrize("space", [Sphere(), Euclidean(), PLANE, Hyperbolic(0.1), Mixed([Sphere(), Hyperbolic()])], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_queries_come_near_their_neighbours_in_every_space(space, dtype):
    generator = torch.Generator().manual_seed(0)
    groups = torch.arange(240) % 4
    points = space(4 * torch.eye(8)[groups] + 0.2 * torch.randn(240, 8, generator=generator))
    layout = insight.stress_layout(space, points[:120])
    z = Placement(space, points[:120], layout).place(points[120:].to(dtype))
    assert np.isfinite(z).all() and (np.abs(z) < 1).all()
    near = unit_disk.distance(z[:, None], layout.z).argmin(1)
    assert (groups[120:].numpy() == groups[:120].numpy()[near]).mean() > 0.9


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_few_and_coincident_points(count):
    same = torch.full((count, 3), 0.4)
    layout = insight.stress_layout(PLANE, same.repeat(3, 1)[: max(3, count)])
    placement = Placement(PLANE, same.repeat(3, 1)[: max(3, count)], layout)
    assert (placement.place(torch.cat([same, -same])) == 0).all()
    few = around(count, 1.0, seed=3)
    z = known(few).place(around(50, 2.0, seed=4))
    assert np.isfinite(z).all() and (np.abs(z) < 1).all()
    assert known(few).place(few[:0]).shape == (0,)


def test_points_far_out_stay_inside_and_apart_from_the_boundary():
    placement = known(around(100, 2.0))
    z = placement.place(torch.tensor([[30.0, 0.0], [-8.0, 8.0], [0.0, 0.0]]))
    inside = np.abs(np.stack([z.real, z.imag]).astype(np.float32).T)
    assert np.isfinite(z).all() and (np.linalg.norm(inside, axis=1) < 1).all() and abs(z[2]) < 1e-3


def test_it_tells_how_far_it_is_and_stops_when_told():
    told = []
    placement = known(around(50, 1.0))
    placement.place(around(2500, 1.0), lambda done, total: told.append((done, total)))
    assert told == [(1024, 2500), (2048, 2500), (2500, 2500)]

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        placement.place(around(2500, 1.0), stop)
    with pytest.raises(ValueError, match="NaN"):
        placement.place(torch.full((2, 2), torch.nan))


def test_landmarks_are_drawn_with_each_group_in_its_share():
    groups = np.array(["a"] * 700 + ["b"] * 250 + ["c"] * 50)
    np.random.default_rng(1).shuffle(groups)
    chosen = landmarks_of(1000, 100, groups)
    assert (np.diff(chosen) > 0).all() and (chosen == landmarks_of(1000, 100, groups)).all()
    assert [int((groups[chosen] == name).sum()) for name in "abc"] == [70, 25, 5]
    assert (landmarks_of(1000, 100, groups, seed=1) != chosen).any()
    assert landmarks_of(7, 10).tolist() == list(range(7))
    assert len(np.unique(landmarks_of(1000, 100))) == 100


def test_a_mixture_has_disks_of_its_hyperbolic_parts():
    space = Mixed([Sphere(), Hyperbolic(), Hyperbolic(1.0)], [1.0, 2.0, 0.0])
    points = space(torch.randn(5, 4))
    ((name, part, own),) = hyperbolic_parts(space, points)
    assert name == "hyperbolic1" and part.curvature == pytest.approx(0.1) and (own == points[:, 4:8]).all()
    assert (
        hyperbolic_parts(Hyperbolic(), points) == [] == hyperbolic_parts(Mixed([Sphere(), Hyperbolic()], [0.0, 1.0]), points)
    )


@pytest.mark.parametrize("space", [Sphere(), Hyperbolic(0.1), Mixed([Sphere(), Hyperbolic()])], ids=lambda space: space.name)
def test_many_small_groups_stay_together_where_stress_tears_them_apart(space):
    generator = torch.Generator().manual_seed(0)
    groups = torch.arange(600) % 60
    centres = 2 * torch.randn(60, 32, generator=generator)
    points = space(centres[groups] + 0.5 * torch.randn(600, 32, generator=generator))
    landmarks, others = points[:400], points[400:]
    stress = insight.stress_layout(space, landmarks)
    told = []
    layout = neighbour_layout(space, landmarks, stress, tell=lambda done, total: told.append((done, total)))
    again = neighbour_layout(space, landmarks, stress)
    kept = [insight.layout_quality(space, landmarks, own.z).neighbours for own in (stress, layout)]
    assert (again.z == layout.z).all() and (np.abs(layout.z) < 1).all() and layout.scale == stress.scale
    assert kept[1] > 1.15 * kept[0] and told == [(i + 1, 200) for i in range(200)]
    placement = NeighbourPlacement(space, landmarks, layout)
    z = placement.place(others)
    near = unit_disk.distance(z[:, None], layout.z).argmin(1)
    assert (groups[400:].numpy() == groups[:400].numpy()[near]).mean() > 0.5
    assert placement.place(others[:1])[0] == pytest.approx(z[0], abs=1e-9)
    if layout.centre == "origin":
        radii = layout.scale * space.radius(others).numpy()
        assert unit_disk.distance(z, 0j) == pytest.approx(radii, rel=1e-4)


def test_a_neighbour_layout_of_few_and_coincident_points():
    for points in (around(3, 1.0), around(20, 1.0).repeat(2, 1), torch.cat([torch.zeros(30, 2), around(1, 1.0)])):
        layout = neighbour_layout(PLANE, points, insight.stress_layout(PLANE, points))
        z = np.concatenate([layout.z, NeighbourPlacement(PLANE, points, layout).place(around(9, 20.0))])
        assert np.isfinite(z).all() and (np.abs(z) < 1).all()
