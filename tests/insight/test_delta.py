"""δ-hyperbolicity: equal to the plain form bit for bit, bounded by the four-point δ, and right where the answer is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

import horosphere as hs
from horosphere.errors import InputError
from horosphere.insight import DeltaReport, four_point_delta, gromov_products, relative_delta
from horosphere.insight.delta import largest_excess

TREE = [(0, 1, 2.0), (0, 2, 1.0), (1, 3, 0.5), (1, 4, 3.0), (2, 5, 1.0), (5, 6, 0.25), (5, 7, 4.0)]


def plain(products):
    """The published form: a tensor of n³ numbers."""
    return float((np.minimum(products[:, :, None], products[None]).max(1) - products).max())


def shortest(count, edges):
    """Shortest paths of a graph with weights (Floyd and Warshall)."""
    apart = np.full((count, count), np.inf)
    np.fill_diagonal(apart, 0)
    for a, b, length in edges:
        apart[a, b] = apart[b, a] = length
    for k in range(count):
        apart = np.minimum(apart, apart[:, k, None] + apart[None, k])
    return apart


@st.composite
def distances(draw):
    """Of points in the plane, some of them the same; of a graph, with many equal distances; or no metric at all."""
    count, seed = draw(st.integers(4, 40)), draw(st.integers(0, 2**32 - 1))
    kind, rng = draw(st.sampled_from(["points", "graph", "none"])), np.random.default_rng(seed)
    if kind == "points":
        points = rng.normal(size=(count, draw(st.integers(1, 9)))) * draw(st.sampled_from([1e-6, 1, 1e6]))
        return squareform(pdist(points[rng.integers(0, count, count)]))
    if kind == "graph":
        chain = [(i, i + 1, 1.0) for i in range(count - 1)]
        return shortest(count, chain + [(*rng.choice(count, 2, replace=False), 1.0) for _ in range(count // 2)])
    square = rng.uniform(size=(count, count)).round(draw(st.integers(1, 15)))
    return np.triu(square, 1) + np.triu(square, 1).T


@settings(max_examples=150, deadline=None)
@given(distances(), st.integers(0, 3))
def test_the_pruned_search_is_the_plain_form_bit_for_bit(apart, base):
    products = gromov_products(apart, base)
    assert largest_excess(products) == plain(products)


@pytest.mark.parametrize("dim", [2, 16, 256])
def test_the_pruned_search_over_several_blocks_of_witnesses(dim):
    rng = np.random.default_rng(dim)
    centres = rng.normal(size=(20, dim))
    products = gromov_products(squareform(pdist(centres[rng.integers(0, 20, 220)] + 0.5 * rng.normal(size=(220, dim)))))
    assert largest_excess(products) == plain(products) > 0


@settings(max_examples=60, deadline=None)
@given(st.integers(4, 16), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_one_base_point_finds_at_least_half_of_the_four_point_delta(count, dim, seed):
    apart = squareform(pdist(np.random.default_rng(seed).normal(size=(count, dim))))
    whole = four_point_delta(apart)
    for base in range(count):
        own = largest_excess(gromov_products(apart, base))
        assert own <= whole + 1e-12 and whole <= 2 * own + 1e-12
    assert relative_delta(distances=apart, base_points=count).value == pytest.approx(2 * whole / apart.max(), abs=1e-12)


def test_the_four_point_delta_by_its_definition():
    apart = squareform(pdist(np.random.default_rng(0).normal(size=(9, 3))))
    worst = 0.0
    for w in range(9):
        products = [[(apart[w, i] + apart[w, j] - apart[i, j]) / 2 for j in range(9)] for i in range(9)]
        for x in range(9):
            for y in range(9):
                for z in range(9):
                    worst = max(worst, min(products[x][y], products[y][z]) - products[x][z])
    assert four_point_delta(apart) == pytest.approx(worst)


def test_a_tree_is_hyperbolic_and_a_square_is_not():
    tree = shortest(8, TREE)
    report = relative_delta(distances=tree)
    assert report.value == pytest.approx(0, abs=1e-12) and four_point_delta(tree) == pytest.approx(0, abs=1e-12)
    square = shortest(4, [(0, 1, 3.0), (1, 2, 3.0), (2, 3, 3.0), (3, 0, 3.0)])
    assert relative_delta(distances=square).value == 1 and four_point_delta(square) == 3
    corners = torch.tensor([[0.0, 0], [0, 1], [1, 1], [1, 0]])
    assert relative_delta(corners).value == pytest.approx(2 - math.sqrt(2))  # 2 · (2√2 − 2)/2 over √2
    equilateral = np.ones((6, 6)) - np.eye(6)
    assert relative_delta(distances=equilateral).value == 0


def test_curvature_and_words():
    report = DeltaReport(0.288, (0.28, 0.3), (0.288,), None, 2.0, 10, 10)
    assert report.curvature == pytest.approx(0.25) and "c = (0.144/δ)² = 0.25" in report.meaning
    assert report.to_dict()["interval"] == [0.28, 0.3]
    tree = DeltaReport(0.0, None, (0.0,), None, 2.0, 10, 10)
    assert tree.curvature == math.inf and tree.to_dict()["curvature"] is None and "no curvature" in tree.meaning
    # 0.144 is the hyperbolic plane's δ over the diameter of a ball cut at 1 − 10⁻⁵.
    assert 2 * math.log(1 + math.sqrt(2)) / (2 * math.atanh(1 - 1e-5)) == pytest.approx(0.144, abs=5e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 7.0, 1e4]))
def test_scale_and_order_change_nothing(seed, scale):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, 5))
    value = relative_delta(x, base_points=30).value
    assert relative_delta(scale * x, base_points=30).value == pytest.approx(value, rel=1e-9)
    assert relative_delta(x[rng.permutation(30)], base_points=30).value == pytest.approx(value, rel=1e-9)


def test_draws_are_those_of_the_definition():
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    report = relative_delta(x, samples=20, draws=4, base_points=3, seed=5)
    values, spreads = [], []
    for draw in range(4):
        chosen = np.random.default_rng([5, draw]).permutation(60)[:20]
        apart = squareform(pdist(x.double().numpy()[chosen]))
        own = [2 * plain(gromov_products(apart, base)) / apart.max() for base in range(3)]
        values.append(max(own))
        spreads.append(max(own) - min(own))
    assert report.per_draw == pytest.approx(values) and report.value == pytest.approx(np.mean(values))
    assert report.spread == pytest.approx(np.mean(spreads))
    assert report.interval[0] < report.value < report.interval[1] and (report.points, report.samples) == (60, 20)
    assert relative_delta(x, samples=20, draws=2, base_points=3, seed=5).per_draw == report.per_draw[:2]


def test_more_samples_than_points_is_one_draw_of_all():
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    report = relative_delta(x, samples=2000, draws=10, base_points=20)
    assert (report.samples, len(report.per_draw), report.interval) == (12, 1, None)
    assert report.value == pytest.approx(2 * four_point_delta(squareform(pdist(x.double().numpy()))) / report.diameter)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_points_of_a_space_are_measured_by_its_distance(dtype):
    ball = hs.Hyperbolic(curvature=1.0, clip=2.0)
    features = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
    features[:4] *= 9  # at the clip
    features[5] = features[4]
    points = ball(features).to(dtype)
    apart = ball.distance(points.double()[:, None], points.double()[None]).numpy()
    expected = relative_delta(distances=apart).value
    assert relative_delta(points, space=ball).value == pytest.approx(expected, rel=1e-6)
    sphere = hs.Sphere()
    directions = sphere(features)
    chord = relative_delta(directions.double())
    assert relative_delta(directions, space=sphere).value == pytest.approx(chord.value, rel=1e-6)
    mixed = hs.Mixed([hs.Sphere(), ball], weights=[1.0, 0.5])
    both = torch.cat([directions, ball(features)], 1)
    apart = 0.5 * ball.distance(ball(features)[:, None].double(), ball(features)[None].double()).numpy()
    apart = apart + squareform(pdist(directions.double().numpy()))
    assert relative_delta(both, space=mixed).value == pytest.approx(relative_delta(distances=apart).value, rel=1e-6)


def test_the_farther_out_the_more_hyperbolic():
    directions = torch.nn.functional.normalize(torch.randn(200, 2, generator=torch.Generator().manual_seed(0)), dim=1)
    near, far = (relative_delta(c * directions, space=hs.Hyperbolic(1.0, None)).value for c in (0.05, 6.0))
    assert near == pytest.approx(relative_delta(directions).value, abs=0.01) and far < 0.15 < 0.5 < near


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        (np.zeros((9, 2)), {}, "all coincide"),
        (np.eye(3), {}, "four or more"),
        (np.full((5, 2), np.nan), {}, "NaN or infinity"),
        (np.zeros(9), {}, r"matrix \(n, p\)"),
        (np.eye(5), {"samples": 3}, "samples=3"),
        (np.eye(5), {"draws": 0}, "draws=0"),
        (np.eye(5), {"distances": np.eye(5)}, "one thing to measure"),
        (10 * np.eye(5), {"space": hs.Hyperbolic()}, "place them first"),
        (None, {"distances": np.ones((5, 4))}, "square matrix"),
        (None, {"distances": -np.ones((5, 5))}, "negative"),
        (None, {"distances": np.triu(np.ones((5, 5)), 1)}, "not symmetric"),
        (None, {"distances": squareform(pdist(np.arange(9.0)[:, None], "sqeuclidean"))}, "triangle inequality"),
    ],
)
def test_bad_input_is_told(given, options, words):
    with pytest.raises(InputError, match=words):
        relative_delta(given, **options)


def test_the_four_point_delta_is_for_small_sets():
    with pytest.raises(InputError, match="4 to 64"):
        four_point_delta(np.zeros((65, 65)))
