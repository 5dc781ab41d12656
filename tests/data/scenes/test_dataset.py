"""SceneData keeps images, boxes, labels and masks together, and refuses what disagrees."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horosphere.data import SceneData
from horosphere.data.scenes.reading import split_of
from horosphere.errors import InputError
from tests.data.scenes.helpers import scenes


class Blank:
    """A source of images that are never read."""

    def __init__(self, indices):
        self.indices = tuple(indices)

    def __len__(self):
        return len(self.indices)

    def take(self, indices):
        return Blank(self.indices[i] for i in indices)


@st.composite
def sets(draw):
    n = draw(st.integers(1, 6))
    boxes = [
        [
            (x, y, x + draw(st.integers(1, 40)), y + draw(st.integers(1, 40)))
            for x, y in draw(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=4))
        ]
        for _ in range(n)
    ]
    labels = tuple(np.arange(len(each)) for each in boxes)
    masks = tuple(tuple(f"{i}:{j}" for j in range(len(each))) for i, each in enumerate(boxes))
    ids = np.array([str(i) for i in range(n)])
    given = tuple(np.array(each, np.float32).reshape(-1, 4) for each in boxes)
    split = np.resize(["train", "test"], n)
    return SceneData(
        "drawn", Blank(range(n)), given, labels, masks, tuple("abcd"), None, np.full((n, 2), 100), split, ids, {}
    )


@given(sets(), st.integers(1, 40), st.integers(1, 3))
@settings(max_examples=80, deadline=None)
def test_boxes_of_a_least_side(data, least, count):
    large = [[j for j, b in enumerate(boxes) if min(b[2] - b[0], b[3] - b[1]) >= least] for boxes in data.boxes]
    wanted = [i for i, each in enumerate(large) if len(each) >= count]
    if not wanted:
        with pytest.raises(InputError, match="Lower the least side"):
            data.with_boxes(least, count)
        return
    kept = data.with_boxes(least, count)
    assert list(kept.images.indices) == wanted and kept.ids.tolist() == [str(i) for i in wanted]
    for place, i in enumerate(wanted):
        assert kept.labels[place].tolist() == large[i]
        assert kept.masks[place] == tuple(f"{i}:{j}" for j in large[i])
        assert np.array_equal(kept.boxes[place], data.boxes[i][large[i]])


def test_take_and_select(tmp_path):
    data = replace(scenes(tmp_path), split=np.resize(["train", "test"], 6))
    assert data.take([4, 1]).ids.tolist() == ["4.jpg", "1.jpg"] and data.take([4]).images.read(0) == data.images.read(4)
    assert data.select("test").ids.tolist() == ["1.jpg", "3.jpg", "5.jpg"]
    with pytest.raises(InputError, match="no split \\['validation'\\]; it has test, train"):
        data.select("validation")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"split": np.full(6, "query")}, "unknown split"),
        ({"split": np.full(5, "train")}, "split for 5 images; expected 6"),
        ({"boxes": (np.array([[5, 5, 5, 9]]),) * 6, "labels": (np.zeros(1),) * 6}, "0.jpg: box .* area above 0"),
        ({"boxes": (np.array([[5, 5, 500, 9]]),) * 6, "labels": (np.zeros(1),) * 6}, "inside the image"),
        ({"labels": (np.zeros(2),) * 6}, "3 boxes, 2 labels"),
        ({"labels": (np.full(3, 4),) * 6}, "labels from 4 to 4"),
        ({"labels": (np.full(3, -2),) * 6}, "labels from -2"),
        ({"masks": ((None,),) * 6}, "1 masks"),
        ({"superclasses": ("x",)}, "1 superclasses of 4 classes"),
    ],
)
def test_what_disagrees_is_refused(tmp_path, changed, message):
    with pytest.raises(InputError, match=message):
        replace(scenes(tmp_path), **changed)


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("annotations/instances_train2017.json", "train"),
        ("annotations/instances_minival2014.json", "validation"),
        ("valid/_annotations.coco.json", "validation"),
        ("Test/x.xml", "test"),
        ("train/instances_val2017.json", "validation"),
        ("boxes.json", None),
    ],
)
def test_names_say_the_split(path, split):
    assert split_of(path) == split
