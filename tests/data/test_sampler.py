"""The sampler's laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horosphere.data import ClassBalancedSampler
from horosphere.errors import InputError


@st.composite
def cases(draw):
    counts = draw(st.lists(st.integers(1, 6), min_size=2, max_size=14))
    # Labels need neither be in order nor without gaps.
    labels = np.repeat(np.arange(len(counts)) * 3 + 1, counts)
    labels = np.random.default_rng(draw(st.integers(0, 99))).permutation(labels)
    world = draw(st.integers(1, 3))
    groups = draw(st.integers(1, max(1, len(counts) // world)))
    classes = groups * world
    return labels, max(classes, 2) if world == 1 else classes, draw(st.integers(2, 5)), draw(st.integers(0, 9)), world


@settings(max_examples=80, deadline=None)
@given(cases(), st.integers(0, 40))
def test_laws(case, step):
    labels, classes, images, seed, world = case
    if not 2 <= classes <= len(np.unique(labels)):
        return
    options = {"classes": classes, "images": images, "seed": seed}
    whole = ClassBalancedSampler(labels, **options)
    batch = whole.batch(step)
    assert batch.dtype == np.int64
    assert batch.shape == (classes * images,) == (whole.batch_size,)
    # Pure: another sampler, another order of calls, the same batch.
    again = ClassBalancedSampler(labels, **options)
    again.batch(step + 7)
    assert np.array_equal(again.batch(step), batch)
    # Class after class, N distinct classes; without replacement where the class is large enough.
    grouped = labels[batch].reshape(classes, images)
    assert (grouped == grouped[:, :1]).all()
    assert len(np.unique(grouped[:, 0])) == classes
    for label, row in zip(grouped[:, 0], batch.reshape(classes, images), strict=True):
        if (labels == label).sum() >= images:
            assert len(set(row.tolist())) == images
    assert whole.short_classes == sum((labels == label).sum() < images for label in np.unique(labels))
    # Ranks: their batches one after another are the whole; no class in two ranks.
    ranks = [ClassBalancedSampler(labels, **options, rank=rank, world=world) for rank in range(world)]
    assert np.array_equal(np.concatenate([r.batch(step) for r in ranks]), batch)
    assert sum(len(np.unique(labels[r.batch(step)])) for r in ranks) == classes
    assert [r.offset for r in ranks] == [rank * len(batch) // world for rank in range(world)]


def test_an_epoch_visits_each_class_once_at_most():
    labels = np.repeat(np.arange(23), 4)
    sampler = ClassBalancedSampler(labels, classes=5, images=2, seed=3)
    assert sampler.steps_per_epoch == 4
    epochs = [np.concatenate([labels[sampler.batch(e * 4 + s)][::2] for s in range(4)]) for e in range(3)]
    assert all(len(set(epoch.tolist())) == 20 for epoch in epochs)
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(sampler.batch(0), ClassBalancedSampler(labels, classes=5, images=2, seed=4).batch(0))


def test_iterate_resumes():
    sampler = ClassBalancedSampler(np.repeat(np.arange(9), 3), classes=4, images=3)
    whole = dict(sampler.iterate(stop=9))
    assert list(whole) == list(range(9))
    for step, batch in sampler.iterate(start=5, stop=9):
        assert np.array_equal(batch, whole[step])
    endless = sampler.iterate(start=100)
    assert [next(endless)[0] for _ in range(3)] == [100, 101, 102]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"classes": 8, "images": 2}, "8 classes .* 5 classes"),
        ({"classes": 1, "images": 2}, "at least 2"),
        ({"classes": 4, "images": 1}, "at least 2"),
        ({"classes": 4, "images": 2, "world": 3}, "multiple of 3"),
        ({"classes": 4, "images": 2, "rank": 2, "world": 2}, "Rank 2"),
        ({"classes": 4, "images": 2, "seed": -1}, "Seed"),
    ],
)
def test_refusals(options, said):
    with pytest.raises(InputError, match=said):
        ClassBalancedSampler(np.repeat(np.arange(5), 3), **options)


def test_one_class_is_refused():
    with pytest.raises(InputError, match=r"all of one class.*train on two classes or more"):
        ClassBalancedSampler(np.full(6, 3), classes=2, images=3)


def test_every_ordered_choice_of_images_is_as_likely():
    # 3 of 4 images in order without replacement: 24 choices; 3 of 2 with replacement: 8.
    sampler = ClassBalancedSampler(np.array([7, 7, 7, 7, 5, 5]), classes=2, images=3, seed=1)
    steps = 4_800
    drawn = np.concatenate([sampler.batch(step).reshape(2, 3) for step in range(steps)])
    of_four, of_two = drawn[drawn[:, 0] < 4], drawn[drawn[:, 0] >= 4]
    assert len(of_four) == len(of_two) == steps
    for rows, choices in ((of_four, 24), (of_two, 8)):
        counts = np.unique(rows @ [100, 10, 1], return_counts=True)[1]
        assert len(counts) == choices
        # Chi-squared with choices - 1 degrees of freedom is beyond this once in 10,000.
        assert ((counts - steps / choices) ** 2 / (steps / choices)).sum() < {24: 55, 8: 30}[choices]
