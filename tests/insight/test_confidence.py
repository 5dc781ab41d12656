"""Figures hold the numbers they were given."""

import numpy as np

from horosphere import insight
from horosphere.evaluation import in_bins, random_dendrogram, risk_coverage, wilson

from .test_figures import png, texts


def test_risk_curves_end_at_the_error_of_all():
    rng = np.random.default_rng(0)
    wrong = rng.random(500) < 0.3
    curves = {name: risk_coverage(rng.normal(size=500), wrong) for name in ("a", "b")}
    figure = insight.risk_curves(curves, risk_coverage(1 - wrong, wrong), wrong.mean())
    lines = {line.get_label(): line for line in png(figure).axes[0].lines}
    assert set(lines) == {"a", "b", "the best order", "a random order"}
    for name in ("a", "b", "the best order"):
        x, y = lines[name].get_xydata()[-1]
        assert x == 100 and np.isclose(y, 100 * wrong.mean())
    assert len({line.get_linestyle() for line in (lines["a"], lines["b"])}) == 2


def test_every_curve_is_drawn_and_no_two_look_alike():
    curves = {str(i): np.linspace(0, 0.1 * i, 50) for i in range(12)}
    (axes,) = png(insight.risk_curves(curves, np.zeros(50), 0.5)).axes
    lines = [line for line in axes.lines if line.get_label() in curves]
    looks = {(line.get_color(), str(line._unscaled_dash_pattern)) for line in lines}
    assert len(lines) == len(looks) == 12


def test_accuracy_by_value_shows_rates_with_their_intervals_and_the_map():
    rng = np.random.default_rng(0)
    values, right = rng.normal(size=300), rng.random(300) < 0.7
    bins = in_bins(values, right, 6)
    (axes,) = png(insight.accuracy_by_value(bins, lambda x: np.full(len(x), 0.7))).axes
    marks = next(line for line in axes.lines if line.get_marker() == "o")
    np.testing.assert_allclose(marks.get_ydata(), 100 * bins.rates)
    (segments,) = (collection.get_segments() for collection in axes.collections)
    np.testing.assert_allclose([ends[:, 1] for ends in segments], 100 * wilson(bins.right, bins.counts))
    assert any(np.allclose(line.get_ydata(), 70) for line in axes.lines)
    assert len(png(insight.accuracy_by_value(in_bins(np.ones(9), np.ones(9)))).axes) == 1


def test_a_dendrogram_names_every_leaf_in_the_trees_order():
    tree = random_dendrogram(9, 0)
    names = [f"leaf {i}" for i in range(8)] + ["a name that is much too long to be shown whole"]
    (axes,) = png(insight.dendrogram(tree, names, None, "height")).axes
    shown = texts(axes)
    assert [names.index(text) for text in shown if text in names] == [leaf for leaf in tree.order if leaf != 8]
    assert any(text.endswith("…") for text in shown)
    assert len(axes.collections[0].get_segments()) == 8


def test_branches_of_one_superclass_are_thick():
    tree = random_dendrogram(4, 0)
    groups = ["x" if leaf in tree.merges[0] else "y" for leaf in range(4)]
    (axes,) = png(insight.dendrogram(tree, list("abcd"), groups, "height")).axes
    widths = axes.collections[0].get_linewidths()
    assert widths[0] > widths[-1] and {"x", "y", "superclass"} <= set(texts(axes))


def test_radius_at_depth_draws_every_node():
    depth, radius = np.array([2, 2, 2, 1, 0]), np.array([1.0, 1.2, 0.9, 0.5, 0.2])
    (axes,) = png(insight.radius_at_depth(depth, radius, 3, ["a", "b", "c", "inner", "root"])).axes
    classes, inner, means = axes.lines
    assert classes.get_ydata().tolist() == [1.0, 1.2, 0.9] and inner.get_ydata().tolist() == [0.5, 0.2]
    np.testing.assert_allclose(means.get_ydata(), [0.2, 0.5, 3.1 / 3])
    assert sorted(texts(axes)) == ["inner", "root"]
