"""Images decoded once: the same views as from the files, in memory and on disk, whatever happens while they are written."""

import dataclasses
import errno
import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from horosphere.data import (
    ArrayImages,
    Augmentation,
    ClassBalancedSampler,
    Preprocessing,
    RetrievalData,
    UnreadableImage,
    decode,
    decode_once,
    decoded,
    evaluation_view,
    load_data,
    training_batches,
    training_view,
    transforms,
)
from horosphere.errors import InputError
from tests.data.helpers import encoded, photograph, psnr, write

CROPS, STILL = Augmentation(rotation=5), Augmentation(scale=(1, 1), rotation=5)
PREPROCESSING = Preprocessing(16, 20)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HOROSPHERE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded"


@pytest.fixture
def data(tmp_path):
    """Odd sizes, grey, a turned photograph, a PNG, and a damaged JPEG in the middle."""
    exif = Image.Exif()
    exif[274] = 6
    files = {f"c{c}/{i}.jpg": encoded(photograph(41 + c, 30 + i, seed=9 * c + i)) for c in range(4) for i in range(4)}
    files["c0/grey.jpg"] = encoded(photograph(33, 57).convert("L"))
    files["c0/turned.jpg"] = encoded(photograph(61, 35), exif=exif)
    files["c1/one.png"] = encoded(Image.new("RGBA", (1, 1), (9, 8, 7, 255)), "PNG")
    files["c2/1.jpg"] = files["c2/1.jpg"][:900]
    return load_data("folder", write(tmp_path / "set", files), train_classes=4)


def kept(data, where="disk", augmentation=CROPS, preprocessing=PREPROCESSING, **options):
    return decode_once(data, preprocessing, augmentation, where=where, **options)


@pytest.mark.parametrize("where", ["memory", "disk"])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("augmentation", [CROPS, STILL])
@pytest.mark.parametrize("channels", [1, 3])
def test_views_are_those_of_the_files(data, where, workers, augmentation, channels):
    colours = {"mean": (0.5,), "std": (0.25,)} if channels == 1 else {}
    preprocessing = Preprocessing(16, 20, **colours)
    held, seen, failures = kept(data, where, augmentation, preprocessing, workers=workers)
    assert [name for name, _ in failures] == ["c2/1.jpg"] and "truncated" in failures[0][1]
    assert len(held) == len(data) - 1 == 18
    assert held.ids.tolist() == [name for name in data.ids.tolist() if name != "c2/1.jpg"]
    for i, name in enumerate(held.ids.tolist()):
        file = data.images.read(data.ids.tolist().index(name))
        for seed in range(3):
            views = [
                training_view(image, how, augmentation, np.random.default_rng(seed))
                for image, how in ((file, preprocessing), (held.images.read(i), seen))
            ]
            assert torch.equal(*views)


def test_without_augmentation_the_evaluation_views_are_kept(data):
    held, seen, _ = kept(data, "memory", None)
    assert PREPROCESSING.resize > PREPROCESSING.size == seen.resize
    file = data.images.read(data.ids.tolist().index(held.ids[5]))
    assert torch.equal(evaluation_view(held.images.read(5), seen), evaluation_view(file, PREPROCESSING))


def test_batches_of_workers_are_those_of_the_files(data):
    data = data.take(data.ids != "c2/1.jpg")
    held, seen, _ = kept(data)
    sampler = ClassBalancedSampler(data.labels, classes=3, images=3)
    plain = training_batches(data, sampler, PREPROCESSING, CROPS, stop=2)
    for batch, other in zip(plain, training_batches(held, sampler, seen, CROPS, stop=2, workers=2), strict=True):
        assert torch.equal(batch.images, other.images)


