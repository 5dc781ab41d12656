"""Effective rank, alignment and uniformity against their formulas in float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from horosphere.errors import InputError
from horosphere.evaluation import alignment, effective_negatives, effective_rank, uniformity
from horosphere.evaluation.negatives import effective_number
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

FIGURES = {"rank": effective_rank, "uniformity": uniformity}


def drawn(seed, n, p, dtype=torch.float32, classes=3):
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(n, p, generator=generator, dtype=torch.float64) + 2 * torch.randn(p, generator=generator)
    return points.to(dtype), torch.randint(classes, (n,), generator=generator)


def rank_by_svd(points):
    s = torch.linalg.svdvals(points.double())
    share = s / s.sum()
    return float(torch.special.entr(share).sum().exp())


def pairs(points, keep):
    u = torch.nn.functional.normalize(points.double(), dim=1)
    squares = [(u[i] - u[j]).square().sum() for i in range(len(u)) for j in range(len(u)) if i != j and keep(i, j)]
    return torch.stack(squares) if squares else torch.full((1,), math.nan)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 20), st.integers(1, 20), st.sampled_from([torch.float32, torch.float64]))
def test_each_is_its_formula(seed, n, p, dtype):
    points, labels = drawn(seed, n, p, dtype)
    assert effective_rank(points) == pytest.approx(rank_by_svd(points), rel=1e-3)
    assert uniformity(points) == pytest.approx(float((-2 * pairs(points, lambda i, j: True)).exp().mean().log()), abs=1e-5)
    expected = float(pairs(points, lambda i, j: labels[i] == labels[j]).mean())
    assert alignment(points, labels) == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_known_values():
    assert effective_rank(torch.eye(7)) == pytest.approx(7)
    assert effective_rank(torch.ones(9, 4)) == pytest.approx(1)
    assert effective_rank(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(
        math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    )
    ends = torch.tensor([[1.0, 0.0], [-2.0, 0.0]])
    assert alignment(ends, torch.zeros(2)) == pytest.approx(4) and uniformity(ends) == pytest.approx(-8)
    sphere = torch.randn(3000, 300, generator=torch.Generator().manual_seed(0))
    assert uniformity(sphere) == pytest.approx(-4, abs=0.05)  # across several blocks of rows


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_collapsed_and_tiny_points(dtype):
    points = torch.full((40, 6), 0.3, dtype=dtype)
    assert effective_rank(points) == pytest.approx(1, abs=1e-3)
    assert alignment(points, torch.arange(40) % 4) == pytest.approx(0, abs=1e-9)
    assert uniformity(points) == pytest.approx(0, abs=1e-5)
    clipped = Hyperbolic(clip=0.5)(drawn(1, 30, 5)[0]).to(dtype)
    assert effective_rank(clipped) == pytest.approx(rank_by_svd(clipped), rel=1e-3)
    scaled = effective_rank(1e-30 * torch.eye(3))
    assert scaled == pytest.approx(3)


def test_no_figure_where_there_is_none():
    for points in (torch.zeros(0, 3), torch.zeros(4, 3)):
        assert math.isnan(effective_rank(points))
    assert math.isnan(effective_rank(torch.tensor([[1.0, math.nan]])))
    assert math.isnan(uniformity(torch.ones(1, 3)))
    assert math.isnan(alignment(torch.ones(3, 2), torch.arange(3)))
    assert uniformity(torch.zeros(4, 3)) == 0 and alignment(torch.zeros(4, 3), torch.zeros(4)) == 0
    for figure in FIGURES.values():
        with pytest.raises(InputError, match="matrix"):
            figure(torch.zeros(3))
    with pytest.raises(InputError, match="one a point"):
        alignment(torch.zeros(3, 2), torch.zeros(2))


def test_nothing_is_asked_of_autograd():
    points = torch.randn(6, 3, requires_grad=True)
    labels = torch.arange(6) // 2
    figures = (
        effective_rank(points),
        alignment(points, labels),
        uniformity(points),
        effective_negatives(Sphere(), points, labels, 0.2),
    )
    assert points.grad is None and all(not isinstance(figure, torch.Tensor) for figure in figures)


SPACES = [Sphere(), Euclidean(), Hyperbolic(0.5, 1.0), Mixed([Sphere(), Hyperbolic()], [1.0, 0.3])]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_effective_negatives_are_kish_s_number_of_their_weights(space):
    features, labels = drawn(0, 14, 4)
    points, expected = space(features), []
    for i in (2, 5, 9):
        others = [j for j in range(14) if labels[j] != labels[i]]
        logits = torch.stack([-space.distance(points[i].double(), points[j].double()) / 0.3 for j in others])
        p = logits.softmax(0)
        number = float(p.sum() ** 2 / p.square().sum())
        expected.append((number, number / len(others)))
    found = effective_negatives(space, points, labels, 0.3, torch.tensor([2, 5, 9]))
    assert found == pytest.approx(tuple(torch.tensor(expected).mean(0).tolist()), rel=1e-3)


def test_the_effective_number_has_no_scale_and_does_not_overflow():
    logits = torch.randn(5, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits[2, 3:] = -torch.inf
    p = logits.exp()
    expected = p.sum(1).square() / p.square().sum(1)
    for shift in (0.0, 900.0, -900.0):
        given = logits + shift
        torch.testing.assert_close(effective_number(given), expected)
        assert torch.equal(given, logits + shift)  # it is left as it was
    assert effective_number(torch.tensor([[3.0, -torch.inf], [7.0, 7.0]])).tolist() == [1, 2]


def test_effective_negatives_from_one_to_all():
    points, labels = Sphere()(torch.randn(20, 8, generator=torch.Generator().manual_seed(0))), torch.arange(20) % 4
    assert effective_negatives(Sphere(), points, labels, 1e-5)[0] == pytest.approx(1, abs=1e-2)
    assert effective_negatives(Sphere(), points, labels, 1e5) == pytest.approx((15, 1))
    assert all(map(math.isnan, effective_negatives(Sphere(), points, torch.zeros(20), 0.2)))
