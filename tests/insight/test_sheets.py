"""Sheets of images hold what they were given."""

import numpy as np
import pytest
import torch

from horosphere import insight
from horosphere.spaces import Euclidean

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


def test_a_retrieval_sheet_tells_a_wrong_image_of_the_right_superclass():
    space = Euclidean()
    points, labels = torch.tensor([[0.0], [1], [2], [3], [4]]), np.array([0, 0, 1, 2, 3])
    kin = ["warblers", "warblers", "a long name of gulls", ""]
    figure = insight.retrieval_sheet(
        lambda i: np.full((8, 8, 1), i, np.uint8),
        labels,
        [("flat", space, points)],
        [0, 4],
        np.arange(5),
        lambda i: f"class {labels[i]}",
        k=4,
        superclass=lambda i: kin[labels[i]],
    )
    (axes,) = png(figure).axes
    first, second = texts(axes)[:7], texts(axes)[7:]
    assert first[:3] == ["class 0", "warblers", "flat"]
    # A name in two lines at most; and nobody is kin of what has no name.
    assert first[3:] == ["✓ 1\nwarblers", "≈ 2\nwarblers", "✗ 3\na long name\nof gulls", "✗ 4"]
    assert [words[0] for words in second[3:]] == ["✗"] * 4
    frames = [frame.get_edgecolor() for frame in axes.patches]
    assert len(set(frames[:3])) == 3 and frames[2] == frames[3]


def test_a_sheet_of_negatives_marks_those_of_one_geometry_alone():
    hardest = [("sphere", np.array([[2, 3], [0, 5]])), ("ball", np.array([[3, 4], [5, 0]]))]
    figure = insight.negative_sheet(
        lambda i: np.full((8, 8), i, np.uint8), [0, 2], [1, 3], hardest, lambda i: f"class {i // 2}"
    )
    (axes,) = png(figure).axes
    words = texts(axes)
    assert words[:8] == [
        "anchor\nclass 0",
        "positive\nclass 0",
        "sphere",
        "◆ only here\nclass 1",
        "class 1",
        "ball",
        "class 1",
        "◆ only here\nclass 2",
    ]
    assert sum("only here" in text for text in words[8:]) == 0 and len(axes.patches) == 2
    assert [int(image.get_array().flat[0]) for image in axes.images] == [0, 1, 2, 3, 3, 4, 2, 3, 0, 5, 5, 0]
