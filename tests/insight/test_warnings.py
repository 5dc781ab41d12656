"""Each warning by a series that sets it off, and one that does not."""

import numpy as np
import pytest

from horosphere.insight import TrainingWarning, training_warnings
from horosphere.insight.series import Series
from horosphere.spaces import Hyperbolic, Mixed, Sphere

BALL = Hyperbolic(0.1, 2.3)
LEARNED = Hyperbolic(1.0, learnable_curvature=True, curvature_bounds=(1e-2, 10.0))
MIXED = Mixed([Sphere(), BALL], learnable_weights=True)


def lines(name, values, **others):
    """A line each ten steps, with a loss that falls."""
    return [{"step": 10 * (i + 1), "loss": 2.0 - 0.1 * i, name: value, **others} for i, value in enumerate(values)]


def kinds(metrics, space=BALL, **known):
    return [warning.kind for warning in training_warnings(metrics, space, **known)]


@pytest.mark.parametrize(
    ("kind", "name", "sets_off", "does_not", "space", "known"),
    [
        ("loss not falling", "loss", [2.0] * 8, [2.0 - 0.1 * i for i in range(8)], BALL, {}),
        ("loss not falling", "loss", [1, 1, 1, 1, 3, 3, 3, 3], [3, 3, 1, 1, 1, 1, 1, 1], BALL, {}),
        ("gradient vanished", "gradient/encoder", [1.0, 1e-2, 1e-9, 1e-9], [1.0, 1e-2, 1e-3, 1e-4], BALL, {}),
        ("gradient exploded", "gradient/head", [0.1, 1.0, 10.0, 100.0], [0.1, 0.5, 1.0, 5.0], BALL, {}),
        ("gradient exploded", "gradient_norm", [0.1, 1.0, 10.0, 100.0], [0.1, 0.5, 1.0, 5.0], BALL, {}),
        ("always clipped", "gradient_norm", [20.0] * 4, [20.0, 20.0, 20.0, 2.0], BALL, {"clip_norm": 3.0}),
        ("always clipped", "gradient_norm", [20.0] * 4, [4.0] * 4, BALL, {"clip_norm": 3.0}),
        ("collapse", "effective_rank", [20.0, 5.0, 2.0], [20.0, 10.0, 5.0], BALL, {"width": 32, "classes": 100}),
        ("collapse", "effective_rank", [1.2], [2.0], BALL, {"width": 128, "classes": 5}),
        ("collapse", "sphere/effective_rank", [1.2], [2.0], MIXED, {}),
        ("at the clip", "hyperbolic/clip_fraction", [0.2, 0.97, 0.99], [0.99, 0.9, 0.5], MIXED, {}),
        ("one radius", "radius_spread", [0.1, 0.005], [0.005, 0.1], BALL, {}),
        ("cosine in disguise", "cosine_correlation", [0.9, 0.9999], [0.9999, 0.99], BALL, {}),
        ("curvature at its bound", "curvature", [1.0, 5.0, 9.9], [1.0, 2.0, 5.0], LEARNED, {}),
        ("curvature at its bound", "curvature", [1.0, 0.05, 0.0101], [1.0, 0.5, 0.05], LEARNED, {}),
        ("curvature at its bound", "curvature", [9.999], [1.0], LEARNED, {}),
        ("weight to 0", "hyperbolic/weight", [1.0, 0.5, 0.01], [1.0, 0.7, 0.4], MIXED, {}),
        ("temperature too low", "effective_negatives", [100, 10, 1.1], [100, 10, 5], BALL, {}),
        ("temperature too low", "sphere/effective_negatives", [1.1], [5], MIXED, {}),
        ("temperature too high", "effective_negatives_share", [0.9, 0.99], [0.99, 0.5], BALL, {}),
        ("past its best", "validation/recall@1", [0.5, 0.7, 0.6], [0.5, 0.7, 0.69], BALL, {"held_out": True}),
    ],
)
def test_a_series_sets_it_off_and_another_does_not(kind, name, sets_off, does_not, space, known):
    if name == "loss":
        made = [[{"step": 10 * i, "loss": value} for i, value in enumerate(values, 1)] for values in (sets_off, does_not)]
    else:
        made = [lines(name, values) for values in (sets_off, does_not)]
    assert kinds(made[0], space, **known) == [kind]
    assert kinds(made[1], space, **known) == []


def test_no_validation_is_told_where_classes_are_held_out():
    metrics = lines("lr", [1.0] * 3)
    assert kinds(metrics, held_out=True) == ["not validated"] and kinds(metrics) == []
    assert kinds(lines("validation/recall@1", [0.5]), held_out=True) == []


def test_warnings_say_part_number_and_step():
    metrics = lines("hyperbolic/clip_fraction", [0.2, 0.96, 0.97, 0.98])
    (warning,) = training_warnings(metrics, MIXED)
    assert isinstance(warning, TrainingWarning)
    assert warning.seen == "hyperbolic: 98.0% of the points are at the clip at step 40, and at every line from step 20 on"
    assert warning.seen in warning.text and warning.why in warning.text and warning.advice in warning.text
    (warning,) = training_warnings(lines("effective_rank", [1.1]), Sphere(), width=64, classes=40)
    assert "fill 1.1 directions of 40 that" in warning.seen and warning.seen.endswith("at step 10")


def test_the_first_reason_of_a_disguise_counts_and_a_control_is_none():
    metrics = lines("clip_fraction", [1.0], radius_spread=0.0, cosine_correlation=1.0)
    assert kinds(metrics) == ["at the clip"]
    assert kinds(metrics, Hyperbolic(radius=1.0)) == []  # one radius was asked for


def test_what_does_not_count_is_not_judged():
    still = Mixed([Sphere(), BALL], [1.0, 0.0])
    assert kinds(lines("hyperbolic/clip_fraction", [1.0]), still) == []
    filling = [{"step": i, "loss": 1.0 + i, "queue_fill": i / 9} for i in range(1, 9)]
    assert kinds(filling) == [] and kinds([line | {"queue_fill": 1} for line in filling]) == ["loss not falling"]
    rising = [{"step": i, "loss": 1.0 + min(i, 2)} for i in range(1, 17)]
    assert kinds(rising) == ["loss not falling"] and kinds(rising, settled=2) == ["loss not falling"]
    # What was learned before its memory was full nobody knows.
    assert kinds(rising, settled=3) == []
    assert kinds(lines("curvature", [10.0]), Hyperbolic(10.0)) == []  # fixed there


def test_lines_of_earlier_versions_warn_of_nothing_that_they_lack():
    assert training_warnings([], BALL) == []
    assert kinds([{"step": 1, "loss": 2.0}, {"step": 1, "validation/recall@1": 0.5}], MIXED) == []


def test_a_series_skips_what_is_not_there():
    metrics = [{"step": 1, "a": 1.0}, {"step": 2}, {"step": 3, "a": None}, {"step": 4, "a": 3.0}, {"step": 5, "a": 5.0}]
    series = Series.read(metrics, "a")
    assert series.steps.tolist() == [1, 4, 5] and (series.first, series.last) == (1.0, 5.0)
    assert series.when(lambda v: v > 2) == "at step 5, and at every line from step 4 on"
    assert series.when(lambda v: v > 4) == "at step 5" == series.when(lambda v: v > 9)
    # The number is the median of the last quarter, and so are the words: the last line alone may say something else.
    noisy = Series(np.arange(10, 170, 10), np.array([100.0] * 15 + [4.0]))
    assert noisy.last == 100 and noisy.when(lambda v: v > 9) == "in the last quarter, to step 160"
    assert not Series.read(metrics, "b")
