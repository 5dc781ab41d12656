"""The curves hold the numbers that they were given, and panels stand only for what is there."""

import io

import pytest

from horosphere.errors import InputError
from horosphere.insight import training_curves
from horosphere.spaces import Hyperbolic, Mixed, Sphere


def drawn(metrics, space=None, **known):
    """Axes by their label."""
    figure = training_curves(metrics, space, **known)
    figure.savefig(io.BytesIO(), format="png")
    return {axes.get_ylabel().replace("\n", " "): axes for axes in figure.axes}


def names(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_loss_alone_and_with_validation():
    metrics = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}, {"step": 2, "validation/recall@1": 0.5}]
    panels = drawn(metrics)
    assert panels["loss (line)"].lines[0].get_ydata().tolist() == [2.0, 1.0]
    assert panels["held-out Recall@1, % (dots)"].lines[0].get_ydata().tolist() == [50.0]
    assert list(drawn(metrics[:2])) == ["loss"]
    for none in ([], metrics[2:]):
        with pytest.raises(InputError, match="no loss"):
            drawn(none)


def test_a_mixture_has_a_line_a_part_and_one_look_a_name():
    parts = [Sphere(), Hyperbolic(0.25, 2.0, learnable_curvature=True)]
    metrics = []
    for i in (1, 2, 3):
        entry = {"step": 10 * i, "loss": 1.0, "hyperbolic/clip_fraction": 0.1 * i, "hyperbolic/cosine_correlation": 0.9}
        entry |= {"hyperbolic/curvature": 0.25 * i, "gradient/head/hyperbolic": 0.2, "gradient/encoder": 1.0}
        entry |= {f"hyperbolic/sqrt_c_norm_q{q}": i * v for q, v in (("05", 0.1), ("50", 0.2), ("95", 0.3))}
        for name in ("sphere", "hyperbolic"):
            entry |= {f"{name}/effective_rank": 3.0 * i, f"{name}/alignment": 0.5, f"{name}/uniformity": -2.0}
            entry[f"{name}/weight"] = 1.0
        metrics.append(entry | {"effective_negatives": 50.0})
    panels = drawn(metrics, Mixed(parts, learnable_weights=True), clip_norm=3.0)
    assert list(panels) == [
        "loss",
        "points at the clip, %",
        "√c‖v‖: median, 5 to 95 %",
        "effective rank",
        "alignment: mean ‖x − y‖² in a class",
        "1 − rank correlation with cosine",
        "gradient norm",
        "learned weight",
        "learned curvature c",
        "effective negatives",
    ]
    assert panels["points at the clip, %"].lines[0].get_ydata().tolist() == pytest.approx([10, 20, 30])
    radius = panels["√c‖v‖: median, 5 to 95 %"]
    assert names(radius) == ["hyperbolic", "clip"] and len(radius.collections) == 1
    assert radius.lines[1].get_ydata().tolist() == pytest.approx([1.0, 2**0.5, 3**0.5])  # √c · clip
    assert panels["1 − rank correlation with cosine"].lines[0].get_ydata().tolist() == pytest.approx([0.1] * 3)
    assert names(panels["gradient norm"]) == ["head/hyperbolic", "encoder"]
    assert any("clip of all, 3" in text.get_text() for text in panels["gradient norm"].texts)
    looks = {
        (line.get_color(), line.get_linestyle())
        for label in ("effective rank", "learned weight", "gradient norm")
        for line in panels[label].lines
        if line.get_label() in ("hyperbolic", "head/hyperbolic")
    }
    assert len(looks) == 1
    assert names(panels["effective negatives"]) == ["mixture"]


def test_one_space_is_named_and_what_is_fixed_has_no_panel():
    metrics = [{"step": i, "loss": 1.0, "curvature": 0.1, "clip_fraction": 0.5, "gradient_norm": 2.0} for i in (1, 2)]
    panels = drawn(metrics, Hyperbolic())
    assert list(panels) == ["loss", "points at the clip, %", "gradient norm"]
    assert names(panels["points at the clip, %"]) == ["hyperbolic"] and names(panels["gradient norm"]) == ["all parts"]


def test_a_run_on_scenes_has_terms_and_radii():
    entry = {"loss": 3.0, "euclidean/loss": 2.0, "hyperbolic/loss": 4.0, "euclidean/accuracy": 0.25}
    entry |= {"hyperbolic/accuracy": 0.5, "radius/scenes": 1.0, "radius/object_views": 0.5, "queue_fill": 1.0}
    panels = drawn([entry | {"step": step} for step in (10, 20)], Hyperbolic(clip=None))
    assert list(panels) == ["loss", "loss of a term", "own key nearest, %", "mean radius, 2‖v‖"]
    assert names(panels["loss of a term"]) == ["euclidean", "hyperbolic"]
    assert panels["own key nearest, %"].lines[0].get_ydata().tolist() == [25.0, 25.0]
    assert names(panels["mean radius, 2‖v‖"]) == ["scenes", "object views"]


def test_a_long_course_through_the_plane_has_few_stops():
    metrics = [{"step": i, "loss": 1.0, "alignment": i / 500, "uniformity": -i / 100} for i in range(1, 501)]
    course = drawn(metrics, Sphere())["alignment: mean ‖x − y‖² in a class"].lines[0]
    assert len(course.get_xdata()) == 20
    assert course.get_xdata()[0] == pytest.approx(-0.13) and course.get_ydata()[-1] == pytest.approx(0.976)
