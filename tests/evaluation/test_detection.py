"""Average precision of hand-made detections, whose scores are known."""

import sys

import numpy as np
import pytest

from horosphere.data import encode_masks, run_lengths
from horosphere.errors import InputError
from horosphere.evaluation import Objects, average_precision

pytest.importorskip("pycocotools", reason="needs the extra detection")

BOXES = np.array([[0, 0, 40, 40], [50, 50, 90, 90]], float)
TRUTH = [Objects(BOXES, np.array([0, 1])), Objects(BOXES[:1], np.array([1]))]
EMPTY = Objects(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))


def found(truth, shift=0.0):
    return [Objects(each.boxes + shift, each.labels, np.full(len(each.boxes), 0.9), each.masks) for each in truth]


def test_perfect_detections_score_one_and_none_score_zero():
    perfect = average_precision(TRUTH, found(TRUTH), ["a", "b", "absent"])
    assert perfect.box["AP"] == perfect.box["AP50"] == perfect.box["AP75"] == pytest.approx(1)
    assert perfect.box["AP small"] is None and perfect.mask is None
    assert perfect.per_class == {
        "a": {"AP": pytest.approx(1), "AP50": pytest.approx(1), "objects": 1},
        "b": {"AP": pytest.approx(1), "AP50": pytest.approx(1), "objects": 2},
    }
    nothing = average_precision(TRUTH, [EMPTY, EMPTY], ["a", "b"])
    assert nothing.box["AP"] == 0 and nothing.objects == 3 and nothing.images == 2


def test_a_wrong_class_is_a_miss_and_a_loose_box_passes_the_loose_thresholds_only():
    wrong = [Objects(each.boxes, 1 - each.labels, np.ones(len(each.boxes))) for each in TRUTH]
    assert average_precision(TRUTH, wrong, ["a", "b"]).box["AP"] == 0
    # Shifted by 4 of 40 pixels both ways the overlap is 36² / (2 · 40² − 36²) = 0.68: 4 thresholds of 10.
    loose = average_precision(TRUTH, found(TRUTH, 4.0), ["a", "b"]).box
    assert loose["AP50"] == pytest.approx(1) and loose["AP75"] == 0 and loose["AP"] == pytest.approx(0.4)


def test_a_false_alarm_above_the_hit_halves_the_precision():
    truth = [Objects(BOXES[:1], np.array([0]))]
    both = Objects(BOXES, np.array([0, 0]), np.array([0.5, 0.9]))
    assert average_precision(truth, [both], ["a"]).box["AP"] == pytest.approx(0.5)


def test_masks_are_scored_beside_boxes():
    pixels = np.zeros((2, 100, 100), bool)
    pixels[0, :40, :40] = pixels[1, 50:90, 50:70] = True
    polygon = [[50, 50, 90, 50, 90, 90, 50, 90]]
    truth = [Objects(BOXES, np.array([0, 0]), None, [encode_masks(pixels[:1])[0], run_lengths(polygon, (100, 100))])]
    half = [Objects(BOXES, np.array([0, 0]), np.ones(2), encode_masks(pixels))]
    report = average_precision(truth, half, ["a"], masks=True)
    assert report.box["AP"] == pytest.approx(1) and report.mask["AP75"] < 1
    same = [Objects(BOXES, np.array([0, 0]), np.ones(2), truth[0].masks)]
    assert average_precision(truth, same, ["a"], masks=True).mask["AP"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("truth", "given", "classes", "masks", "says"),
    [
        ([EMPTY], [EMPTY], ["a"], False, "0 objects"),
        (TRUTH, [EMPTY], ["a", "b"], False, "as many of each"),
        (TRUTH, found(TRUTH), ["a"], False, "labels from"),
        (TRUTH, found(TRUTH), ["a", "b"], True, "without a mask"),
    ],
)
def test_bad_input(truth, given, classes, masks, says):
    with pytest.raises(InputError, match=says):
        average_precision(truth, given, classes, masks=masks)


def test_without_pycocotools_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    for call in (
        lambda: average_precision(TRUTH, found(TRUTH), ["a", "b"]),
        lambda: run_lengths([[0, 0, 1, 1, 2, 0]], (4, 4)),
    ):
        with pytest.raises(InputError, match=r"pip install 'horosphere\[detection\]'"):
            call()
