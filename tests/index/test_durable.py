"""An index in a folder: what was acknowledged stays, whatever becomes of the process, the disk or the file."""

import errno
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from horosphere.errors import InputError
from horosphere.index import Index, open_index
from horosphere.index import store as stores
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

from .test_engines import points_of, reference

SPACE = Mixed([Sphere(), Hyperbolic()], [1.0, 3.0])


def filled(folder, n=30):
    with Index.create(folder, SPACE, model="fingerprint", promise=0.9) as index:
        index.add(points_of(SPACE)[:n], [str(number) for number in range(n)], [{"number": number} for number in range(n)])
    return folder


def forked(work):
    """Run `work(say)` in a process of its own: its id and where to read what it says."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(read)
            work(lambda *words: os.write(write, (json.dumps(words) + "\n").encode()))
        finally:
            os._exit(0)
    os.close(write)
    return child, os.fdopen(read)


def test_a_kill_at_any_moment_loses_nothing_and_leaves_nothing_half(tmp_path):
    """Batches are added, replaced and removed by processes that are killed, each going on where the last one was."""
    rng, draw = random.Random(0), torch.Generator().manual_seed(0)
    points = SPACE(torch.randn(4000, 6, generator=draw))
    Index.create(tmp_path / "index", SPACE).close()
    # What is in the index, and the one change that was under way: done as a whole, or not at all.
    known: dict[str, int] = {}

    def after(state, kind, start, stop):
        ids = {f"item {place % 1500}": place for place in range(start, stop)}
        return {key: place for key, place in state.items() if key not in ids} | (ids if kind == "add" else {})

    def work(say, step):
        index = Index.load(tmp_path / "index")
        own = random.Random(step)
        while True:
            start = own.randrange(3900)
            stop, kind = start + own.randrange(1, 100), own.choice(["add", "add", "remove"])
            ids = [f"item {place % 1500}" for place in range(start, stop)]
            say("begin", kind, start, stop)
            if kind == "add":
                metadata = [{"place": place, "name": f"n{place}"} for place in range(start, stop)]
                index.add(points[start:stop], ids, metadata, duplicates="replace")
            else:
                index.remove([id for id in ids if id in index])
            say("done")

    acknowledged = 0
    for step in range(60):
        if step >= 14 and acknowledged > 25:
            break
        child, heard = forked(lambda say, step=step: work(say, step))
        time.sleep(rng.uniform(0.02, 0.12))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        under_way = None
        with heard:
            for kind, *change in map(json.loads, heard.read().splitlines()):
                if kind == "begin":
                    under_way = change
                else:
                    known, under_way, acknowledged = after(known, *under_way), None, acknowledged + 1
        with Index.load(tmp_path / "index") as index:
            found = dict(zip(index.ids, [item["place"] for item in index.metadata()], strict=True))
            assert found in ([known, after(known, *under_way)] if under_way else [known])
            known = found
            places = torch.tensor(list(found.values()), dtype=torch.int64)
            assert torch.equal(index.points(), points[places].view(len(places), -1 if len(places) else index.dim or 0))
            if found:
                order, distances = reference(SPACE, points[places], points[:2], 5)
                hits = index.search(points[:2], 5)
                assert (hits.ids == np.array(list(found), object)[order]).all() and (hits.distances == distances).all()
                some = next(iter(found.values()))
                assert index.search(points[0], 9, where={"place": some}).ids.shape == (1, 1)
    assert acknowledged > 25


def test_a_kill_while_saving_leaves_a_whole_copy_or_none(tmp_path):
    index = Index(SPACE)
    index.add(SPACE(torch.randn(3000, 30)), [str(number) for number in range(3000)])
    rng, whole = random.Random(1), 0
    for step in range(12):
        folder = tmp_path / str(step)
        child, heard = forked(lambda say, folder=folder: (say("begin"), index.save(folder), say("done")))
        heard.readline()
        time.sleep(rng.uniform(0, 0.06))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        done = bool(heard.readline())
        heard.close()
        try:
            with Index.load(folder) as copy:
                assert copy.ids == index.ids and torch.equal(copy.points(), index.points())
                whole += 1
        except InputError:
            assert not done and not (folder / "items.sqlite").exists()
            index.save(folder)
            Index.load(folder).close()
    assert whole


def test_an_index_reads_back(tmp_path):
    folder = filled(tmp_path / "a folder with % and # and ?")
    with open_index(folder) as index:
        assert (index.model, index.promise, index.storage, len(index)) == ("fingerprint", 0.9, "float32", 30)
        assert index.space.describe() == SPACE.describe()
        index.save(tmp_path / "copy")
        assert index.ids == Index.load(tmp_path / "copy").ids
    assert sorted(path.name for path in folder.iterdir()) == [".items.lock", "items.sqlite"]
    with pytest.raises(InputError, match="holds an index already"):
        Index.create(folder, SPACE)
    with pytest.raises(InputError, match="is closed"):
        index.metadata()


def test_row_numbers_are_never_used_again(tmp_path):
    with Index.create(tmp_path, SPACE) as index:
        x = points_of(SPACE)
        index.add(x[:5], list("abcde"))
        index.remove(["e"])
        index.add(x[5:6], ["f"])
        assert index._items.rows.tolist() == [1, 2, 3, 4, 6]


def test_one_process_writes_and_any_number_read(tmp_path):
    folder, x = filled(tmp_path / "index"), points_of(SPACE)

    def work(say):
        with Index.load(folder) as other:
            other.add(x[30:31], ["other's"])
            say("written")
            time.sleep(60)

    with Index.load(folder) as index, Index.load(folder) as reader:
        child, heard = forked(work)
        try:
            heard.readline()
            assert len(index) == len(reader) == 30
            with pytest.raises(InputError, match="another process is writing"):
                index.add(x[31:32], ["mine"])
            assert (reader.search(x[:3], 1).ids[:, 0] == ["0", "1", "2"]).all()
            assert reader.search(x[:3], 40, where={"number": {"not": 3}}).ids.shape == (3, 29)
            with pytest.raises(InputError, match="load it again"):
                reader.points(["other's"])
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            heard.close()
        # The lock has ended with its process, and what the other wrote is here.
        assert index.add(x[31:32], ["mine"]) == 1 and index.ids[-2:] == ["other's", "mine"]


def test_threads_search_while_others_write(tmp_path):
    x, wrong = points_of(SPACE, 600), []
    with Index.create(tmp_path, SPACE) as index:
        index.add(x[:100], [str(number) for number in range(100)], [{"odd": bool(number % 2)} for number in range(100)])

        def ask():
            try:
                for number in range(60):
                    hits = index.search(x[number : number + 3], 2)
                    # Rows 10 to 20 are copies of one, and of those the first comes first.
                    assert hits.distances[0, 0] == 0 and index.search(x[:1], 3, where={"odd": True}).ids.shape == (1, 3)
                    index.search(x[:2], 3, weights=(1, 0))
            except BaseException as error:
                wrong.append(error)

        def write(start):
            try:
                for number in range(start, 600, 10):
                    index.add(x[number : number + 5], [str(place) for place in range(number, number + 5)])
                    index.remove([str(number + 1)])
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        threads += [threading.Thread(target=write, args=(start,)) for start in (100, 105)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert len(index) == 600 - 100
        assert (np.diff(index._items.rows) > 0).all() and index.ids == Index.load(tmp_path).ids


def test_what_is_no_index_is_refused(tmp_path):
    folder = filled(tmp_path / "index")
    file = folder / "items.sqlite"
    whole = file.read_bytes()
    with pytest.raises(InputError, match=r"holds no index: expected items.sqlite"):
        Index.load(tmp_path)
    with pytest.raises(InputError, match="holds no index"):
        Index.load(tmp_path / "nowhere")
    for content, message in [(b"", "no index of horosphere"), (b"neither this" * 500, "damaged or no index")]:
        file.write_bytes(content)
        with pytest.raises(InputError, match=message):
            Index.load(folder)
    file.unlink()
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE items (id)")
    with pytest.raises(InputError, match="no index of horosphere"):
        Index.load(folder)

    def changed(statement, *values):
        file.write_bytes(whole)
        with closing(sqlite3.connect(file)) as other, other:
            other.execute(statement, values)

    changed("PRAGMA user_version = 7")
    with pytest.raises(InputError, match="newer horosphere"):
        Index.load(folder)
    changed("UPDATE about SET value = ? WHERE name = 'space'", json.dumps({"kind": "torus"}))
    with pytest.raises(InputError, match=r"damaged \(unknown kind of space 'torus'"):
        Index.load(folder)
    changed("UPDATE items SET point = x'0000' WHERE row = 3")
    with pytest.raises(InputError, match="damaged"):
        Index.load(folder)
    changed("DELETE FROM about WHERE name = 'promise'")
    with pytest.raises(InputError, match="damaged"):
        Index.load(folder)
    file.write_bytes(whole)
    with Index.load(folder) as index:
        assert len(index) == 30


def test_a_truncated_or_scribbled_file_is_refused_or_read_right(tmp_path):
    """Never a traceback of another kind, and never an index that holds less than it did."""
    folder = filled(tmp_path / "index", 200)
    file = folder / "items.sqlite"
    whole, refused, rng = file.read_bytes(), 0, random.Random(2)
    with Index.load(folder) as index:
        ids, points = index.ids, index.points()
    for length in [10, 100, 5000, len(whole) // 2, len(whole) - 4096, len(whole) - 1]:
        file.write_bytes(whole[:length])
        with pytest.raises(InputError):
            Index.load(folder)
    for _ in range(40):
        place = rng.randrange(len(whole) - 64)
        file.write_bytes(whole[:place] + rng.randbytes(64) + whole[place + 64 :])
        try:
            with Index.load(folder) as index:
                assert len(index) == len(ids) and index.points().shape == points.shape
        except InputError:
            refused += 1
    assert refused


def test_a_full_disk_is_told_and_loses_nothing(tmp_path):
    x = points_of(SPACE)
    with Index.create(tmp_path / "index", SPACE) as index:
        index.add(x[:10], [str(number) for number in range(10)])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(InputError, match="Nothing was changed"):
                index.add(SPACE(torch.randn(5000, 5)), [f"n{number}" for number in range(5000)])
            with pytest.raises(InputError, match=r"cannot write|Nothing was changed"):
                Index(SPACE).save(tmp_path / "index" / "items.sqlite" / "below")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert len(index) == 10 and "n0" not in index
        assert index.add(x[10:12], ["n0", "n1"]) == 2
    with Index.load(tmp_path / "index") as index:
        assert len(index) == 12 and torch.equal(index.points(), x[:12])


def killed_after(folder, work):
    """Run `work(index)` on the folder's index in a process that is then killed: its log is left behind."""

    def run(say):
        index = Index.load(folder)
        work(index)
        say("done")
        time.sleep(60)

    child, heard = forked(run)
    assert heard.readline()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    heard.close()
    assert (folder / "items.sqlite-wal").stat().st_size


