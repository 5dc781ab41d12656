"""Files of points of this package and of other libraries."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from horosphere import Hyperbolic, Mixed, Sphere
from horosphere.config import PointsConfig
from horosphere.errors import InputError
from horosphere.report.points import read_points


def tangents(scale: float, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=dtype) * scale


def saved(folder: Path, **arrays) -> Path:
    np.savez(folder / "points.npz", **arrays)
    return folder / "points.npz"


@pytest.mark.parametrize("model", ["poincare", "lorentz"])
@pytest.mark.parametrize("curvature", [0.01, 1.0, 4.0])
def test_coordinates_of_other_libraries_keep_their_distances(tmp_path, model, curvature):
    theirs = Hyperbolic(curvature, clip=None)
    v = tangents(0.5 / curvature**0.5)
    rows = theirs.to_poincare(v) if model == "poincare" else theirs.to_lorentz(v)
    path = saved(tmp_path, points=rows.numpy(), labels=np.arange(20) % 4)
    space, points, data = read_points(path, PointsConfig(model, curvature=curvature))
    assert points.dtype == torch.float32 and len(data.classes) == 4
    torch.testing.assert_close(space.pairwise(points).double(), theirs.pairwise(v), rtol=1e-4, atol=1e-3)
    if model == "lorentz":
        # The Lorentz distance as every library has it: acosh(−c⟨x, y⟩)/√c.
        product = rows[:, :1] @ rows[:, :1].T - rows[:, 1:] @ rows[:, 1:].T
        expected = torch.acosh((curvature * product).clamp_min(1)) / curvature**0.5
        torch.testing.assert_close(space.pairwise(points).double(), expected, rtol=1e-4, atol=1e-3)


@given(true=st.floats(0.05, 5), said=st.floats(0.05, 5))
def test_a_hyperboloid_of_another_curvature_is_refused_and_the_right_one_named(tmp_path_factory, true, said):
    rows = Hyperbolic(true, clip=None).to_lorentz(tangents(0.3 / true**0.5))
    path = saved(tmp_path_factory.mktemp("points"), points=rows.numpy())
    if abs(said / true - 1) < 1e-4:
        return
    if abs(said / true - 1) > 0.05:
        with pytest.raises(InputError, match="hyperboloid") as error:
            read_points(path, PointsConfig("lorentz", curvature=said))
        named = float(str(error.value).split("--curvature ")[1].split()[0])
        assert named == pytest.approx(true, rel=1e-3)


def test_a_ball_of_the_wrong_radius_is_refused(tmp_path):
    path = saved(tmp_path, points=np.full((3, 2), 0.9))
    with pytest.raises(InputError, match="outside the ball"):
        read_points(path, PointsConfig("poincare", curvature=1.0))
    read_points(path, PointsConfig("poincare", curvature=0.1))


def test_plain_vectors_by_their_directions(tmp_path):
    rows = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
    path = saved(tmp_path, features=rows)
    space, points, data = read_points(path, PointsConfig("cosine"))
    assert isinstance(space, Sphere) and torch.allclose(points.norm(dim=1), torch.ones(10))
    assert data.classes == ("unlabelled",) and set(data.split) == {"test"}
    with pytest.raises(InputError, match="place them first"):
        read_points(path, PointsConfig("sphere"))
    with pytest.raises(InputError, match="no labels"):
        read_points(path, PointsConfig("cosine"), labelled=True)
    with pytest.raises(InputError, match="--space"):
        read_points(path, PointsConfig())


def test_a_file_that_names_its_space_and_its_superclasses(tmp_path):
    space = Mixed([Sphere(), Hyperbolic()], weights=[1.0, 2.0])
    points = space(tangents(1.0).float())
    path = saved(
        tmp_path,
        points=points.numpy(),
        labels=np.arange(20) % 2,
        classes=np.array(["a", "b"]),
        superclasses=np.array([["x", "y"], ["x", ""]]),
        space=np.array([json.dumps(space.describe(settled=True))]),
    )
    found, own, data = read_points(path, PointsConfig())
    assert found.describe() == space.describe() and torch.equal(own, points)
    assert data.superclasses == (("x", "y"), ("x",))


def test_a_file_without_points_says_what_it_holds(tmp_path):
    with pytest.raises(InputError, match="it holds labels"):
        read_points(saved(tmp_path, labels=np.arange(3)), PointsConfig("sphere"))
