"""What the radius of a query says, and that it says no more than it knows."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import horosphere as hs
from horosphere.collection import confidence
from horosphere.collection.confidence import Radii, forget, measure, radii
from horosphere.index import Index

CLASSES, EACH = 30, 12


def indexed(space, points, labels=None) -> Index:
    index = Index(space)
    metadata = None if labels is None else [{"class": f"c{label}"} for label in labels]
    index.add(points, [f"i{i}" for i in range(len(points))], metadata)
    return index


def cones(inner: float, outer: float, noise: float = 0.25, seed: int = 0):
    """Classes are directions, at radii from `inner` to `outer`; the nearer to the origin, the more a direction is chance."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(CLASSES), EACH)
    radius = rng.uniform(inner, outer, (len(labels), 1))
    directions = rng.normal(size=(CLASSES, 6))[labels] + noise / radius * rng.normal(size=(len(labels), 6))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return torch.from_numpy(directions * radius / 2).float(), labels  # a radius is twice the norm where c = 1


BALL = hs.Hyperbolic(curvature=1.0, clip=None)


def test_a_radius_that_tells_is_told_with_its_worth():
    points, labels = cones(0.05, 3)
    found = measure(indexed(BALL, points, labels))
    assert found.worth is not None and found.worth.told and found.worth.slope > 0 and "far out" in found.sentence
    assert found.worth.interval[0] > 0.5 and found.worth.classes == CLASSES // 2
    # The reference: the nearest other point, by the distance itself.
    apart = BALL.distance(points.double()[:, None], points.double()[None]).fill_diagonal_(torch.inf)
    right = labels[apart.argmin(1)] == labels
    assert found.worth.right == pytest.approx(right.mean())
    probabilities = [found.confidence(radius) for radius in (0.2, 1.0, 2.5)]
    assert probabilities == sorted(probabilities) and 0 < probabilities[0] < 0.6 < probabilities[2] < 1
    np.testing.assert_allclose(found.of(points), BALL.radius(points.double()), rtol=0, atol=5e-5)


def test_a_radius_that_says_nothing_gives_no_confidence():
    points, labels = cones(2.0, 2.2, noise=1.2, seed=1)
    found = measure(indexed(BALL, points, labels))
    assert found.worth is not None and not found.worth.told and "does not tell" in found.sentence
    assert found.confidence(2.1) is None and 0 < found.percentile(2.1) < 100


@pytest.mark.parametrize(
    ("space", "points", "labels", "words"),
    [
        (hs.Hyperbolic(1.0, clip=1.0), cones(2.0, 2.0)[0], cones(2.0, 2.0)[1], "at the clip"),
        (BALL, cones(0.05, 3)[0], None, "have no classes"),
        (BALL, cones(0.05, 3)[0], np.arange(CLASSES * EACH), "no class has two items"),
        (BALL, cones(0.05, 3)[0], np.zeros(CLASSES * EACH, int), "too few of the one kind"),
        (BALL, cones(0.05, 3)[0], cones(0.05, 3)[1] % 8, "4 classes are too few"),
    ],
)
def test_what_cannot_be_known_is_told(space, points, labels, words):
    found = measure(indexed(space, points, labels))
    assert words in found.sentence and found.confidence(1.0) is None and "not known" in found.sentence


def test_of_a_mixture_the_hyperbolic_parts_radius_counts():
    space = hs.Mixed([hs.Euclidean(), hs.Hyperbolic(1.0)], weights=[1, 2])
    points = space(torch.randn(40, 4, generator=torch.Generator().manual_seed(0)))
    found = measure(indexed(space, points, np.arange(40) % 4))
    assert found.part == "hyperbolic"
    np.testing.assert_allclose(found.of(points), hs.Hyperbolic(1.0).radius(points[:, 4:].double()), rtol=0, atol=5e-5)


def test_points_without_an_origin_have_no_radius(tmp_path):
    index = indexed(hs.Sphere(), hs.Sphere()(torch.randn(9, 4)))
    assert radii(index, tmp_path) is None and radii(Index(BALL), tmp_path) is None and not list(tmp_path.iterdir())


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.integers(-1, 21))
def test_percentiles_count_equal_radii_half(values, asked):
    own = Radii(BALL, "hyperbolic", np.sort(np.array(values, float)), None)
    below, equal = sum(value < asked for value in values), sum(value == asked for value in values)
    assert own.percentile(asked) == pytest.approx(100 * (below + equal / 2) / len(values))


def test_measured_once_and_again_when_items_change(tmp_path, monkeypatch):
    points, labels = cones(0.05, 3)
    index, calls = indexed(BALL, points, labels), []
    monkeypatch.setattr(confidence, "measure", lambda *given: calls.append(given) or measure(*given))
    first, second = radii(index, tmp_path), radii(index, tmp_path)
    assert len(calls) == 1 and second.worth == first.worth and second.sentence == first.sentence
    assert second.part == first.part and np.array_equal(second.quantiles, first.quantiles)
    (tmp_path / "radii.json").write_text('{"format": 1')
    assert radii(index, tmp_path).worth == first.worth and len(calls) == 2
    index.remove(["i0"])
    radii(index, tmp_path)
    assert len(calls) == 3
    forget(tmp_path)
    radii(index, tmp_path)
    assert len(calls) == 4
