"""The sheet of scenes shows every box and view it was given."""

import numpy as np

from horosphere import insight
from tests.insight.test_figures import png, texts


def test_the_sheet_shows_boxes_and_views():
    rng = np.random.default_rng(0)
    boxes = np.array([[5, 5, 40, 30], [20, 10, 60, 45], [1, 1, 9, 9]], np.float32)
    drawn = [(0, 0, 50, 40), (5, 5, 60, 45), (5, 5, 60, 45), (5, 5, 40, 30)]
    scenes = []
    for name, shape, channels in (("colour", (50, 70, 3), 3), ("grey", (50, 70), 1)):
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        scenes.append((name, pixels, boxes, drawn, rng.integers(0, 256, (4, channels, 16, 16), dtype=np.uint8)))
    (axes,) = png(insight.scene_sheet(scenes)).axes
    assert len(axes.images) == 2 * (1 + 4)
    assert len(axes.patches) == 2 * (3 + 4 + 4)
    assert texts(axes)[:5] == ["colour", "first", "second", "scene", "object"] and texts(axes)[5] == "grey"
    # A box lies in the drawn scene as it does in the pixels.
    left, right, bottom, top = axes.images[0].get_extent()
    scale = (right - left) / 70
    assert np.isclose(scale, (bottom - top) / 50)
    first = axes.patches[0]
    assert np.allclose(first.get_xy(), (left + 5 * scale, top + 5 * scale)) and np.isclose(first.get_width(), 35 * scale)
