"""Batches of scenes: the same for any number of workers and ranks, resumable, and whole in spite of unreadable images."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from horosphere.data import Preprocessing, SceneCrops, load_scenes, scene_batches
from horosphere.data.scenes import loading, steps_per_epoch
from horosphere.errors import InputError
from tests.data.helpers import shared, write
from tests.data.scenes.helpers import scenes

PREPROCESSING, CROPS = Preprocessing(16, 20, interpolation="bilinear"), SceneCrops(least=10, window=30)
VIEWS = ("first", "second", "scene", "object")


@pytest.fixture
def data(tmp_path):
    return scenes(tmp_path, 9)


def batches(data, **options):
    return list(scene_batches(data, PREPROCESSING, CROPS, **{"batch_size": 4, "stop": 5, "seed": 3} | options))


def same(one, other):
    assert [batch.step for batch in one] == [batch.step for batch in other]
    for a, b in zip(one, other, strict=True):
        assert all(torch.equal(getattr(a, view), getattr(b, view)) for view in VIEWS)
        assert a.failures == b.failures


def test_batches(data, monkeypatch):
    whole = batches(data)
    assert [batch.step for batch in whole] == [0, 1, 2, 3, 4]
    for view in VIEWS:
        tensor = getattr(whole[0], view)
        assert tensor.shape == (4, 3, 16, 16) and tensor.dtype == torch.uint8 and tensor.is_contiguous()
    assert not torch.equal(whole[0].first, whole[0].second)
    assert not torch.equal(whole[0].first, batches(data, seed=4)[0].first)
    # Resumed from the middle, in other tasks, over two ranks: always the same.
    same(batches(data, start=3), whole[3:])
    monkeypatch.setattr(loading, "_TASK", 3)
    same(batches(data), whole)
    for one, two, both in zip(batches(data, rank=0, world=2), batches(data, rank=1, world=2), whole, strict=True):
        assert all(torch.equal(torch.cat([getattr(one, v), getattr(two, v)]), getattr(both, v)) for v in VIEWS)


def test_workers_change_nothing(data, monkeypatch):
    monkeypatch.setattr(loading, "_TASK", 3)
    state = torch.get_rng_state()
    same(batches(data, workers=2), batches(data))
    assert torch.equal(state, torch.get_rng_state())


def test_an_epoch_shows_every_image_at_most_once(data, monkeypatch):
    order, blank = [], loading.SceneViews(*[torch.zeros(3, 16, 16, dtype=torch.uint8)] * 4)
    monkeypatch.setattr(loading._Items, "_draw", lambda self, i, step, place: order.append(i) or blank)
    batches(data, stop=4)
    assert steps_per_epoch(9, 4) == 2
    assert len(set(order[:8])) == 8 and len(set(order[8:])) == 8 and order[:8] != order[8:]


def test_unreadable_images_are_replaced(data, tmp_path):
    write(tmp_path, {"3.jpg": b"no image"})
    wrong = replace(data, sizes=np.where(np.arange(9)[:, None] == 5, 200, data.sizes))
    whole = batches(wrong, stop=2)
    assert all(len(batch.first) == 4 for batch in whole)
    failures = dict(failure for batch in whole for failure in batch.failures)
    assert set(failures) <= {"3.jpg", "5.jpg"} and failures
    for name, reason in failures.items():
        assert ("its boxes are for 200 × 200" if name == "5.jpg" else "not an image") in reason
    same(batches(wrong, stop=2, workers=1), whole)
    write(tmp_path, {f"{i}.jpg": b"" for i in range(9)})
    for workers in (0, 1):
        with pytest.raises(InputError, match=r"none of the 9 images can be read, first .*0 bytes"):
            batches(data, workers=workers)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 10}, "batches of 10 from 9 images"),
        ({"batch_size": 0}, "batches of 0"),
        ({"world": 3}, "divides over the processes"),
        ({"rank": 2, "world": 2}, "rank 2 of 2"),
        ({"workers": -1}, "-1 workers"),
    ],
)
def test_what_does_not_fit(data, options, message):
    with pytest.raises(InputError, match=message):
        batches(data, **options)


def test_without_preprocessing_or_boxes(data):
    with pytest.raises(InputError, match="Preprocessing"):
        next(scene_batches(data, None, CROPS, batch_size=2))
    with pytest.raises(InputError, match="none of 9 images has 2 boxes of at least 56"):
        next(scene_batches(data, PREPROCESSING, SceneCrops(), batch_size=2))


def test_real_scenes():
    for name in ("coco_scenes_320.zip", "bccd.zip"):
        data = load_scenes(shared(name)).select("train")
        (batch,) = scene_batches(data, Preprocessing(32, 32), SceneCrops(least=28, window=128), batch_size=8, stop=1)
        assert batch.scene.shape == (8, 3, 32, 32) and batch.failures == []
