"""Negative weights against plain loops in float64, and the streamed analysis against the weights themselves."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from horosphere import insight
from horosphere.errors import InputError
from horosphere.insight import blocks
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

from .test_figures import png

SPACES = {
    "sphere": Sphere(),
    "euclidean": Euclidean(),
    "hyperbolic": Hyperbolic(curvature=0.1, clip=2.3),
    "far": Hyperbolic(curvature=4.0, clip=None),
    "one radius": Hyperbolic(radius=1.0),
    "learned": Hyperbolic(learnable_curvature=True),
    "mixture": Mixed([Sphere(), Hyperbolic(curvature=0.5)], weights=[1.0, 3.0]),
    "three": Mixed([Sphere(), Hyperbolic(), Euclidean()], weights=[10, 1, 0], learnable_weights=False),
}


def reference(space, points, labels, temperature, anchors):
    """p(x⁻) by its formula, a pair at a time."""
    points, out = points.double(), torch.zeros(len(anchors), len(points), dtype=torch.float64)
    for row, i in enumerate(anchors):
        own = [j for j in range(len(points)) if labels[j] == labels[i]]
        positive = own[(own.index(i) + 1) % len(own)]
        terms = {
            j: math.exp(-space.distance(points[i], points[j]).item() / temperature)
            for j in range(len(points))
            if j == positive or labels[j] != labels[i]
        }
        for j in terms.keys() - {positive}:
            out[row, j] = terms[j] / sum(terms.values())
    return out


def batch(space, n=23, classes=5, dim=4, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    return space(torch.randn(n, dim, generator=generator)).to(dtype).detach(), labels[torch.randperm(n, generator=generator)]


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("temperature", [0.2, 2.0])
def test_every_space_agrees_with_plain_loops(name, temperature):
    space = SPACES[name]
    points, labels = batch(space)
    weights = insight.negative_weights(space, points, labels, temperature)
    assert weights.dtype == torch.float32 and weights.shape == (23, 23) and not weights.requires_grad
    expected = reference(space, points, labels.tolist(), temperature, range(23))
    torch.testing.assert_close(weights.double(), expected, rtol=1e-5, atol=1e-7)


@settings(deadline=None, max_examples=30)
@given(
    sizes=st.lists(st.integers(2, 4), min_size=2, max_size=6),
    temperature=st.sampled_from([0.05, 0.2, 1.0]),
    name=st.sampled_from(["sphere", "hyperbolic", "mixture"]),
    seed=st.integers(0, 99),
)
def test_weights_hold_what_they_say(sizes, temperature, name, seed):
    space, generator = SPACES[name], torch.Generator().manual_seed(seed)
    labels = torch.cat([torch.full((size,), 7 * i) for i, size in enumerate(sizes)])
    labels = labels[torch.randperm(len(labels), generator=generator)]
    points = space(torch.randn(len(labels), 3, generator=generator, dtype=torch.float64))
    weights = insight.negative_weights(space, points, labels, temperature)
    same = labels[:, None] == labels
    assert weights.dtype == torch.float64 and (weights[same] == 0).all() and (weights >= 0).all()
    torch.testing.assert_close(weights, reference(space, points, labels.tolist(), temperature, range(len(labels))))
    # The nearer the negative, the larger its weight.
    distance = space.pairwise(points)
    for row, apart, own in zip(weights, distance, same, strict=True):
        assert (row[~own][apart[~own].argsort()].diff() <= 1e-12).all()
    # The denominator holds one more term, the positive's: so the loss is −log(1 − Σ p).
    assert (weights.sum(1) < 1 + 1e-12).all()


def test_the_weights_are_the_gradient_of_the_loss():
    """∂L/∂(−D⁻/τ) = p(x⁻) where every class has two images: the loss here is the package's own."""
    from horosphere.losses import PairwiseCrossEntropy

    space, labels = Sphere(), torch.tensor([0, 1, 2, 0, 1, 2])
    points = space(torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    weights = insight.negative_weights(space, points, labels, 0.3)
    loss = PairwiseCrossEntropy(space, temperature=0.3, negatives="batch")
    terms = -torch.log1p(-weights.sum(1))
    assert float(loss(points, labels)) == pytest.approx(float(terms.mean()), rel=1e-9)
    x = points.clone().requires_grad_()
    loss(x, labels).backward()
    # The same gradient, put together from the weights: (1/τ) Σ p(x⁻) ∇(D⁺ − D⁻), a mean over anchors.
    y = points.clone().requires_grad_()
    apart = (y[:, None] - y).square().sum(-1)
    positive = apart[torch.arange(6), torch.arange(6).roll(-3)]
    ((weights * (positive[:, None] - apart)).sum() / 0.3 / 6).backward()
    torch.testing.assert_close(x.grad, y.grad)


def test_the_positive_is_the_next_of_its_class():
    labels = torch.tensor([4, 9, 4, 4, 9])
    points = Euclidean()(torch.tensor([[0.0], [10.0], [1.0], [3.0], [11.0]]))
    weights = insight.negative_weights(Euclidean(), points, labels, 5.0, anchors=[3, 0])
    for row, anchor, positive in ((0, 3, 0), (1, 0, 2)):
        terms = torch.exp(-(points[anchor] - points).abs().squeeze(1) / 5)
        expected = terms[1] / (terms[positive] + terms[1] + terms[4])
        assert float(weights[row, 1]) == pytest.approx(float(expected), rel=1e-6)


def test_cold_temperatures_and_coincident_points():
    space = Hyperbolic(curvature=1.0, clip=2.0)
    points = space(torch.cat([torch.full((4, 3), 9.0), torch.zeros(4, 3), torch.full((4, 3), -9.0)]))
    labels = torch.tensor([0, 0, 1, 1] * 3)
    weights = insight.negative_weights(space, points, labels, 1e-4)
    # Of its class the next is as near as two negatives: each a third.
    assert torch.allclose(weights[0], torch.tensor([0, 0, 1, 1] + [0.0] * 8) / 3, atol=1e-6)
    # The last of its group has its positive far away: its two negatives share all.
    assert torch.allclose(weights[1], torch.tensor([0, 0, 1, 1] + [0.0] * 8) / 2, atol=1e-6)
    found = insight.weigh_negatives(space, points, labels, [1e-4])
    assert found.weights[1e-4].effective[0] == pytest.approx(2) and np.isfinite(found.weights[1e-4].average).all()
    assert found.hardest[0].tolist()[:2] == [2, 3]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_precision_of_the_points(dtype):
    space = Hyperbolic(clip=1.0)
    points, labels = batch(space, dtype=dtype)
    weights = insight.negative_weights(space, points, labels, 0.2, anchors=torch.tensor([5, 1]))
    assert weights.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    expected = reference(space, points, labels.tolist(), 0.2, [5, 1])
    torch.testing.assert_close(weights.double(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["sphere", "far", "mixture"])
def test_the_stream_says_what_the_weights_say(name, monkeypatch):
    monkeypatch.setattr(blocks, "_ROWS", 7)
    monkeypatch.setattr(blocks, "_COLUMNS", 10)
    space = SPACES[name]
    points, labels = batch(space, n=45, classes=9)
    points[3] = points[4]  # two coincide
    anchors = [0, 3, 4, 11, 12, 13, 20, 44]
    found = insight.weigh_negatives(space, points, labels, (0.05, 0.7), anchors, hardest=4, shares=(1, 3, 1000))
    assert found.anchors.tolist() == anchors and found.hardest.shape == (8, 4)
    for temperature, summed in found.weights.items():
        weights = insight.negative_weights(space, points.double(), labels, temperature, anchors)
        ordered = weights.sort(1, descending=True).values[:, :40]
        assert summed.ranks[[0, 9, -1]].tolist() == [1, 10, 40] and (np.diff(summed.ranks) > 0).all()
        kept = ordered[:, summed.ranks - 1]
        near = {"rtol": 2e-4, "atol": 1e-7}
        np.testing.assert_allclose(summed.average, kept.mean(0), **near)
        for field, q in (("low", 0.1), ("median", 0.5), ("high", 0.9)):
            np.testing.assert_allclose(getattr(summed, field), np.quantile(kept, q, axis=0), **near)
        total = weights.sum(1)
        np.testing.assert_allclose(summed.total, total, **near)
        np.testing.assert_allclose(summed.effective, total**2 / weights.square().sum(1), rtol=2e-4)
        np.testing.assert_allclose(summed.shares[3], ordered[:, :3].sum(1) / total, rtol=2e-4)
        assert np.allclose(summed.shares[1000], 1)
    for anchor, hardest in zip(anchors, found.hardest.tolist(), strict=True):
        apart = space.distance(points[anchor].double(), points.double()).tolist()
        negatives = [j for j in range(45) if labels[j] != labels[anchor]]
        assert hardest == sorted(negatives, key=lambda j: (round(apart[j], 7), j))[:4]
    json.dumps(found.to_dict(), allow_nan=False)


def test_overlap_counts_common_negatives():
    points, labels = batch(Sphere(), n=60, classes=10)
    hyperbolic = Hyperbolic(radius=0.7)
    sphere = insight.weigh_negatives(Sphere(), points, labels)
    # At one radius hyperbolic distance is a monotone function of cosine: the same negatives in the same order.
    same = insight.weigh_negatives(hyperbolic, hyperbolic(points), labels)
    assert (sphere.overlap(same) == 1).all()
    other = insight.weigh_negatives(Sphere(), Sphere()(torch.randn(60, 4)), labels)
    expected = [len(set(a) & set(b)) / 6 for a, b in zip(sphere.hardest.tolist(), other.hardest.tolist(), strict=True)]
    assert sphere.overlap(other).tolist() == pytest.approx(expected) and 0 < np.mean(expected) < 1
    with pytest.raises(InputError, match="same anchors"):
        sphere.overlap(insight.weigh_negatives(Sphere(), points, labels, anchors=[0, 1]))


def test_fewer_negatives_than_asked_for():
    points, labels = Sphere()(torch.eye(4)), [0, 0, 0, 1]
    found = insight.weigh_negatives(Sphere(), points, labels)
    assert found.anchors.tolist() == [0, 1, 2] and found.hardest.tolist() == [[3]] * 3
    assert found.weights[0.2].ranks.tolist() == [1]


def test_anchors_are_drawn_among_those_with_a_positive():
    labels = np.array([0, 1, 0, 2, 2, 3])
    assert insight.anchors_among(labels).tolist() == [0, 2, 3, 4]
    some = insight.anchors_among(labels, 2, seed=1)
    assert set(some.tolist()) <= {0, 2, 3, 4} and some.tolist() == sorted(insight.anchors_among(labels, 2, seed=1).tolist())
    with pytest.raises(InputError, match="no positives"):
        insight.anchors_among([1, 2, 3])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"points": torch.ones(4, 2)}, "place them first"),
        ({"points": torch.ones(4, 2, dtype=torch.int64)}, "floating-point"),
        ({"labels": [0, 0, 1]}, "an integer for each of 4"),
        ({"labels": [0, 0, 0, 0]}, "no negatives"),
        ({"labels": [0.0, 0.0, 1.0, 1.0]}, "labels are"),
        ({"temperature": 0}, "temperature=0"),
        ({"anchors": [0, 4]}, "0 to 4"),
        ({"anchors": [-1]}, "expected positions among 4"),
        ({"anchors": []}, "one or more"),
        ({"anchors": [[0]]}, "one or more"),
        ({"labels": [0, 0, 1, 2]}, "2 anchors, 2 for one"),
        ({"labels": [0, 0, 1, 2], "anchors": [3]}, "leave them out"),
    ],
)
def test_what_does_not_fit_is_named(change, words):
    given = {"points": Sphere()(torch.randn(4, 2)), "labels": [0, 0, 1, 1], "temperature": 0.2} | change
    with pytest.raises(InputError, match=words):
        insight.negative_weights(Sphere(), **given)
    if given.keys() & {"points", "anchors"} and "anchors" in change:
        with pytest.raises(InputError, match=words):
            insight.weigh_negatives(Sphere(), given["points"], given["labels"], anchors=given["anchors"])


