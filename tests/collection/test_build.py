"""Making a collection, stopping it at any moment, going on with it, and growing it."""

import errno
import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from horosphere import build as objects
from horosphere import cli
from horosphere.collection import Collection, Thumbnails, build, disk
from horosphere.config import IndexConfig
from horosphere.data import FileImages, load_images
from horosphere.errors import InputError
from horosphere.index import Index
from horosphere.models import Embedder, embed_data

from .conftest import paint


def index(run, images=None, output=None, **options):
    config = IndexConfig(run.folder, images, output, **({"workers": 0, "device": "cpu"} | options))
    return build(config, progress=False)


def contents(folder):
    """id → (point, metadata, thumbnail) of every item."""
    with Collection.open(folder, device="cpu") as collection:
        ids, own = collection.index.ids, collection.index
        points = own.points().numpy()
        values = zip(points, own.metadata(), map(collection.thumbnail, ids), strict=True)
        return {id: (point.tobytes(), metadata, small) for id, (point, metadata, small) in zip(ids, values, strict=True)}


def test_a_runs_own_test_images(run, tmp_path):
    made = index(run, output=tmp_path / "c")
    expected = embed_data(Embedder.load(run.model_path), objects.test_split(objects.data(run.config.data)))
    assert (made.items, made.added, made.known, made.failures) == (len(expected.data), len(expected.data), 0, [])
    with Collection.open(tmp_path / "c", device="cpu") as collection:
        assert collection.index.ids == expected.data.ids.tolist() and collection.name == "c" and collection.takes_images
        assert torch.equal(collection.index.points(), expected.points)
        classes = [expected.data.classes[label] for label in expected.data.labels]
        assert [item["class"] for item in collection.index.metadata()] == classes
        assert collection.geometries == {"mixture": None, "sphere": (1.0, 0.0), "hyperbolic": (0.0, 1.0)}
        assert [collection.temperature(name) for name in collection.geometries] == [0.2] * 3
        image = expected.data.images.read(3)
        hits = collection.index.search(collection.embed([image]), k=1)
        assert hits.ids[0, 0] == expected.data.ids[3] and hits.distances[0, 0] < 1e-3
        view = collection.view(image)
        assert torch.equal(collection.embed(view[None]), collection.embed([image]))
        small = Image.open(io.BytesIO(collection.thumbnail(expected.data.ids[3])))
        assert small.mode == "L" and np.abs(np.asarray(small, int) - view[0].numpy()).mean() < 3
        assert collection.thumbnail("nobody") is None


def test_the_folder_travels_and_is_named_after_the_run_by_default(run, tmp_path):
    shutil.copytree(run.folder, tmp_path / "mine")
    moved = type(run)(tmp_path / "mine")
    assert index(moved).folder == moved.folder / "index"
    before = contents(moved.folder / "index")
    shutil.move(moved.folder / "index", tmp_path / "elsewhere")
    shutil.rmtree(moved.folder)
    assert contents(tmp_path / "elsewhere") == before
    with Collection.open(tmp_path / "elsewhere") as collection:
        assert collection.name == "mine"


