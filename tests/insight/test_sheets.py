"""Sheets of images hold what they were given."""

import numpy as np
import pytest

from horosphere import insight

from .test_figures import png, texts

IMAGE = np.full((30, 40, 3), 200, np.uint8)


def test_a_box_sheet_draws_each_box_with_its_words():
    marks = [
        insight.BoxMark((5, 15, 20, 25), "cat 0.9", "#0072B2"),
        insight.BoxMark((0, 0, 10, 10), "", "#000000", dashed=True),
    ]
    axes = png(
        insight.box_sheet([(IMAGE, "a", marks), (IMAGE[..., :1], "b", []), (IMAGE, "c", []), (IMAGE, "d", marks)])
    ).axes
    assert [each.get_title() for each in axes] == ["a", "b", "c", "d"]
    assert texts(axes[0]) == ["cat 0.9"] and len(axes[0].patches) == 2 and not axes[1].patches
    assert axes[0].patches[0].get_bbox().bounds == (5, 15, 15, 10)


def test_an_image_sheet_has_a_name_a_row_and_words_an_image():
    (axes,) = png(insight.image_sheet([("least", [(IMAGE, "1.0"), (IMAGE, "2.0")]), ("x", [(IMAGE, "3.0")])], 1)).axes
    assert texts(axes) == ["least", "1.0", "2.0", "x", "3.0"] and len(axes.images) == 3


@pytest.mark.filterwarnings("error")
def test_label_counts_has_a_panel_a_norm():
    intervals = np.array([[0.9, 1.1], [np.nan, np.nan]])
    row = ("norm", np.array([1, 2]), np.array([9, 1]), np.array([1.0, 2.0]), intervals)
    axes = png(insight.label_counts([row, row], "boxes")).axes
    assert len(axes) == 2 and axes[0].get_ylabel() == "mean norm" and "boxes" in axes[0].get_xlabel()
