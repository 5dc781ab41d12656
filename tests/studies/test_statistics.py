"""Paired differences against scipy, and Holm's correction against its definition."""

from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from horosphere.studies.statistics import Difference, holm, paired, verdict


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_paired_is_the_paired_t_test(count):
    rng = np.random.default_rng(count)
    reference = rng.normal(0.8, 0.01, count)
    values = reference + rng.normal(0.003, 0.004, count)
    found, oracle = paired(values, reference), stats.ttest_rel(values, reference)
    bounds = oracle.confidence_interval(0.95)
    assert found.mean == pytest.approx(np.mean(values) - np.mean(reference))
    assert found.interval == pytest.approx((bounds.low, bounds.high))
    assert found.p == pytest.approx(oracle.pvalue)


def test_a_single_seed_and_equal_differences():
    assert paired([0.8], [0.7]) == Difference(pytest.approx(0.1), None, None)
    assert paired([0.5, 0.75], [0.5, 0.75]) == Difference(0.0, (0.0, 0.0), 1.0)
    assert paired([1.0, 1.25], [0.5, 0.75]) == Difference(0.5, (0.5, 0.5), 0.0)


def closed_testing(p_values):
    """Holm's definition: a hypothesis falls when Bonferroni rejects every set of hypotheses that holds it."""
    places = range(len(p_values))
    sets = list(chain.from_iterable(combinations(places, size) for size in range(1, len(p_values) + 1)))
    return [max(min(1, len(s) * min(p_values[j] for j in s)) for s in sets if i in s) for i in places]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_closed_testing_with_bonferroni(p_values):
    assert holm(p_values) == pytest.approx(closed_testing(p_values))


def test_holm_of_an_example_worked_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("difference", "corrected", "words"),
    [
        (Difference(0.01, (-0.01, 0.03), 0.2), 0.4, "a tie"),
        (Difference(0.02, (0.01, 0.03), 0.03), 0.09, "a hint: better"),
        (Difference(-0.02, (-0.03, -0.01), 0.01), 0.02, "worse"),
        (Difference(0.02, (0.01, 0.03), 0.01), 0.02, "better"),
        (Difference(0.02, None, None), None, "one seed: no interval"),
    ],
)
def test_a_tie_is_called_a_tie(difference, corrected, words):
    assert verdict(difference, corrected) == words