def test_large_photographs_are_reduced_and_stay_faithful(tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[274] = 8
    files = {f"{c}/{i}.jpg": encoded(photograph(1600, 1200, seed=i), exif=exif) for c in "ab" for i in range(2)}
    data = load_data("folder", write(tmp_path / "set", files), train_classes=2)
    preprocessing = Preprocessing(64, 64)
    # The narrowest crop has √(0.2 × 3/4) of the side, and 3 pixels for each of the 64.
    assert transforms.useful_side(preprocessing, Augmentation()) == pytest.approx(3 * 64 / 0.15**0.5)
    held, _, _ = kept(data, preprocessing=preprocessing)
    image, full = held.images.read(1), Image.fromarray(decode(data.images.read(1)))
    assert image.shape == (800, 600, 3)
    drawn, draw = [], transforms.random_box
    monkeypatch.setattr(transforms, "random_box", lambda *a: drawn.append(draw(*a)) or drawn[-1])
    for seed in range(20):
        view = training_view(image, preprocessing, Augmentation(flip=False), np.random.default_rng(seed))
        box = tuple(2 * edge for edge in drawn[-1])
        assert psnr(view.permute(1, 2, 0), full.resize((64, 64), Image.Resampling.BICUBIC, box)) >= 48
    # Without random crops, nothing but the evaluation view is ever seen.
    assert kept(data, preprocessing=preprocessing, augmentation=STILL)[0].images.read(1).shape == (64, 64, 3)


def test_a_second_run_finds_the_file(data, cache, monkeypatch):
    first, _, failures = kept(data)
    files = {path: path.stat().st_mtime_ns for path in cache.iterdir() if path.suffix != ".lock"}
    assert sorted(path.suffix for path in files) == [".json", ".pixels"]
    with monkeypatch.context() as context:
        context.setattr(decoded, "_write", None)
        again, _, failures_again = kept(data, workers=1)
    assert failures_again == failures and again.ids.tolist() == first.ids.tolist()
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert all(np.array_equal(first.images.read(i), again.images.read(i)) for i in range(len(first)))
    # Other images, other ids or other pixels are other files; how they are normalised is not.
    kept(data, preprocessing=dataclasses.replace(PREPROCESSING, mean=(0, 0, 0)))
    assert len(list(cache.glob("*.pixels"))) == 1
    kept(data.take(range(6)))
    kept(data, augmentation=STILL)
    kept(data, preprocessing=Preprocessing(16, 20, mean=(0.5,), std=(0.5,)))
    os.utime(os.path.join(data.images.root, "c0/0.jpg"), (1, 1))
    kept(data)
    assert len(list(cache.glob("*.pixels"))) == 5


def test_an_image_source_like_others(data):
    images = kept(data)[0].images
    copy = pickle.loads(pickle.dumps(images))
    assert len(pickle.dumps(images)) < images._sizes.sum()  # the path, not the pixels
    part = images.take([5, 2])
    assert len(part) == 2 and part.name(1) == images.name(2)
    assert np.array_equal(part.read(0), copy.read(5))
    assert not part.read(0).flags.writeable
    in_memory = kept(data, "memory")[0].images
    assert copy.fingerprint() == images.fingerprint() == in_memory.fingerprint() != part.fingerprint()
    assert pickle.loads(pickle.dumps(in_memory)).fingerprint() == in_memory.fingerprint()


def test_features_are_left_alone():
    features = np.zeros((4, 2), np.float32)
    data = RetrievalData("f", None, features, np.arange(4) // 2, "ab", None, np.full(4, "train"))
    assert kept(data, preprocessing=None) == (data, None, [])


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_nothing_readable(tmp_path, where, cache):
    data = load_data("folder", write(tmp_path / "set", {"a/0.jpg": b"", "b/0.jpg": b""}), train_classes=2)
    with pytest.raises(InputError, match=r"none of the 2 images of set can be read, first a/0.jpg: the file is empty"):
        kept(data, where)
    assert not list(cache.glob("*.pixels"))


def test_too_little_room(data, cache, monkeypatch):
    with monkeypatch.context() as context:
        context.setattr(decoded.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
        with pytest.raises(InputError, match=r"the 19 images of set take about .* GB decoded, .* of disk in"):
            kept(data)
    monkeypatch.setattr(decoded.os, "sysconf", lambda name: 10)
    with pytest.raises(InputError, match=r"GB of memory: set data.decoded to no"):
        kept(data, "memory")
    assert not list(cache.glob("*.pixels"))


def test_a_disk_that_fills_up(data, cache, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as context:
        context.setattr(decoded, "_write", full)
        with pytest.raises(InputError, match=r"No space left on device; set \$HOROSPHERE_CACHE"):
            kept(data)
    assert [path.suffix for path in cache.iterdir() if path.suffix != ".lock"] == []
    assert len(kept(data)[0]) == 18


STEPWISE = """
import sys
import numpy as np
from horosphere.data import *
from horosphere.data import decoded

plain = decoded._Pixels.__getitem__
def stepwise(self, index):
    print("decoding", index, flush=True)
    sys.stdin.readline()
    return plain(self, index)
decoded._Pixels.__getitem__ = stepwise
decoded._SAMPLE, decoded._TASK = 1, 2
images = ArrayImages(np.random.default_rng(0).integers(0, 256, (12, 90, 80, 3), dtype=np.uint8))
data = RetrievalData("x", images, None, np.arange(12) // 6, "ab", None, ["train"] * 12)
held, _, _ = decode_once(data, Preprocessing(32, 32), Augmentation(), where="disk")
assert all(np.array_equal(held.images.read(i), images.read(i)) for i in range(12))
print("done", flush=True)
"""


@pytest.fixture
def stepwise():
    """Start a process that decodes two images for each line that it is sent, and the rest when its input ends."""
    started = []

    def start():
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen([sys.executable, "-c", STEPWISE], **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def in_the_middle(process):
    process.stdin.write("\n" * 3)
    process.stdin.flush()
    while "(4, 6)" not in process.stdout.readline():
        assert process.poll() is None


class Flaky(ArrayImages):
    """One image cannot be read while `broken`."""

    broken = True

    def read(self, i):
        if self.broken and i == 3:
            raise UnreadableImage(self.name(i), "permission denied")
        return super().read(i)


def test_an_image_that_can_be_read_again_is_kept_again(cache, monkeypatch):
    images = Flaky(np.random.default_rng(0).integers(0, 256, (12, 40, 40, 3), dtype=np.uint8))
    data = RetrievalData("x", images, None, np.arange(12) // 6, "ab", None, ["train"] * 12)
    for broken, count in ((True, 11), (True, 11), (False, 12), (False, 12)):
        monkeypatch.setattr(Flaky, "broken", broken)
        assert len(kept(data)[0]) == count


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_kill_leaves_nothing_broken(cache, stepwise, end):
    process = stepwise()
    in_the_middle(process)
    process.send_signal(end)
    assert process.wait(timeout=30) != 0
    assert not list(cache.glob("*.json")) and not list(cache.glob("[!.]*.pixels"))
    output, errors = stepwise().communicate(timeout=60)
    assert output.endswith("done\n"), errors
    # Also what the killed process had written is gone.
    assert sorted(path.suffix for path in cache.iterdir() if path.suffix != ".lock") == [".json", ".pixels"]


def test_two_processes_decode_once(cache, stepwise):
    first = stepwise()
    in_the_middle(first)
    second = stepwise()
    assert "waiting for another process" in second.stderr.readline()
    assert first.communicate(timeout=60)[0].endswith("done\n")
    assert second.communicate(timeout=60)[0] == "done\n"  # not one image
    assert len(list(cache.glob("*.pixels"))) == 1
