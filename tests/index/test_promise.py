import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horosphere.index.promise import lower_bound, smallest_effort, trial


@given(st.floats(0, 1), st.integers(1, 5000))
@settings(max_examples=50, deadline=None)
def test_the_bound_is_the_least_recall_that_fits(recall, queries):
    p = np.linspace(0, recall, 200_001)
    with np.errstate(divide="ignore", invalid="ignore"):
        divergence = np.nan_to_num(recall * np.log(recall / p), nan=0.0, posinf=np.inf)
        if recall < 1:
            divergence += (1 - recall) * np.log((1 - recall) / (1 - p))
    reference = p[(queries * divergence <= np.log(20)) | (p == recall)].min()
    assert lower_bound(recall, queries) == pytest.approx(reference, abs=1e-5)


def test_of_a_thousand_queries_that_found_everything():
    assert lower_bound(1.0, 1000) == pytest.approx(0.05 ** (1 / 1000))


@pytest.mark.parametrize("true", [0.9, 0.985, 0.999])
def test_the_bound_holds_in_nineteen_cases_of_twenty(true):
    """Recalls that are all or nothing scatter the most."""
    means = np.random.default_rng(0).binomial(300, true, 2000) / 300
    assert np.mean([lower_bound(mean, 300) <= true for mean in means]) >= 0.95


def test_a_trial_is_judged_at_every_k():
    nearest = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    found = np.array([[9, 4, 3, 2], [8, 7, 6, 5]])  # the first query's nearest is missed
    judged = trial(3, found, nearest)
    assert judged.recall == 7 / 8
    assert judged.bound == lower_bound(0.5, 2)


def searches(found_by_effort, nearest):
    return lambda effort: np.where(np.arange(len(nearest))[:, None] < found_by_effort[effort], nearest, -1)


def test_the_smallest_effort_above_the_first_failure():
    nearest = np.arange(4000).reshape(400, 10)
    # 30 fails, so that 20, which is luckier, is never asked.
    search = searches({10: 0, 20: 400, 30: 300, 40: 400, 50: 399}, nearest)
    trials = smallest_effort(search, nearest, [10, 20, 30, 40, 50], 0.98)
    assert [tried.effort for tried in trials] == [50, 40]
    assert [tried.recall for tried in trials] == pytest.approx([399 / 400, 1.0])


def test_where_no_effort_keeps_the_promise_the_largest_tells_how_far_it_got():
    nearest = np.arange(4000).reshape(400, 10)
    (tried,) = smallest_effort(searches({10: 0, 20: 300}, nearest), nearest, [10, 20], 0.98)
    assert tried.effort == 20 and tried.recall == 0.75 and tried.bound < 0.75
    assert smallest_effort(searches({}, nearest), nearest, [], 0.98) == []