def test_what_a_killed_process_left_is_not_taken_for_a_new_index(tmp_path):
    x = points_of(SPACE)
    for make in (lambda folder: Index.create(folder, SPACE).close(), index_of(x[:200]).save):
        folder = tmp_path / make.__name__
        Index.create(folder, SPACE).close()
        killed_after(folder, lambda index: index.add(x[:50], [f"old {number}" for number in range(50)]))
        (folder / "items.sqlite").unlink()
        make(folder)
        with Index.load(folder) as index:
            assert not [id for id in index.ids if "old" in id] and len(index) in (0, 200)
            index.add(x[:3], list("abc"))
        with Index.load(folder) as index:
            assert index.ids[-3:] == list("abc") and len(index) in (3, 203)


def index_of(points):
    index = Index(SPACE)
    index.add(points, [str(number) for number in range(len(points))])
    return index


def test_a_read_only_folder_is_read_and_not_written():
    """Truly read-only: by a process without the rights, as root may write anywhere."""
    x = points_of(SPACE)
    with tempfile.TemporaryDirectory() as parent:
        os.chmod(parent, 0o755)
        folder = filled(Path(parent) / "index")

        def work(say):
            if os.getuid() == 0:
                os.setuid(65534)
            try:
                with Index.load(folder) as index:
                    hits = index.search(x[:2], 1, where={"number": 1})
                    say("read", len(index), hits.ids.tolist())
                    index.remove(["3"])
            except BaseException as error:
                say(type(error).__name__, str(error))

        def told():
            child, heard = forked(work)
            os.waitpid(child, 0)
            with heard:
                return [json.loads(line) for line in heard]

        os.chmod(folder, 0o555)
        before = sorted(path.name for path in folder.iterdir())
        try:
            read, (kind, message) = told()
            assert read == ["read", 30, [["1"], ["1"]]] and kind == "InputError" and "annot write" in message
            assert sorted(path.name for path in folder.iterdir()) == before == [".items.lock", "items.sqlite"]
            # While another writes, what it has written so far is read.
            os.chmod(folder, 0o755)
            with Index.load(folder) as writer:
                writer.add(x[30:31], ["new"])
                os.chmod(folder, 0o555)
                assert told()[0] == ["read", 31, [["1"], ["1"]]]
                os.chmod(folder, 0o755)
            killed_after(folder, lambda index: index.remove(["7"]))
            (folder / "items.sqlite-shm").unlink()
            os.chmod(folder, 0o555)
            ((kind, message),) = told()
            assert kind == "InputError" and "was being written when its process ended" in message
        finally:
            os.chmod(folder, 0o755)