def test_one_bad_image_among_good_ones_is_told_and_left_out(run, photos, tmp_path):
    (photos / "cat" / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    made = index(run, photos, tmp_path / "c", batch_size=3)
    assert made.items == made.added == 13 and [name for name, _ in made.failures] == ["cat/cut.jpg"]
    found = contents(tmp_path / "c")
    assert "cat/cut.jpg" not in found and found["cat/01.png"][1] == {"class": "cat"} and found["top.png"][1] == {}
    paint(photos / "cat" / "cut.jpg", 5)  # repaired, it is added
    assert index(run, photos, tmp_path / "c").added == 1


def test_a_name_that_is_no_text_does_not_end_the_run(run, photos, tmp_path):
    os.rename(os.fsencode(photos / "cat" / "01.png"), os.fsencode(photos / "cat") + b"/\xff.png")
    made = index(run, photos, tmp_path / "c")
    assert made.items == 12 and len(made.failures) == 1 and "no text" in made.failures[0][1]


def test_nothing_that_is_there_is_read_again(run, photos, tmp_path, monkeypatch):
    index(run, photos, tmp_path / "c")
    before, read = contents(tmp_path / "c"), []
    real = FileImages.read
    monkeypatch.setattr(FileImages, "read", lambda self, i: read.append(self.paths[i]) or real(self, i))
    paint(photos / "bird" / "new.png", 50, side=300)
    made = index(run, photos, tmp_path / "c")
    assert read == ["bird/new.png"] and (made.added, made.known, made.items) == (1, 13, 14)
    after = contents(tmp_path / "c")
    assert {id: after[id] for id in before} == before and after["bird/new.png"][1] == {"class": "bird"}
    paint(photos / "cat" / "01.png", 77)
    assert index(run, photos, tmp_path / "c").added == 0  # a changed image is told with --replace alone
    assert index(run, photos, tmp_path / "c", replace=True).added == 14
    changed = {id for id, (_, _, small) in contents(tmp_path / "c").items() if small != after[id][2]}
    assert changed == {"cat/01.png"}


def test_a_zip_is_read_in_place(run, photos, tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in photos.rglob("*.png"):
            archive.write(path, path.relative_to(photos))
    index(run, photos, tmp_path / "folder")
    index(run, tmp_path / "photos.zip", tmp_path / "zip", workers=2)
    assert contents(tmp_path / "folder") == contents(tmp_path / "zip")


def test_pruning_forgets_what_is_gone_here_alone(run, photos, tmp_path):
    index(run, photos, tmp_path / "c")
    paint(tmp_path / "more" / "fox" / "x.png", 7)
    index(run, tmp_path / "more", tmp_path / "c")
    (photos / "cat" / "03.png").unlink()
    assert index(run, photos, tmp_path / "c").items == 14
    made = index(run, photos, tmp_path / "c", prune=True)
    found = contents(tmp_path / "c")
    assert (made.pruned, made.items) == (1, 13) and "cat/03.png" not in found and "fox/x.png" in found
    shutil.rmtree(photos)
    paint(photos / "else.png", 1)
    with pytest.raises(InputError, match="would remove all 12 items"):
        index(run, photos, tmp_path / "c", prune=True)
    assert set(contents(tmp_path / "c")) == set(found)


def test_what_a_split_leaves_out_is_not_gone(run, photos, tmp_path):
    (photos / "top.png").unlink()
    index(run, photos, tmp_path / "c", layout="folder")
    made = index(run, photos, tmp_path / "c", layout="folder", split="test", prune=True)
    assert (made.pruned, made.items, made.known) == (0, 12, 6)


def test_images_of_one_name_from_two_places_are_not_mixed_up(run, photos, tmp_path):
    index(run, photos, tmp_path / "c")
    before = contents(tmp_path / "c")
    paint(tmp_path / "more" / "cat" / "01.png", 1234)
    with pytest.raises(InputError, match=r"cat/01.png.*--replace"):
        index(run, tmp_path / "more", tmp_path / "c")
    assert contents(tmp_path / "c") == before
    assert index(run, tmp_path / "more", tmp_path / "c", replace=True).added == 1
    assert contents(tmp_path / "c")["cat/01.png"] != before["cat/01.png"]


def test_another_runs_points_are_refused(run, other_run, photos, tmp_path):
    index(run, photos, tmp_path / "c")
    with pytest.raises(InputError, match="made by another run, 'digits'"):
        index(other_run, photos, tmp_path / "c")
    shutil.copy(other_run.model_path / "model.safetensors", tmp_path / "c" / "model" / "model.safetensors")
    with pytest.raises(InputError, match="not the one that made the points"):
        Collection.open(tmp_path / "c")


def test_a_folder_with_other_things_is_left_alone(run, photos, tmp_path):
    before = sorted(photos.rglob("*"))
    with pytest.raises(InputError, match="holds other files"):
        index(run, photos, photos)
    assert sorted(photos.rglob("*")) == before
    for folder in (photos, tmp_path / "nowhere"):
        with pytest.raises(InputError, match="no collection"):
            Collection.open(folder)


@pytest.mark.parametrize(
    ("name", "words"),
    [("collection.json", "damaged"), ("thumbnails.sqlite", "damaged"), ("items.sqlite", "items.sqlite")],
)
def test_damage_is_told(run, photos, tmp_path, name, words):
    index(run, photos, tmp_path / "c")
    (tmp_path / "c" / name).write_bytes(b"[not what it was]" * 1000)
    with pytest.raises(InputError, match=words):
        Collection.open(tmp_path / "c")


def test_where_no_image_can_be_read_there_is_nothing_to_search(run, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match="none of the 1 images"):
        index(run, tmp_path / "photos", tmp_path / "c")


def test_lost_thumbnails_are_made_again(run, photos, tmp_path):
    index(run, photos, tmp_path / "c")
    before = contents(tmp_path / "c")
    (tmp_path / "c" / "thumbnails.sqlite").unlink()
    with pytest.raises(InputError, match=r"no thumbnails\.sqlite"):
        Collection.open(tmp_path / "c")
    assert index(run, photos, tmp_path / "c").added == 13
    assert contents(tmp_path / "c") == before


def test_cached_features(features_run, run, tmp_path, photos):
    made = index(features_run, output=tmp_path / "c")
    assert made.items == 15
    with Collection.open(tmp_path / "c") as collection:
        assert not collection.takes_images and collection.thumbnail("item20") is None
        assert collection.index.metadata(["item20"]) == [{"class": "kind4", "superclass": "plant", "superclass2": "living"}]
        with pytest.raises(InputError, match="takes no images"):
            collection.embed([(photos / "top.png").read_bytes()])
    file = features_run.config.data.root
    assert index(features_run, type(photos)(file), tmp_path / "c").added == 15
    with pytest.raises(InputError, match=r"holds images, but .* on features"):
        index(features_run, photos, tmp_path / "d")
    with pytest.raises(InputError, match=r"holds features, but .* on images"):
        index(run, type(photos)(file), tmp_path / "d")
    assert not (tmp_path / "d").exists()


#: Images that are indexed two at a time, so that what stops it comes in the middle.
MANY = 120


def start(run, images, output, *arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "horosphere", "index", run.folder, images, "-o", output, "--workers", "0", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def acknowledged(output) -> list[str]:
    """The ids on the disk, read as another program would."""
    if not (output / "items.sqlite").exists():
        return []
    database = sqlite3.connect(f"file:{output / 'items.sqlite'}?mode=ro", uri=True)
    try:
        return [id for (id,) in database.execute("SELECT id FROM items")]
    except sqlite3.OperationalError:  # the tables are not there yet
        return []
    finally:
        database.close()


def wait_for_items(output, process, count=10, seconds=120):
    end = time.monotonic() + seconds
    while len(acknowledged(output)) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def many(tmp_path):
    for i in range(MANY):
        paint(tmp_path / "many" / f"{i % 7}" / f"{i}.png", i, side=24)
    return tmp_path / "many"


def test_killed_at_any_moment_it_goes_on_where_it_was(run, many, tmp_path):
    process = start(run, many, tmp_path / "c", "--batch-size", "2")
    wait_for_items(tmp_path / "c", process)
    kept = acknowledged(tmp_path / "c")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    there = contents(tmp_path / "c")
    whole = {id for id, (_, _, small) in there.items() if small}
    assert 10 <= len(there) < MANY and set(kept) <= there.keys() and len(there) - len(whole) <= 2
    made = index(run, many, tmp_path / "c", batch_size=2)
    assert made.known == len(whole) and made.items == MANY
    index(run, many, tmp_path / "whole", batch_size=2)
    assert contents(tmp_path / "c") == contents(tmp_path / "whole")
    assert set(load_images(many).ids.tolist()) == contents(tmp_path / "c").keys()


def test_ctrl_c_leaves_a_collection_and_says_how_to_go_on(run, many, tmp_path, capsys):
    def interrupt():
        while len(acknowledged(tmp_path / "c")) < 10:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(interrupt)
            command = ["index", run.folder, many, "-o", tmp_path / "c", "--workers", "0", "--batch-size", "2"]
            assert cli.main(list(map(str, command))) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    count, error = len(contents(tmp_path / "c")), capsys.readouterr().err
    assert 10 <= count < MANY and f"{count:,} items are in {tmp_path / 'c'}; the same command goes on" in error
    assert "Traceback" not in error


def test_a_second_writer_changes_nothing(run, photos, tmp_path):
    index(run, photos, tmp_path / "c")
    before = contents(tmp_path / "c")
    paint(tmp_path / "more" / "cat" / "01.png", 1234)
    hold = (
        "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); print(flush=True); input()"
    )
    command = [sys.executable, "-c", hold, str(tmp_path / "c" / ".items.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        for options in ({"replace": True}, {}):
            with pytest.raises(InputError, match="another process is writing"):
                index(run, tmp_path / "more", tmp_path / "c", **options)
        other.stdin.close()
    assert contents(tmp_path / "c") == before
    with sqlite3.connect(tmp_path / "c" / "thumbnails.sqlite") as database:
        assert database.execute("SELECT place FROM sources").fetchall() == [(str(photos),)]


@pytest.mark.parametrize(("owner", "name"), [(Thumbnails, "remove"), (Index, "add"), (Thumbnails, "add")])
def test_a_replaced_item_never_has_anothers_picture(run, photos, tmp_path, monkeypatch, owner, name):
    index(run, photos, tmp_path / "c")
    before = contents(tmp_path / "c")
    paint(tmp_path / "more" / "cat" / "01.png", 1234)

    def stop(*_, **__):
        raise KeyboardInterrupt  # a kill, as far as the disk knows

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, stop)
        with pytest.raises(KeyboardInterrupt):
            index(run, tmp_path / "more", tmp_path / "c", replace=True)
    _, _, small = contents(tmp_path / "c")["cat/01.png"]
    assert small == (before["cat/01.png"][2] if name == "remove" else None)
    made = index(run, photos, tmp_path / "c")  # and the next call finds what is missing
    assert made.added == (name == "add")
    assert {id: small for id, (_, _, small) in contents(tmp_path / "c").items()} == {
        id: item[2] for id, item in before.items()
    }


def test_a_collection_that_cannot_be_written_is_searched_all_the_same(run, photos, tmp_path, monkeypatch):
    index(run, photos, tmp_path / "c")
    before = contents(tmp_path / "c")
    (tmp_path / "c" / "radii.json").unlink()
    connect = sqlite3.connect

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    def read_only(address, **options):
        if "immutable=1" not in str(address):
            raise sqlite3.OperationalError("unable to open database file")
        return connect(address, **options)

    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(sqlite3, "connect", read_only)
    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(disk, "alone", refuse)
    assert contents(tmp_path / "c") == before
    with Collection.open(tmp_path / "c", device="cpu") as collection:
        assert collection.radii.percentile(0.0) == 0 and not (tmp_path / "c" / "radii.json").exists()
        with pytest.warns(UserWarning, match="laid out anew next time"):
            made = disk.collection_disk(collection.index, collection.folder)
        assert len(made.positions) == 13 and not (tmp_path / "c" / "disk.npz").exists()
    (tmp_path / "c" / "thumbnails.sqlite-wal").write_bytes(b"x")  # something was not finished
    with pytest.raises(InputError, match=r"cannot open .*thumbnails\.sqlite"):
        Collection.open(tmp_path / "c")
