"""Batches: the same for any number of workers and ranks, resumable, and whole in spite of unreadable images."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from horosphere.data import (
    ArrayImages,
    Augmentation,
    ClassBalancedSampler,
    Preprocessing,
    RetrievalData,
    embedding_batches,
    evaluation_view,
    load_data,
    loading,
    training_batches,
)
from horosphere.errors import InputError
from tests.data.helpers import encoded, photograph, shared, write

PREPROCESSING, AUGMENTATION = Preprocessing(16, 20), Augmentation(rotation=5)


@pytest.fixture
def data(tmp_path):
    files = {f"c{c}/{i}.jpg": encoded(photograph(40 + c, 30 + i, seed=9 * c + i)) for c in range(6) for i in range(4)}
    return load_data("folder", write(tmp_path / "set", files), train_classes=6)


def batches(data, *, rank=0, world=1, **options):
    sampler = ClassBalancedSampler(data.labels, classes=4, images=3, seed=1, rank=rank, world=world)
    return list(training_batches(data, sampler, PREPROCESSING, AUGMENTATION, **{"stop": 3, "seed": 5} | options))


def same(one, other):
    assert [b.step for b in one] == [b.step for b in other]
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)
        assert a.failures == b.failures


def test_training_batches(data, monkeypatch):
    whole = batches(data)
    assert whole[0].images.shape == (12, 3, 16, 16)
    assert whole[0].images.dtype == torch.uint8
    sampler = ClassBalancedSampler(data.labels, classes=4, images=3, seed=1)
    assert whole[2].labels.tolist() == data.labels[sampler.batch(2)].tolist()
    assert not torch.equal(whole[0].images, batches(data, seed=6)[0].images)
    # Resumed from the middle, in other tasks, over two ranks: always the same.
    same(batches(data, start=1), whole[1:])
    monkeypatch.setattr(loading, "_TASK", 5)
    same(batches(data), whole)
    for both in zip(batches(data, rank=0, world=2), batches(data, rank=1, world=2), whole, strict=True):
        assert torch.equal(torch.cat([both[0].images, both[1].images]), both[2].images)


def test_workers_change_nothing(data, monkeypatch):
    monkeypatch.setattr(loading, "_TASK", 5)
    state = torch.get_rng_state()
    same(batches(data, workers=2), batches(data))
    one, two = (list(embedding_batches(data, PREPROCESSING, batch_size=7, workers=w)) for w in (0, 2))
    assert all(torch.equal(a.images, b.images) and torch.equal(a.indices, b.indices) for a, b in zip(one, two, strict=True))
    assert torch.equal(state, torch.get_rng_state())


def test_without_augmentation_the_views_are_the_evaluations(data):
    sampler = ClassBalancedSampler(data.labels, classes=4, images=3)
    batch = next(training_batches(data, sampler, PREPROCESSING, None))
    views = [evaluation_view(data.images.read(i), PREPROCESSING) for i in sampler.batch(0)]
    assert torch.equal(batch.images, torch.stack(views))


def test_unreadable_images_are_replaced_within_their_class(data, tmp_path):
    write(tmp_path / "set", {"c2/1.jpg": b"", "c3/0.jpg": b"broken"})
    (tmp_path / "set" / "c4" / "2.jpg").unlink()
    reference = batches(data, workers=0, stop=6)
    failures = [f for b in reference for f in b.failures]
    assert {name for name, _ in failures} == {"c2/1.jpg", "c3/0.jpg", "c4/2.jpg"}
    assert dict(failures)["c2/1.jpg"] == "the file is empty (0 bytes)"
    assert all(b.images.shape == (12, 3, 16, 16) for b in reference)
    same(batches(data, workers=1, stop=6), reference)
    for both in zip(batches(data, rank=0, world=2), batches(data, rank=1, world=2), reference, strict=False):
        assert torch.equal(torch.cat([both[0].images, both[1].images]), both[2].images)
        assert both[0].failures + both[1].failures == both[2].failures
    embedded = list(embedding_batches(data, PREPROCESSING, batch_size=5))
    assert sorted({name for b in embedded for name, _ in b.failures}) == ["c2/1.jpg", "c3/0.jpg", "c4/2.jpg"]
    indices = torch.cat([b.indices for b in embedded])
    assert len(indices) == 21 == sum(len(b.images) for b in embedded)
    assert indices.tolist() == sorted(indices.tolist())


def test_a_replacement_is_an_image_the_batch_lacks():
    images = ArrayImages(np.full((8, 9, 9, 3), 0, np.uint8) + np.arange(8, dtype=np.uint8)[:, None, None, None])
    data = RetrievalData("toy", images, None, np.arange(8) // 4, ("a", "b"), None, np.full(8, "train"))
    views = loading._TrainingViews(data, PREPROCESSING, None, 0)
    plain = views._draw

    def fails(i, step, place):
        if i == 0:
            raise loading.UnreadableImage("0", "broken")
        return plain(i, step, place)

    views._draw = fails
    for step in range(5):
        _, images, labels, failures = views[step, np.array([0, 1, 2, 4, 5, 6]), 0, 0]
        assert images[:, 0, 0, 0].tolist() == [3, 1, 2, 4, 5, 6]
        assert labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert failures == [("0", "broken")]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_class_without_a_readable_image_is_an_error(data, tmp_path, workers):
    write(tmp_path / "set", {f"c2/{i}.jpg": b"" for i in range(4)})
    with pytest.raises(InputError, match=r"^set: none of the 4 images of class 'c2' can be read, first c2/") as caught:
        batches(data, workers=workers, stop=6)
    assert "Traceback" not in str(caught.value)


def test_features_pass_through():
    labels = np.arange(20) % 5
    features = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    data = RetrievalData("f", None, features, labels, tuple("abcde"), None, np.full(20, "train"))
    sampler = ClassBalancedSampler(labels, classes=3, images=2)
    for batch in training_batches(data, sampler, None, None, stop=2):
        assert torch.equal(batch.images, torch.from_numpy(features[sampler.batch(batch.step)]))
        assert batch.failures == []
    embedded = list(embedding_batches(data, None, batch_size=8))
    assert [len(b.images) for b in embedded] == [8, 8, 4]
    assert torch.equal(torch.cat([b.images for b in embedded]), torch.from_numpy(features))


def test_refusals(data):
    with pytest.raises(InputError, match="needs a Preprocessing"):
        next(embedding_batches(data, None))
    with pytest.raises(InputError, match="-1 workers"):
        next(embedding_batches(data, PREPROCESSING, workers=-1))


def test_workers_may_be_spawned(data):
    views = loading._EvaluationViews(data, PREPROCESSING)
    loader = torch.utils.data.DataLoader(
        views, sampler=[(0, 3)], batch_size=None, num_workers=1, collate_fn=loading._as_is, multiprocessing_context="spawn"
    )
    assert len(next(iter(loader))[2]) == 3


INTERRUPTED = """
import numpy as np
from horosphere.data import *
images = ArrayImages(np.zeros((8, 64, 64, 3), np.uint8))
data = RetrievalData("x", images, None, np.arange(8) // 4, "ab", None, ["train"] * 8)
sampler = ClassBalancedSampler(data.labels, classes=2, images=2)
for batch in training_batches(data, sampler, Preprocessing(32, 32), Augmentation(), workers=2):
    print("step", batch.step, flush=True)
"""


def test_interrupt_ends_parent_and_workers():
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout.readline().startswith("step")
        started = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does: every process of the group gets it
        _, errors = process.communicate(timeout=20)
        assert time.monotonic() - started < 10
        assert errors.count("KeyboardInterrupt") == 1
        assert process.returncode != 0
    finally:
        process.kill()


def test_drawings_from_their_zip():
    data = load_data("omniglot", shared("omniglot.zip")).select("test").take(range(0, 13180, 40))
    preprocessing = Preprocessing(28, 28, (0.5,), (0.5,))
    views = torch.cat([b.images for b in embedding_batches(data, preprocessing)])
    assert views.shape == (330, 1, 28, 28)
    assert 0.8 < (views.float() / 255).mean() < 0.99  # dark strokes on white
