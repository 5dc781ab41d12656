"""Views: torchvision's framing, fidelity of the fast path, purity, and refusals."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from horosphere.data import (
    Augmentation,
    Picture,
    Preprocessing,
    decode,
    decoding,
    evaluation_view,
    normalise,
    training_view,
    transforms,
)
from horosphere.errors import InputError
from tests.data.helpers import encoded, photograph, psnr

GREY = {"mean": (0.5,), "std": (0.25,)}


def interior(view):
    return np.asarray(view)[..., 2:-2, 2:-2]


@pytest.mark.parametrize("size", [(320, 240), (201, 333), (40, 47), (64, 64), (500, 31), (2000, 3)])
def test_evaluation_view_is_torchvisions(size):
    image = photograph(*size)
    reference = v2.CenterCrop(56)(v2.Resize(64, v2.InterpolationMode.BICUBIC)(image))
    view = evaluation_view(image, Preprocessing(56, 64))
    assert view.shape == (3, 56, 56)
    assert view.dtype == torch.uint8
    assert np.abs(view.permute(1, 2, 0).numpy().astype(int) - np.asarray(reference)).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_channels(channels):
    preprocessing = Preprocessing(8, 8, **GREY) if channels == 1 else Preprocessing(8, 8)
    for image in (photograph(20, 30), photograph(20, 30).convert("L"), np.zeros((9, 9), np.uint8)):
        assert evaluation_view(image, preprocessing).shape == (channels, 8, 8)
        assert training_view(image, preprocessing, Augmentation(), np.random.default_rng(0)).shape == (channels, 8, 8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("pillow_only", [False, True])
def test_fast_training_view_is_faithful(orientation, pillow_only, monkeypatch):
    image = photograph(2000, 1504)
    exif = image.getexif()
    exif[274] = orientation
    data = encoded(image, exif=exif)
    full = Image.fromarray(decode(data))
    if pillow_only:
        monkeypatch.setattr(decoding, "_simplejpeg", lambda: None)
    # Edges at multiples of 8, so that no reduction has to round them and Pillow can cut the same crop.
    drawn, plain_box = [], transforms.random_box
    monkeypatch.setattr(
        transforms, "random_box", lambda *a: drawn.append(tuple(8 * round(e / 8) for e in plain_box(*a))) or drawn[-1]
    )
    reductions, plain = [], transforms.Picture._decode
    monkeypatch.setattr(transforms.Picture, "_decode", lambda self, r, mode: reductions.append(r) or plain(self, r, mode))
    still = Augmentation(flip=False)
    for seed in range(10):
        fast = training_view(data, Preprocessing(112, 128), still, np.random.default_rng(seed))
        slow = full.crop(drawn[-1]).resize((112, 112), Image.Resampling.BICUBIC)
        assert psnr(fast.permute(1, 2, 0), slow) >= 48
    assert {2, 4} <= set(reductions)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_crop_shows_its_box(orientation):
    # Two ramps on sides that no reduction divides: a view's mean tells where it was cut.
    y, x = np.mgrid[:757, :1003]
    exif = Image.Exif()
    exif[274] = orientation
    data = encoded(Image.fromarray(np.stack([x / 1003 * 250, y / 757 * 250, 0 * x], -1).astype(np.uint8)), exif=exif)
    picture, upright = Picture(data), decode(data)
    for box in [(0, 0, *picture.size), (501, 300, 700, 733), (13, 17, 420, 401)]:
        for target in (40, 90, 180):
            shown = picture.pixels(box=box, target=(target, target))
            expected = upright[box[1] : box[3], box[0] : box[2]]
            assert min(shown.shape[:2]) >= target
            assert np.abs(shown.mean((0, 1)) - expected.mean((0, 1))).max() < 1.5


def test_training_view_is_a_pure_function_of_the_generator():
    data, preprocessing = encoded(photograph()), Preprocessing(32, 32)
    augmentation = Augmentation(rotation=10, translation=0.1, shear=5)
    state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    views = [training_view(data, preprocessing, augmentation, np.random.default_rng(s)) for s in (1, 1, 2)]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])
    assert np.array_equal(state[0], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(state[1], torch.get_rng_state())


def test_random_boxes_follow_scale_and_ratio():
    rng = np.random.default_rng(0)
    augmentation = Augmentation(scale=(0.2, 0.6), ratio=(0.5, 2))
    for _ in range(300):
        left, top, right, bottom = transforms.random_box((200, 100), augmentation, rng)
        assert 0 <= left < right <= 200
        assert 0 <= top < bottom <= 100
        assert 0.19 <= (right - left) * (bottom - top) / 20000 <= 0.62
        assert 0.48 <= (right - left) / (bottom - top) <= 2.1
    # Where no try can fit, the largest centred box of the nearest allowed ratio.
    assert transforms.random_box((1000, 10), Augmentation(scale=(0.9, 1)), rng) == (493, 0, 506, 10)
    for size in ((1, 1), (1, 50)):
        left, top, right, bottom = transforms.random_box(size, Augmentation(), rng)
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]


def test_without_crops_the_framing_is_the_evaluations():
    data, preprocessing = encoded(photograph(600, 400)), Preprocessing(28, 32)
    still = Augmentation(scale=(1, 1), flip=False)
    view = evaluation_view(data, preprocessing)
    assert torch.equal(training_view(data, preprocessing, still, np.random.default_rng(0)), view)
    mirrored = Augmentation(scale=(1, 1))
    seen = [training_view(data, preprocessing, mirrored, np.random.default_rng(s)) for s in range(12)]
    flips = [torch.equal(v, view.flip(2)) for v in seen]
    assert 0 < sum(flips) < 12
    assert all(f or torch.equal(v, view) for f, v in zip(flips, seen, strict=True))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_interpolations_are_pillows(interpolation, mode):
    image = photograph(90, 60).convert(mode)
    preprocessing = Preprocessing(24, 24, *(((0.5,), (0.5,)) if mode == "L" else ()), interpolation=interpolation)
    reference = np.asarray(image.resize((36, 24), Image.Resampling[interpolation.upper()]).crop((6, 0, 30, 24)))
    view = evaluation_view(image, preprocessing).permute(1, 2, 0).numpy().reshape(reference.shape)
    assert np.abs(view.astype(int) - reference).max() <= 1


@pytest.mark.parametrize(("fill", "value"), [("white", 255), ("black", 0), ("edge", 90)])
def test_moving(fill, value):
    image = np.full((20, 20), 90, np.uint8)
    augmentation = Augmentation(scale=(1, 1), flip=False, translation=0.5, rotation=30, shear=10, fill=fill)
    views = [training_view(image, Preprocessing(20, 20, **GREY), augmentation, np.random.default_rng(s)) for s in range(5)]
    assert {90, value} <= set(torch.stack(views).unique().tolist())
    if fill == "edge":
        assert all((view == 90).all() for view in views)


def test_moving_by_nothing_changes_nothing():
    image = photograph(24, 24)
    rng = np.random.default_rng(0)
    almost = Augmentation(scale=(1, 1), flip=False, rotation=1e-9)
    view = training_view(image, Preprocessing(24, 24), almost, rng)
    assert np.abs(interior(view).astype(int) - interior(evaluation_view(image, Preprocessing(24, 24)))).max() <= 1


def test_normalise():
    preprocessing = Preprocessing(4, 4)
    batch = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (preprocessing.mean, preprocessing.std))
    torch.testing.assert_close(normalise(batch, preprocessing), (batch / 255 - mean) / std, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Preprocessing(224, 200),
        lambda: Preprocessing(8, 8, mean=(0.5, 0.5), std=(1, 1)),
        lambda: Preprocessing(8, 8, mean=(0.5,), std=(0,)),
        lambda: Preprocessing(8, 8, interpolation="cubic"),
        lambda: Augmentation(scale=(0, 1)),
        lambda: Augmentation(scale=(0.5, 0.2)),
        lambda: Augmentation(ratio=(2, 1)),
        lambda: Augmentation(shear=90),
        lambda: Augmentation(fill="pink"),
    ],
)
def test_refusals_say_what_was_expected(make):
    with pytest.raises(InputError, match="expected"):
        make()
