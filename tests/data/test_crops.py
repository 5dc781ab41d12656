"""Crops lie inside the image and hold what they must, whatever the boxes; colours follow torchvision's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional

from horosphere.config import SceneCrops
from horosphere.data import Preprocessing, UnreadableImage
from horosphere.data.crops import around, object_window, open_scene, recoloured, scene_boxes, scene_views, whole
from horosphere.data.transforms import crop
from horosphere.errors import InputError
from tests.data.helpers import encoded, photograph, psnr

PLAIN = SceneCrops(jitter=0, grey=0, blur=0, flip=0)
PREPROCESSING = Preprocessing(24, 24, interpolation="bilinear")


@st.composite
def images(draw):
    """Width, height and 1 to 6 boxes of area above 0 inside them."""
    width, height = draw(st.integers(2, 700)), draw(st.integers(2, 700))
    boxes = []
    for _ in range(draw(st.integers(1, 6))):
        x = sorted(draw(st.lists(st.floats(0, width, width=32), min_size=2, max_size=2)))
        y = sorted(draw(st.lists(st.floats(0, height, width=32), min_size=2, max_size=2)))
        if x[1] > x[0] and y[1] > y[0]:
            boxes.append((x[0], y[0], x[1], y[1]))
    return (width, height), np.array(boxes or [(0, 0, 1, 1)], np.float32)


def inside(inner, outer):
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


@given(images(), st.integers(1, 400), st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_boxes_of_views(image, window, seed):
    size, boxes = image
    crops = SceneCrops(window=window)
    drawn = scene_boxes(size, boxes, crops, np.random.default_rng(seed))
    assert drawn == scene_boxes(size, boxes, crops, np.random.default_rng(seed))
    for box in drawn:
        assert inside(box, (0, 0, *size)) and box[2] > box[0] and box[3] > box[1]
        assert all(isinstance(edge, int) for edge in box)
    assert inside(drawn.object, drawn.scene)
    chosen = [whole(box) for box in boxes].index(drawn.object)
    edges = {tuple(whole(box)[axis] for axis in range(4)) for box in boxes}
    assert drawn.scene[0] in {edge[0] for edge in edges} and drawn.scene[3] in {edge[3] for edge in edges}
    assert inside(boxes[chosen], drawn.scene)


@given(images(), st.integers(1, 400), st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_windows_hold_their_box(image, window, seed):
    size, boxes = image
    box = whole(boxes[0])
    found = object_window(boxes[0], size, window, np.random.default_rng(seed))
    assert inside(box, found) and inside(found, (0, 0, *size))
    sides = [found[axis + 2] - found[axis] for axis in range(2)]
    own = [box[axis + 2] - box[axis] for axis in range(2)]
    if own[0] * own[1] >= window**2:
        assert found == box
    else:
        assert sides == [max(own[axis], min(window, size[axis])) for axis in range(2)]


def test_windows_are_drawn_for_each_axis_by_itself():
    # A flat box: the published code moves both axes by the room there is on the horizontal one.
    rng = np.random.default_rng(0)
    found = np.array([object_window((300, 300, 540, 310), (1000, 1000), 256, rng) for _ in range(4000)])
    assert (found[:, 2:] - found[:, :2] == 256).all()
    for column, low, high in ((0, 284, 300), (1, 54, 300)):
        values = np.unique(found[:, column], return_counts=True)
        assert values[0].min() == low and values[0].max() == high
        # Uniform: no place is drawn far more often than another.
        assert values[1].max() < 3 * 4000 / (high - low + 1)


def test_a_scene_takes_in_other_boxes():
    """Boxes in a row, so that a scene tells which it holds: the outermost ones decide."""
    boxes = np.array([(10 * i, 0, 10 * i + 5, 5) for i in range(8)], np.float32)
    rng = np.random.default_rng(1)
    counts = []
    for _ in range(500):
        left, _, right, _ = around(boxes[:3], 1, (2, 5), rng)
        assert (left, right) == (0, 25)  # fewer than asked for: all
        left, _, right, _ = around(boxes, 0, (1, 1), rng)
        counts.append(round((right - 5) / 10))
        assert left == 0
    assert set(counts) == set(range(1, 8))  # never the object again, and each of the others
    assert around(boxes[:1], 0, (2, 5), rng) == (0, 0, 5, 5)


def test_views_are_the_crops():
    picture = photograph(200, 150)
    boxes = np.array([[20, 30, 90, 100], [60.5, 20.25, 180, 149]], np.float32)
    data = encoded(picture, "PNG")
    drawn = scene_boxes((200, 150), boxes, PLAIN, np.random.default_rng(2))
    views = scene_views(data, (200, 150), boxes, PREPROCESSING, PLAIN, np.random.default_rng(2))
    for view, box in zip(views, drawn, strict=True):
        assert view.shape == (3, 24, 24) and view.dtype == torch.uint8
        assert torch.equal(view, crop(open_scene(data, (200, 150)), box, PREPROCESSING))
        reference = picture.crop(box).resize((24, 24), 2, reducing_gap=None)
        assert psnr(view.permute(1, 2, 0), reference) > 45
    only = scene_views(data, (200, 150), boxes, PREPROCESSING, PLAIN, np.random.default_rng(2), scenes=False)
    assert torch.equal(only.first, views.first) and torch.equal(only.second, views.second)
    assert only.scene is None and only.object is None


def test_grey_images_have_views_too():
    grey = Preprocessing(24, 24, mean=(0.5,), std=(0.5,), interpolation="bilinear")
    crops = SceneCrops(jitter=1, blur=1, grey=1, flip=1)
    boxes = np.array([[0, 0, 60, 60], [30, 30, 90, 90]])
    views = scene_views(encoded(photograph(90, 90)), (90, 90), boxes, grey, crops, np.random.default_rng(0))
    assert all(view.shape == (1, 24, 24) for view in views)


def test_another_size_than_the_boxes_is_unreadable():
    with pytest.raises(UnreadableImage, match=r"a\.png: the image is 80 × 60, but its boxes are for 60 × 80"):
        open_scene(encoded(photograph(80, 60), "PNG"), (60, 80), name="a.png")


def test_colours_keep_to_their_chances():
    view = torch.from_numpy(np.array(photograph(32, 32))).permute(2, 0, 1).contiguous()
    rng = np.random.default_rng(0)
    assert torch.equal(recoloured(view, PLAIN, rng), view)
    assert torch.equal(recoloured(view, SceneCrops(jitter=0, grey=0, blur=0, flip=1), rng), view.flip(-1))
    grey = recoloured(view, SceneCrops(jitter=0, grey=1, blur=0, flip=0), rng)
    assert (grey.int() - functional.rgb_to_grayscale(view, 3).int()).abs().max() <= 1
    only = {"jitter": 1, "grey": 0, "blur": 0, "flip": 0, "brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}
    near = recoloured(view, SceneCrops(**only), rng)
    assert (near.int() - view.int()).abs().max() <= 4  # 8 bits of hue and back
    brightness = [recoloured(view, SceneCrops(**only | {"brightness": 0.4}), rng).float().mean() for _ in range(200)]
    ratios = torch.stack(brightness) / view.float().mean()
    assert 0.59 < ratios.min() < 0.65 and 1.3 < ratios.max() < 1.41
    blurred = recoloured(view, SceneCrops(jitter=0, grey=0, blur=1, flip=0, sigma=(2, 2)), rng)
    assert psnr(blurred, functional.gaussian_blur(view, [23, 23], [2, 2])) > 30 > psnr(blurred, view)
    flips = [torch.equal(recoloured(view, SceneCrops(jitter=0, grey=0, blur=0), rng), view) for _ in range(400)]
    assert 150 < sum(flips) < 250


@pytest.mark.parametrize(
    "wrong",
    [
        {"least": 0},
        {"window": 0},
        {"scale": (0, 1)},
        {"scale": (0.5, 0.2)},
        {"ratio": (2, 1)},
        {"others": (0, 3)},
        {"others": (4, 3)},
        {"jitter": 1.1},
        {"grey": -0.1},
        {"brightness": -1},
        {"hue": 0.6},
        {"sigma": (0, 1)},
    ],
)
def test_options_out_of_range(wrong):
    with pytest.raises(InputError, match=f"crops.{next(iter(wrong))} is .*; expected"):
        SceneCrops(**wrong)
