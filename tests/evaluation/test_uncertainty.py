"""Label uncertainty against scipy."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from horosphere.errors import InputError
from horosphere.evaluation import label_uncertainty


def test_correlation_is_spearmans_and_the_interval_holds_it():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 6, 200)
    radius = counts + rng.normal(0, 2, 200)
    found = label_uncertainty(radius, counts, draws=300)
    assert found.correlation == pytest.approx(spearmanr(radius, counts).statistic, abs=1e-12)
    low, high = found.interval
    assert 0 < low < found.correlation < high < 1
    assert found.counts.tolist() == [1, 2, 3, 4, 5] and found.images.sum() == 200
    for count, mean, (below, above) in zip(found.counts, found.means, found.intervals, strict=True):
        assert mean == pytest.approx(radius[counts == count].mean()) and below < mean < above


def test_a_radius_without_relation_has_an_interval_that_holds_zero():
    rng = np.random.default_rng(1)
    low, high = label_uncertainty(rng.normal(size=300), rng.integers(1, 4, 300)).interval
    assert low < 0 < high


def test_the_same_seed_gives_the_same_interval_and_no_draws_none():
    radius, counts = np.arange(10.0), np.arange(10) % 3
    assert label_uncertainty(radius, counts).interval == label_uncertainty(radius, counts).interval
    assert label_uncertainty(radius, counts, draws=0).interval is None


def test_a_constant_radius_has_no_correlation_and_says_null():
    found = label_uncertainty(np.ones(9), np.arange(9) % 3, draws=10)
    assert np.isnan(found.correlation) and found.interval is None and found.to_dict()["correlation"] is None


def test_one_image_alone_has_no_interval_of_its_mean():
    assert np.isnan(label_uncertainty([1.0, 2.0, 3.0], [1, 1, 7]).intervals[1]).all()


@pytest.mark.parametrize(
    ("radius", "counts", "says"),
    [
        ([1.0, 2.0, 3.0], [2, 2, 2], "1 different"),
        ([1.0, 2.0], [1, 2], "2 images"),
        ([1.0, 2.0, 3.0], [1, 2], "shape"),
        ([1.0, np.nan, 3.0], [1, 2, 3], "not finite"),
    ],
)
def test_bad_input(radius, counts, says):
    with pytest.raises(InputError, match=says):
        label_uncertainty(radius, counts)
