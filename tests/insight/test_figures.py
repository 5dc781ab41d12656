"""Figures hold the numbers they were given; how they look is judged by eye in the report."""

import io

import numpy as np
import pytest
import torch

from horosphere import insight
from horosphere.spaces import Hyperbolic, Sphere


def png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG") and len(buffer.getvalue()) > 3000
    return figure


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_recalls_in_percent_with_intervals_and_without():
    (axes,) = png(insight.recalls(["a", "b"], [0.5, 0.25], [(0.4, 0.6), None], 1)).axes
    assert texts(axes) == ["50.0", "25.0"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]


@pytest.mark.parametrize("space", [Hyperbolic(), Hyperbolic(clip=None), Hyperbolic(radius=1.0)])
def test_radii_count_every_point(space):
    points = space(torch.randn(200, 5))
    (axes,) = png(insight.radii(space, points)).axes
    assert sum(patch.get_height() for patch in axes.patches) == 200
    assert any("clip" in text for text in texts(axes)) == (space.fixed_radius is None and space.clip is not None)


def test_scatter_shows_pairs_of_one_class_and_of_two():
    space = Hyperbolic()
    (axes,) = png(insight.scatter_against_cosine(space, space(torch.randn(60, 5)), np.arange(60) % 6, pairs=500)).axes
    counts = [len(collection.get_offsets()) for collection in axes.collections]
    assert min(counts) > 50 and sum(counts) <= 500


def test_the_sheet_shows_the_nearest_and_never_the_query():
    space = Sphere()
    points = space(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [1.0, 0.2]]))
    labels = np.array([0, 0, 1, 1])
    pictures = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8, 1)
    figure = png(
        insight.retrieval_sheet(
            lambda i: pictures[i], labels, [("sphere", space, points)], [0], np.arange(4), lambda i: "a class", k=3
        )
    )
    (axes,) = figure.axes
    words = [text.get_text() for text in axes.texts]
    assert [text[0] for text in words if text[0] in "✓✗"] == ["✓", "✗", "✗"] and {"a class", "sphere"} <= set(words)
    assert [int(image.get_array()[0, 0]) // 64 for image in axes.images] == [0, 1, 3, 2]
    frames = [frame.get_edgecolor() for frame in axes.patches]
    assert len(frames) == 3 and frames[0] != frames[1] == frames[2]
