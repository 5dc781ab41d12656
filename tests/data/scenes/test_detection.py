"""Whole scenes with boxes: order, mirroring, what is left out; and scenes as a model sees them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from horosphere.data import (
    Preprocessing,
    UnreadableImage,
    detection_batches,
    mapped,
    read_scene,
    scene_and_objects,
    usable_boxes,
    usable_images,
)
from horosphere.data.scenes.masks import decode_mask
from horosphere.errors import InputError

from .helpers import scenes


def take(data, **options):
    return list(detection_batches(data, batch_size=4, **{"stop": 5} | options))


def test_a_step_depends_on_seed_and_step_alone(tmp_path):
    data = scenes(tmp_path)
    whole, later = take(data), take(data, start=3, workers=1)
    assert [step for step, _, _ in later] == [3, 4]
    for (_, a, _), (_, b, _) in zip(whole[3:], later, strict=True):
        for one, two in zip(a, b, strict=True):
            assert torch.equal(one.image, two.image) and torch.equal(one.boxes, two.boxes)
    other = take(data, seed=1)
    assert any(
        not torch.equal(a.boxes, b.boxes)
        for (_, x, _), (_, y, _) in zip(whole, other, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def test_every_image_comes_once_an_epoch_and_some_are_mirrored(tmp_path):
    data = scenes(tmp_path)
    pictures = {i: torch.from_numpy(np.array(read_scene(data, i))).permute(2, 0, 1) for i in range(len(data))}
    seen, mirrored = [], 0
    for _, batch, _ in take(data, stop=6):
        for scene in batch:
            for i, picture in pictures.items():
                if torch.equal(scene.image, picture):
                    boxes = torch.from_numpy(data.boxes[i])
                elif torch.equal(scene.image, picture.flip(-1)):
                    mirrored += 1
                    boxes = torch.from_numpy(data.boxes[i])[:, [2, 1, 0, 3]]
                    boxes[:, [0, 2]] = picture.shape[-1] - boxes[:, [0, 2]]
                else:
                    continue
                assert torch.equal(scene.boxes, boxes) and scene.labels.tolist() == data.labels[i].tolist()
                seen.append(i)
    assert len(seen) == 24 and 0 < mirrored < 24
    for start in range(0, 24, 6):
        assert sorted(seen[start : start + 6]) == list(range(6))


def test_boxes_without_class_or_mask_are_left_out_and_masks_follow_the_mirror(tmp_path):
    pytest.importorskip("pycocotools", reason="needs the extra detection")
    data = scenes(tmp_path, n=4)
    polygon = [[10.0, 10.0, 30.0, 10.0, 30.0, 40.0, 10.0, 40.0]]
    labels = tuple(np.array([-1, 0, 1]) for _ in range(4))
    data = replace(data, labels=labels, masks=tuple((None, polygon, None) if i else (polygon, None, None) for i in range(4)))
    assert all(len(scene.labels) == 2 for _, batch, _ in take(data) for scene in batch)
    sums = set()
    for _, batch, _ in take(data, masks=True):
        for scene in batch:
            assert scene.labels.tolist() == [0] and scene.masks.shape == (1, *scene.image.shape[1:])
            columns = scene.masks[0].any(0).nonzero().flatten()
            sums.add(int(columns[0]) == 10)
            assert scene.masks.sum() == decode_mask(polygon, scene.image.shape[:0:-1]).sum()
    assert sums == {True, False}
    empty = replace(
        data,
        boxes=(np.zeros((0, 4)), *data.boxes[1:]),
        labels=(np.zeros(0), *data.labels[1:]),
        masks=((), *data.masks[1:]),
    )
    for masks in (False, True):
        assert usable_images(empty, masks).tolist() == [1, 2, 3] and not usable_boxes(empty, 0, masks).size
    with pytest.raises(InputError, match="a box with a class and a mask"):
        usable_images(replace(data, masks=None), masks=True)
    with pytest.raises(InputError, match="none of 4 images of the split train has a box with a class"):
        take(replace(data, labels=tuple(np.full(3, -1) for _ in range(4))))


def test_an_unreadable_image_is_replaced_and_listed(tmp_path):
    data = scenes(tmp_path)
    (tmp_path / "2.jpg").write_bytes(b"\xff\xd8 cut")
    batches = take(data)
    assert {name for _, _, failures in batches for name, _ in failures} == {"2.jpg"}
    assert all(len(batch) == 4 for _, batch, _ in batches)
    for i in range(6):
        (tmp_path / f"{i}.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="no image can be read"):
        take(data, workers=1)


def test_scene_and_objects_are_whole_image_and_boxes_resized():
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[10:20, 30:50] = 255
    views = scene_and_objects(pixels, np.array([[30, 10, 50, 20], [0, 0, 20, 40]]), Preprocessing(16, 16))
    assert views.shape == (3, 3, 16, 16) and views.dtype == torch.uint8
    assert views[1].min() == 255 and views[2].max() == 0
    assert views[0].float().mean() == pytest.approx(255 * 200 / 2400, rel=0.05)


@pytest.mark.parametrize("workers", [0, 1])
def test_mapped_keeps_order_and_tells_what_cannot_be_read(tmp_path, workers):
    data = scenes(tmp_path, n=3)
    (tmp_path / "1.jpg").write_bytes(b"")
    from functools import partial

    answers = list(mapped(partial(read_scene, data), 3, workers))
    assert [i for i, _, _ in answers] == [0, 1, 2] and answers[1][1] is None and answers[1][2].name == "1.jpg"
    assert answers[0][1].shape == (data.sizes[0][1], data.sizes[0][0], 3)


def test_an_image_of_another_size_than_its_boxes_is_unreadable(tmp_path):
    data = scenes(tmp_path, n=2)
    with pytest.raises(UnreadableImage, match="boxes are for"):
        read_scene(replace(data, sizes=data.sizes + 1), 0)
