"""Pasted pairs differ inside their box only, and by nothing but the object; boxes with a flag are read."""

import json
from dataclasses import replace

import numpy as np
import pytest

from horosphere.data import OutOfContext, UnreadableImage, decode, load_out_of_context, load_scenes
from horosphere.errors import InputError
from tests.data.helpers import psnr, shared, write
from tests.data.scenes.helpers import jpeg, scenes


@pytest.fixture
def data(tmp_path):
    return scenes(tmp_path, 8)


def test_pairs(data):
    pairs = OutOfContext(data, least=12, seed=2)
    assert len(pairs) == 8
    for i, (own, other) in enumerate(pairs):
        image = decode(data.images.read(i))
        left, top, right, bottom = own.box
        assert own.box == other.box and (own.label, other.label) == (0, 1)
        assert own.scene == other.scene == own.donor == data.ids[i] != other.donor
        outside = np.ones(image.shape[:2], bool)
        outside[top:bottom, left:right] = False
        for scene in (own, other):
            assert scene.pixels.shape == image.shape and scene.pixels.dtype == np.uint8
            assert np.array_equal(scene.pixels[outside], image[outside])
        # The scene's own object comes back a little softer; the other one is something else.
        assert psnr(own.pixels, image) > psnr(other.pixels, image)
        assert not np.array_equal(own.pixels, image)
    again = OutOfContext(data, least=12, seed=2)[5]
    assert np.array_equal(again[1].pixels, pairs[5][1].pixels) and again[1].donor == pairs[5][1].donor
    others = [pair[1].donor for pair in OutOfContext(data, least=12, seed=3)]
    assert others != [pair[1].donor for pair in pairs]
    with pytest.raises(IndexError):
        pairs[8]


def test_the_foreign_object_is_of_a_class_the_scene_does_not_show(data):
    one = replace(data, labels=tuple(np.full(3, i % 4) for i in range(8)))
    position = {name: i for i, name in enumerate(data.ids.tolist())}
    for i, (_, other) in enumerate(OutOfContext(one, least=12)):
        assert position[other.donor] % 4 != i % 4
    # Where every scene shows the same class, or none is known, any other scene will do.
    for label in (0, -1):
        same = replace(data, labels=(np.full(3, label),) * 8)
        assert all(other.donor != other.scene for _, other in OutOfContext(same, least=12))


def test_an_image_pasted_with_itself_gives_two_equal_scenes(tmp_path):
    """Two scenes of the same pixels and boxes: then nothing tells a foreign object from the scene's own."""
    data = scenes(tmp_path, 1, boxes=1)
    write(tmp_path, {"1.jpg": data.images.read(0)})
    files = type(data.images)(tmp_path, ["0.jpg", "1.jpg"])
    twice = replace(
        data,
        images=files,
        boxes=data.boxes * 2,
        labels=data.labels * 2,
        sizes=np.repeat(data.sizes, 2, 0),
        split=np.repeat(data.split, 2),
        ids=np.array(["0", "1"]),
    )
    for own, other in OutOfContext(twice, least=12):
        assert np.array_equal(own.pixels, other.pixels) and own.donor != other.donor


def test_too_few_scenes_and_unreadable_ones(data, tmp_path):
    with pytest.raises(InputError, match="expected two or more"):
        OutOfContext(data.take([0]), least=12)
    with pytest.raises(InputError, match=r"rim 0\.7"):
        OutOfContext(data, rim=0.7)
    pairs = OutOfContext(data, least=12)
    write(tmp_path, {"3.jpg": b""})
    with pytest.raises(UnreadableImage, match=r"3\.jpg"):
        pairs[3]


ROWS = [
    {"image": "a.jpg", "left": 5, "top": 6, "right": 30, "bottom": 40, "out_of_context": 1},
    {"image": "a.jpg", "left": 0, "top": 0, "right": 20, "bottom": 20, "out_of_context": 0},
    {"image": "a.jpg", "left": 0, "top": 0, "right": 20, "bottom": 20, "out_of_context": 2},
    {"image": "a.jpg", "left": "", "top": 0, "right": 20, "bottom": 20, "out_of_context": 0},
    {"image": "a.jpg", "left": 20, "top": 0, "right": 20, "bottom": 20, "out_of_context": 0},
    {"image": "gone.jpg", "left": 0, "top": 0, "right": 20, "bottom": 20, "out_of_context": 0},
]


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_boxes_with_a_flag(tmp_path, kind):
    columns = list(ROWS[0])
    lines = [",".join(columns), *(",".join(str(row[c]) for c in columns) for row in ROWS)]
    table = json.dumps(ROWS) if kind == "json" else "\n".join(lines)
    data = load_out_of_context(write(tmp_path / "set", {f"boxes.{kind}": table, "images/a.jpg": jpeg()}))
    assert data.classes == ("in context", "out of context") and data.labels[0].tolist() == [1, 0]
    assert data.boxes[0].tolist() == [[5, 6, 30, 40], [0, 0, 20, 20]] and data.split.tolist() == ["test"]
    assert data.dropped == {"malformed boxes": 2, "boxes of zero area": 1, "missing images": 1}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "0 tables"),
        ({"a.csv": "", "b.csv": ""}, "2 tables .a.csv, b.csv."),
        ({"a.csv": "image,left\na.jpg,1\n"}, "needs rows with bottom, image"),
        ({"a.json": "[1]"}, "needs rows"),
        ({"a.json": "{"}, "cannot be read"),
    ],
)
def test_wrong_tables(tmp_path, files, message):
    with pytest.raises(InputError, match=message):
        load_out_of_context(write(tmp_path / "set", {"a.jpg": jpeg()} | files))


def test_real_pairs():
    data = load_scenes(shared("coco_scenes_320.zip"))
    pairs = OutOfContext(data)
    own, other = pairs[2]
    # Seen from its box alone, the scene's own object is far nearer to what was there.
    left, top, right, bottom = own.box
    image = decode(data.images.read(data.ids.tolist().index(own.scene)))
    was, same, foreign = (pixels[top:bottom, left:right] for pixels in (image, own.pixels, other.pixels))
    assert len(pairs) > 200 and min(right - left, bottom - top) >= 56
    assert psnr(same, was) > 22 > psnr(foreign, was)
