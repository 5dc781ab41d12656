import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from horosphere.errors import InputError
from horosphere.evaluation import (
    aurc,
    calibrate,
    calibration_error,
    class_bootstrap,
    in_bins,
    risk_coverage,
    selective_risk,
    wilson,
)

ANSWERS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=40)


def brute(confidence, wrong):
    """The curve, with the mean over orders of ties taken group by group."""
    order = np.argsort(-confidence, kind="stable")
    wrong = wrong[order].astype(float)
    for value in set(confidence.tolist()):
        tied = confidence[order] == value
        wrong[tied] = wrong[tied].mean()
    return wrong.cumsum() / np.arange(1, len(wrong) + 1)


@given(ANSWERS, st.randoms(use_true_random=False))
def test_the_curve_is_its_definition_whatever_the_order(answers, random):
    confidence, wrong, weights = np.array(answers).T
    curve = risk_coverage(confidence, wrong)
    np.testing.assert_allclose(curve, brute(confidence, wrong), atol=1e-12)
    assert aurc(confidence, wrong) == pytest.approx(curve.mean())
    shuffled = np.array(random.sample(answers, len(answers))).T
    np.testing.assert_allclose(risk_coverage(shuffled[0], shuffled[1]), curve, atol=1e-12)
    if weights.sum():
        expected = aurc(np.repeat(confidence, weights), np.repeat(wrong, weights))
        assert aurc(confidence, wrong, weights) == pytest.approx(expected)


@given(ANSWERS)
def test_no_order_beats_the_best_and_a_constant_is_random(answers):
    confidence, wrong, _ = np.array(answers).T
    best = aurc(1 - wrong, wrong)
    assert best <= aurc(confidence, wrong) + 1e-12 and aurc(confidence, wrong) <= aurc(wrong, wrong) + 1e-12
    assert aurc(np.ones(len(wrong)), wrong) == pytest.approx(wrong.mean())
    # All right answers first, then the errors: Σ_{j ≤ e} j/(n − e + j) over n.
    errors, n = int(wrong.sum()), len(wrong)
    assert best == pytest.approx(sum(j / (n - errors + j) for j in range(1, errors + 1)) / n)


def test_a_confidence_that_knows_gains_and_one_that_does_not_is_a_tie_with_random():
    rng = np.random.default_rng(0)
    labels = np.arange(3000) % 60
    wrong = rng.random(3000) < 0.3
    found = selective_risk(
        {"good": rng.normal(size=3000) - 2 * wrong, "nothing": rng.normal(size=3000)}, wrong, labels, draws=200
    )
    good, nothing = found.selections["good"], found.selections["nothing"]
    assert good.gain_interval[0] > 0.1 and nothing.gain_interval[0] < 0 < nothing.gain_interval[1]
    assert good.interval[0] < good.area < good.interval[1] and good.excess == pytest.approx(good.area - found.best)
    difference, (low, high) = found.differences["nothing"]
    assert low < difference < high < 0 and difference == pytest.approx(good.area - nothing.area)
    assert found.error == wrong.mean() and (found.answers, found.classes) == (3000, 60)
    assert set(found.to_dict()["confidences"]) == {"good", "nothing"}


def test_without_draws_there_are_no_intervals():
    found = selective_risk({"a": [1.0, 2.0], "b": [2.0, 1.0]}, [0, 1], [0, 1], draws=0)
    assert found.selections["a"].interval is None and found.differences == {}
    assert found.selections["a"].area == pytest.approx(0.75) and found.selections["b"].area == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("confidence", "wrong", "says"),
    [([1.0], [0, 1], "shape"), ([], [], "shape"), ([np.nan], [0], "not finite"), ([1.0], [2], "neither 0 nor 1")],
)
def test_bad_answers(confidence, wrong, says):
    with pytest.raises(InputError, match=says):
        aurc(confidence, wrong)


def test_bad_confidences():
    with pytest.raises(InputError, match="no confidence"):
        selective_risk({}, [0], [0])
    with pytest.raises(InputError, match="labels of shape"):
        selective_risk({"a": [1.0]}, [0], [0, 1])


@given(st.integers(1, 50).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(answer):
    right, count = answer
    expected = binomtest(right, count).proportion_ci(method="wilson")
    np.testing.assert_allclose(wilson([right], [count])[0].clip(0, 1), expected, atol=1e-12)


def test_bins_hold_all_answers_and_equal_values_together():
    values = np.array([0.0] * 50 + list(range(1, 51)))
    right = np.arange(100) % 2
    found = in_bins(values, right, 10)
    assert found.counts.sum() == 100 and found.right.sum() == 50 and found.counts[0] == 50
    assert (np.diff(found.values) > 0).all() and ((found.rates >= 0) & (found.rates <= 1)).all()
    order = np.random.default_rng(0).permutation(100)
    assert (in_bins(values[order], right[order], 10).right == found.right).all()
    constant = in_bins(np.ones(5), np.ones(5))
    assert constant.counts.tolist() == [5] and constant.rates.tolist() == [1]


def test_calibration_error_is_the_gap():
    assert calibration_error(np.full(10, 0.7), np.arange(10) < 7) == pytest.approx(0)
    assert calibration_error(np.full(10, 0.2), np.arange(10) < 7) == pytest.approx(0.5)


def test_a_logistic_map_is_found_again():
    rng = np.random.default_rng(0)
    values, fit = rng.normal(5, 2, 20_000), np.arange(20_000) % 2 == 0
    chance = 1 / (1 + np.exp(-(1.5 * values - 7)))
    found = calibrate(values, rng.random(20_000) < chance, fit)
    assert found.slope == pytest.approx(1.5, abs=0.1) and found.intercept == pytest.approx(-7, abs=0.5)
    np.testing.assert_allclose(found(values), chance, atol=0.03)
    assert found.error < 0.02 and found.brier < 0.8 * found.constant_brier
    nothing = calibrate(rng.normal(size=20_000), rng.random(20_000) < 0.3, fit)
    assert abs(nothing.slope) < 0.1 and nothing.brier == pytest.approx(nothing.constant_brier, rel=0.01)
    assert found.gain_interval is None


def test_the_gain_of_a_map_has_a_paired_interval_over_classes():
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=2000), np.arange(2000) % 40
    fit = labels < 20
    for right, tells in ((rng.random(2000) < 1 / (1 + np.exp(-values)), True), (rng.random(2000) < 0.3, False)):
        found = calibrate(values, right, fit, labels, draws=300, seed=1)
        apart = (right[fit].mean() - right[~fit]) ** 2 - (found(values[~fit]) - right[~fit]) ** 2
        (expected,) = class_bootstrap(apart[:, None], labels[~fit], draws=300, seed=1)
        np.testing.assert_allclose(found.gain_interval, expected)
        assert (found.gain_interval[0] > 0) == tells
        assert found.constant_brier - found.brier == pytest.approx(apart.mean())


@pytest.mark.parametrize(
    ("right", "fit", "says"),
    [([1, 1, 0], [True, True, False], "all 2 answers to fit on are right"), ([1, 0, 0], [True] * 3, "both sides")],
)
def test_bad_calibrations(right, fit, says):
    with pytest.raises(InputError, match=says):
        calibrate([1.0, 2.0, 3.0], right, fit)
