"""Proposals: boxes inside the image, none like another, the same in every run, kept and taken up again."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou

from horosphere.data import load_scenes, with_proposals
from horosphere.data.scenes import proposals
from horosphere.errors import InputError
from tests.data.helpers import shared, write
from tests.data.scenes.helpers import scenes


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("HOROSPHERE_CACHE", str(tmp_path / "cache"))
    return scenes(tmp_path / "set", 5)


def quarters(pixels):
    """A method of proposals that needs no OpenCV: the quarters of the image, in pixels of what it is shown."""
    height, width = pixels.shape[:2]
    return np.array([[x, y, x + width / 2, y + height / 2] for x in (0, width / 2) for y in (0, height / 2)])


@pytest.fixture
def method(monkeypatch):
    monkeypatch.setitem(proposals.METHODS, "quarters", quarters)
    return "quarters"


@given(
    st.integers(20, 200), st.integers(20, 200), st.integers(0, 60), st.integers(1, 30), st.floats(0.2, 1), st.integers(0, 99)
)
@settings(max_examples=100, deadline=None)
def test_chosen_boxes(width, height, count, most, overlap, seed):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-10, max(width, height), (2, count, 2))
    boxes = np.concatenate([corners.min(0), corners.max(0)], 1)
    found = proposals.chosen(boxes, (width, height), 8, most, overlap)
    assert found.dtype == np.float32 and len(found) <= most
    assert np.array_equal(found, proposals.chosen(rng.permutation(boxes), (width, height), 8, most, overlap))
    assert (found >= 0).all() and (found[:, 2:] <= (width, height)).all() and (found[:, 2:] - found[:, :2] >= 8).all()
    image = torch.tensor([[0.0, 0, width, height]])
    among = box_iou(torch.from_numpy(found), torch.cat([image, torch.from_numpy(found)]))
    assert (among[:, 1:].fill_diagonal_(0) <= overlap + 1e-6).all() and (among[:, 0] <= overlap + 1e-6).all()


def test_kept_boxes_are_found_again(data, method, monkeypatch):
    monkeypatch.setattr(proposals, "_TASK", 2)
    found = with_proposals(data, least=5, method=method)
    width, height = data.sizes[0]
    assert sorted(found.boxes[0].tolist()) == sorted(quarters(np.zeros((height, width))).tolist())
    assert found.classes == () and all((labels == -1).all() for labels in found.labels) and found.masks is None
    (folder,) = (proposals.cache_folder() / "proposals").iterdir()
    files = sorted(folder.glob("*.npz"))
    assert [file.name for file in files] == ["000000000.npz", "000000002.npz", "000000004.npz"]
    # Stopped after the first and the last: only what is missing is searched.
    files[1].unlink()
    searched = []
    monkeypatch.setitem(proposals.METHODS, method, lambda pixels: searched.append(1) or quarters(pixels))
    again = with_proposals(data, least=5, method=method)
    assert len(searched) == 2 and all(np.array_equal(a, b) for a, b in zip(again.boxes, found.boxes, strict=True))
    # Other options, and other images, are other files.
    with_proposals(data, least=6, method=method)
    with_proposals(data.take([0]), least=5, method=method)
    assert len(searched) == 2 + 5 + 1


def test_the_search_sees_a_smaller_image(data, method):
    whole, shrunk = with_proposals(data, least=5, method=method), with_proposals(data, least=5, side=16, method=method)
    for one, other in zip(whole.boxes, shrunk.boxes, strict=True):
        assert np.abs(np.sort(one, 0) - np.sort(other, 0)).max() < 1e-4
    assert [len(boxes) for boxes in with_proposals(data, least=5, most=3, method=method).boxes] == [3] * 5


def test_unreadable_images_are_left_out_and_counted(data, method, tmp_path):
    write(tmp_path / "set", {"3.jpg": b""})
    wrong = replace(data, sizes=np.where(np.arange(5)[:, None] == 1, 500, data.sizes))
    for _ in range(2):
        found = with_proposals(wrong, least=5, method=method)
        assert found.ids.tolist() == ["0.jpg", "2.jpg", "4.jpg"] and found.dropped == {"unreadable images": 2}


def test_wrong_calls(data, method, monkeypatch):
    for options, message in [
        ({"method": "guess"}, "Unknown method 'guess'"),
        ({"least": 0}, "least 0"),
        ({"most": 0}, "at least 1 box"),
        ({"overlap": 0}, "overlap 0"),
        ({"least": 400, "method": method}, "no region of 400 × 400 pixels in 5 images"),
    ]:
        with pytest.raises(InputError, match=message):
            with_proposals(data, **options)
    monkeypatch.setitem(sys.modules, "cv2", None)
    for workers in (0, 1):
        with pytest.raises(InputError, match=r"pip install 'horosphere\[scenes\]'"):
            with_proposals(data, workers=workers)


def test_a_cache_that_cannot_be_written(data, method, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOROSPHERE_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="set \\$HOROSPHERE_CACHE"):
        with_proposals(data, least=5, method=method)


def test_selective_search_of_real_scenes(monkeypatch, tmp_path):
    pytest.importorskip("cv2.ximgproc")
    data = load_scenes(shared("coco_scenes_320.zip")).take(range(4))
    found = []
    for cache in ("one", "two"):
        monkeypatch.setenv("HOROSPHERE_CACHE", str(tmp_path / cache))
        found.append(with_proposals(data, least=28, most=40, side=160, workers=2 if cache == "two" else 0))
    assert all(np.array_equal(a, b) for a, b in zip(found[0].boxes, found[1].boxes, strict=True))
    assert [len(boxes) for boxes in found[0].boxes] == [40] * 4
    # Some region fits an object that people marked.
    fits = [
        float(box_iou(torch.from_numpy(boxes), torch.from_numpy(marked)).max())
        for boxes, marked in zip(found[0].boxes, data.boxes, strict=True)
    ]
    assert max(fits) > 0.5
