"""Out-of-context detection against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from horosphere.errors import InputError
from horosphere.evaluation import auroc, out_of_context


@pytest.mark.parametrize("seed", range(5))
def test_auroc_is_scikit_learns_ties_included(seed):
    rng = np.random.default_rng(seed)
    positive = rng.integers(0, 2, 60)
    scores = rng.integers(0, 8, 60) + positive
    assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)


def test_auroc_of_one_kind_is_not_a_number():
    assert np.isnan(auroc([1.0, 2.0], [1, 1]))


def test_differences_are_paired_and_hold_what_they_should():
    rng = np.random.default_rng(0)
    odd, images = np.tile([0, 1], 150), np.repeat(np.arange(150), 2)
    good = odd + rng.normal(0, 0.5, 300)
    found = out_of_context({"good": good, "same": 3 * good + 1, "noise": rng.normal(size=300)}, odd, images, draws=200)
    assert found.auroc["good"] == found.auroc["same"] > 0.8 and found.odd == 150
    assert found.differences["same"] == (0.0, (0.0, 0.0))
    difference, (low, high) = found.differences["noise"]
    assert difference == found.auroc["good"] - found.auroc["noise"] and 0 < low < difference < high
    assert found.to_dict()["differences"]["noise"]["interval"] == [low, high]


def test_images_are_resampled_whole():
    # Objects of one image always fail together, so that twelve images say less than 240 objects would.
    rng = np.random.default_rng(0)
    images = np.repeat(np.arange(12), 20)
    scores, odd = rng.normal(size=12)[images], (rng.random(12) < 0.5)[images].astype(int)
    wide, narrow = (out_of_context({"d": scores}, odd, each, draws=300).intervals["d"] for each in (images, None))
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


@pytest.mark.parametrize(
    ("distances", "odd", "says"),
    [
        ({"d": [1.0, 2.0]}, [1, 1], "both kinds"),
        ({"d": [1.0, 2.0]}, [0, 2], "both kinds"),
        ({"d": [1.0, 2.0, 3.0]}, [0, 1], "shapes"),
        ({}, [0, 1], "one or more"),
        ({"d": [1.0, np.inf]}, [0, 1], "not finite"),
    ],
)
def test_bad_input(distances, odd, says):
    with pytest.raises(InputError, match=says):
        out_of_context(distances, odd)