def test_counts_and_temperatures_of_the_stream_are_checked():
    points, labels = Sphere()(torch.randn(4, 2)), [0, 0, 1, 1]
    for options in ({"temperatures": ()}, {"temperatures": (0.2, -1)}, {"hardest": 0}, {"shares": (0,)}):
        with pytest.raises(InputError, match="expected"):
            insight.weigh_negatives(Sphere(), points, labels, **options)


def test_a_square_matrix_of_many_points_is_refused():
    points = torch.nn.functional.normalize(torch.randn(20_002, 1), dim=1)
    with pytest.raises(InputError, match="20,002"):
        insight.negative_weights(Sphere(), points, torch.arange(20_002) % 2)
    assert insight.negative_weights(Sphere(), points, torch.arange(20_002) % 2, anchors=[0]).shape == (1, 20_002)


def test_matched_temperatures_give_the_same_effective_number():
    points, labels = batch(Sphere(), n=60, classes=10)
    ball = Hyperbolic(curvature=1.0)
    ways = {"sphere": (Sphere(), points), "ball": (ball, ball(2 * points)), "copies": (Sphere(), points[:1].expand(60, -1))}
    anchors = np.arange(0, 60, 3)
    number, found = insight.matched_temperatures(ways, labels, anchors, "sphere", 0.2)
    sphere = insight.weigh_negatives(Sphere(), points, labels, [0.2], anchors)
    assert number == pytest.approx(np.median(sphere.weights[0.2].effective), rel=1e-5) and list(found) == ["ball", "copies"]
    matched = insight.weigh_negatives(*ways["ball"], labels, [found["ball"]], anchors)
    assert np.median(matched.weights[found["ball"]].effective) == pytest.approx(number, rel=1e-3)
    # Where all are equally far, all weigh the same at any temperature.
    assert found["copies"] is None
    with pytest.raises(InputError, match="positive"):
        insight.matched_temperatures(ways, labels, anchors, "sphere", 0)


def test_weights_by_rank_draws_every_geometry_at_every_temperature():
    points, labels = batch(Sphere(), n=60, classes=10)
    found = {
        name: insight.weigh_negatives(space, points, labels, (0.05, 0.2, 1.0))
        for name, space in (("sphere", Sphere()), ("ball", Hyperbolic()))
    }
    figure = png(insight.weights_by_rank(found))
    assert [axes.get_title() for axes in figure.axes] == ["τ = 0.05", "τ = 0.2", "τ = 1"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["sphere", "ball"]
    for axes, temperature in zip(figure.axes, (0.05, 0.2, 1.0), strict=True):
        for line, each in zip(axes.lines, found.values(), strict=True):
            assert line.get_ydata().tolist() == each.weights[temperature].average.tolist()
        assert len({line.get_linestyle() for line in axes.lines}) == 2 and axes.get_xscale() == axes.get_yscale() == "log"
