"""Sources read the same bytes wherever they lie; data sets check and cut themselves."""

import pickle
import zipfile

import numpy as np
import pytest

from horosphere.data import ArrayImages, FileImages, RetrievalData, UnreadableImage, ZipImages
from horosphere.errors import InputError
from tests.data.helpers import tiny, write, zipped


@pytest.fixture
def files(tmp_path):
    content = {f"a/{i}.png": tiny(i) for i in range(5)} | {"a/empty.png": b""}
    return write(tmp_path / "tree", content), content


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_and_zip_agree(files, tmp_path, compression):
    root, content = files
    archive = zipped(root, tmp_path / "tree.zip", compression=compression)
    for source in (FileImages(root, list(content)), ZipImages(archive, list(content))):
        source = pickle.loads(pickle.dumps(source))
        assert len(source) == len(content)
        assert {source.name(i): source.read(i) for i in range(len(source))} == content
        assert [source.take([3, 0]).read(i) for i in range(2)] == [content["a/3.png"], content["a/0.png"]]


def test_a_zip_behind_other_bytes_is_read(files, tmp_path):
    root, content = files
    archive = zipped(root, tmp_path / "tree.zip")
    shifted = tmp_path / "shifted.zip"
    shifted.write_bytes(b"#!/bin/sh\n" * 50 + archive.read_bytes())
    assert ZipImages(shifted, ["a/2.png"]).read(0) == content["a/2.png"]


def test_damage_is_reported_by_name(files, tmp_path):
    root, content = files
    archive = zipped(root, tmp_path / "tree.zip", compression=zipfile.ZIP_STORED)
    source = ZipImages(archive, list(content))
    data = bytearray(archive.read_bytes())
    data[data.index(content["a/1.png"]) + 20] ^= 255
    archive.write_bytes(data)
    assert source.read(0) == content["a/0.png"]
    with pytest.raises(UnreadableImage, match=r"a/1.png: .*CRC"):
        source.read(1)
    with pytest.raises(UnreadableImage, match=r"gone.png: No such file"):
        FileImages(root, ["gone.png"]).read(0)


def test_refused_sources(files, tmp_path):
    archive = zipped(files[0], tmp_path / "odd.zip", compression=zipfile.ZIP_BZIP2)
    assert ZipImages(archive, ["a/0.png"]).read(0) == files[1]["a/0.png"]
    with pytest.raises(InputError, match="no member 'b'"):
        ZipImages(archive, ["b"])
    with pytest.raises(InputError, match="float64"):
        ArrayImages(np.zeros((2, 4, 4)))


def test_fingerprints_change_with_the_images(files, tmp_path):
    root, content = files
    names = list(content)
    archive = zipped(root, tmp_path / "a.zip")
    pixels = np.zeros((2, 4, 4), np.uint8)
    before = FileImages(root, names), ZipImages(archive, names), ArrayImages(pixels)
    prints = [source.fingerprint() for source in before]
    assert prints == [source.fingerprint() for source in before] and len(set(prints)) == 3
    (root / names[0]).write_bytes(content[names[0]] + b"more")
    after = FileImages(root, names), ZipImages(zipped(root, tmp_path / "b.zip"), names), ArrayImages(pixels + 1)
    assert not set(prints) & {source.fingerprint() for source in after}
    assert FileImages(root, ["gone.png"]).fingerprint()


def arrays(n=24, classes=8, split=None):
    labels = np.arange(n) % classes
    images = ArrayImages(np.arange(n, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8))
    split = np.where(labels < classes - 2, "train", "test") if split is None else split
    return RetrievalData("toy", images, None, labels, [f"c{i}" for i in range(classes)], None, split)


def test_take_and_select_keep_numbers_and_ids():
    data = arrays()
    test = data.select("test")
    assert len(test) == 6
    assert set(test.labels.tolist()) == {6, 7}
    assert [test.images.read(i)[0, 0] for i in range(6)] == [int(i) for i in test.ids]
    assert test.classes == data.classes
    assert test.take([2]).ids.tolist() == [test.ids[2]]
    assert len(data.select("train", "test")) == len(data)
    with pytest.raises(InputError, match=r"no split .*'query'.* it has test, train"):
        data.select("query")


def test_hold_out():
    data = arrays(60, 12)
    train, validation = data.hold_out(0.25, seed=1)
    held = set(validation.labels.tolist())
    assert len(held) == 3  # 2.5 of 10, halves up
    assert held | set(train.labels.tolist()) == set(range(10))
    assert not held & set(train.labels.tolist())
    assert set(validation.split.tolist()) == {"validation"}
    again = data.hold_out(0.25, seed=1)[1]
    assert np.array_equal(again.ids, validation.ids)
    assert any(set(data.hold_out(seed=s)[1].labels.tolist()) != held for s in range(2, 6))
    assert len(np.unique(data.hold_out(0.01)[1].labels)) == 2
    for fraction in (0, 1, 0.9):
        with pytest.raises(InputError, match="hold out"):
            data.hold_out(fraction)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": np.zeros(3)}, "labels of shape"),
        ({"labels": np.full(24, 8)}, "expected 0 to 7"),
        ({"split": np.full(24, "dev")}, "unknown split"),
        ({"split": np.array(["test", "query"] * 12)}, "either the one"),
        ({"superclasses": [("a",)]}, "superclasses for 1"),
        ({"features": np.zeros((24, 2))}, "exactly one"),
        ({"images": None}, "exactly one"),
        ({"images": None, "features": np.zeros(24)}, r"expected \(n, d\)"),
    ],
)
def test_disagreeing_parts(change, said):
    data = arrays()
    fields = {f: getattr(data, f) for f in ("images", "features", "labels", "classes", "superclasses", "split")}
    with pytest.raises(InputError, match=said):
        RetrievalData("toy", **fields | change)