def test_a_field_is_of_another_kind_once_no_item_has_it(tmp_path):
    x = points_of(SPACE)
    with Index.create(tmp_path, SPACE) as index:
        index.add(x[:2], ["a", "b"], [{"year": "long ago", "class": "cat"}] * 2)
        with pytest.raises(InputError, match="other items hold a text there"):
            index.add(x[:1], ["a"], [{"year": 3}], duplicates="replace")
        assert index.metadata(["a"]) == [{"year": "long ago", "class": "cat"}]
        index.remove(["b"])
        index.add(x[:1], ["a"], [{"year": 3}], duplicates="replace")
        assert index.fields().keys() == {"year"} and index.search(x[0], where={"year": {"min": 2}}).ids.tolist() == [["a"]]
    with Index.load(tmp_path) as index:
        assert index.fields()["year"].kind == "number"


def test_an_empty_index_takes_points_of_any_width(tmp_path):
    with Index.create(tmp_path, Euclidean()) as index:
        index.add(torch.ones(2, 4), ["a", "b"])
        with pytest.raises(InputError, match="4, as the points in the index have"):
            index.add(torch.ones(1, 5), ["c"])
        index.remove(["a", "b"])
        assert index.dim is None and index.search(torch.ones(3)).ids.shape == (1, 0)
        index.add(torch.ones(1, 5), ["c"])
    with Index.load(tmp_path) as index:
        assert index.dim == 5 and index.search(torch.zeros(5), 1).ids.tolist() == [["c"]]


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_without_room_for_mapped_points_nothing_is_changed(tmp_path, storage, monkeypatch):
    x = points_of(SPACE)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with Index.create(tmp_path, SPACE, storage=storage) as index:
        index.add(x[:20], [str(number) for number in range(20)])
        with monkeypatch.context() as patch:
            patch.setattr(os, "posix_fallocate", full)
            for change in (
                lambda: index.add(x[20:60], [str(number) for number in range(20, 60)]),
                lambda: index.remove(["3"]),
                lambda: index.search(x[0]),  # which makes keys
                lambda: Index.load(tmp_path),
            ):
                with pytest.raises(InputError, match="no room for"):
                    change()
            assert len(index) == 20
        assert index.search(x[:3], 1).ids.tolist() == [["0"], ["1"], ["2"]] and index.remove(["3"]) == 1
    with Index.load(tmp_path) as index:
        assert len(index) == 19 and "20" not in index


def test_stopping_with_the_keyboard_keeps_memory_and_disk_the_same(tmp_path, monkeypatch):
    folder, x = filled(tmp_path / "index"), points_of(SPACE)
    with Index.load(folder) as index:
        for name in ("insert", "note"):
            with monkeypatch.context() as patch:
                patch.setattr(stores.Store, name, lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
                with pytest.raises(KeyboardInterrupt):
                    index.add(x[30:33], list("abc"))
            assert len(index) == 30 and "a" not in index
        with monkeypatch.context() as patch:
            patch.setattr(Index, "_changed", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                index.add(x[30:33], list("abc"))
        assert index.ids[-3:] == list("abc") and torch.equal(index.points(["c"]), x[32:33])
    shutil.rmtree(folder)
