import errno
import mmap
import shutil
import signal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from horosphere.errors import InputError
from horosphere.index import Index, approximate, embedded, graph, measuring
from horosphere.index.rerank import rerank
from horosphere.index.store import Store
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

SPACES = [Sphere(), Euclidean(), Hyperbolic(), Mixed([Sphere(), Hyperbolic()], [1.0, 3.0])]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Small graphs, and exact search that counts as slow: nothing here depends on a clock."""
    monkeypatch.setattr(approximate, "FEWEST", 500)
    monkeypatch.setattr(measuring, "_SAMPLE", 400)
    monkeypatch.setattr(approximate, "_FEW_BESIDE", 100)
    monkeypatch.setattr(measuring, "_quicker", slow_exact([16, 32, 64, 128, 256]))


def slow_exact(efforts):
    return lambda graph, exact, search, queries, k: (10.0, {effort: 0.1 for effort in efforts if effort >= k})


def points_of(space, count, seed=0, columns=16):
    """Clusters of about fifty in few dimensions, with spread norms."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(6, columns, generator=torch.Generator().manual_seed(1))
    centres = torch.randn(count // 50 + 1, 6, generator=generator)
    own = centres[torch.randint(len(centres), (count,), generator=generator)]
    own = (own + 0.4 * torch.randn(count, 6, generator=generator)) @ mix
    return space(own * (0.2 + 0.8 * torch.rand(count, 1, generator=generator)))


def names(start, stop):
    return [f"item {number}" for number in range(start, stop)]


def brute(space, points, queries, k):
    distance = space.distance(queries[:, None].double(), points[None].double()).numpy()
    order = np.lexsort((np.broadcast_to(np.arange(len(points)), distance.shape), distance))[:, :k]
    return order, np.take_along_axis(distance, order, 1)


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def test_the_promise_is_kept(space, storage):
    points, queries = points_of(space, 4060).split([4000, 60])
    index = Index(space, storage=storage)
    index.add(points, names(0, 4000))
    assert index.search(queries, 10).exact and index.recall is None
    index.build()
    hits = index.search(queries, 10)
    assert not hits.exact and index.recall.effort and index.recall.bound >= 0.99
    order, distances = brute(space, points, queries, 10)
    ids = np.array(names(0, 4000))[order]
    same = hits.ids == ids
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(hits.ids, ids, strict=True)]) >= 0.99
    np.testing.assert_allclose(hits.distances[same], distances[same], rtol=1e-12)
    assert (np.diff(hits.distances, axis=1) >= 0).all()
    # What nothing was measured for is exact.
    assert index.search(queries, 101).exact
    assert index.describe()["search"]["sentence"] == index.recall.sentence


def built(space=SPACES[3], count=2000, folder=None, **options):
    """An index with a graph, and its points. With a sample of 200, whoever found everything can promise 0.98."""
    options = {"promise": 0.95} | options
    index = Index(space, **options) if folder is None else Index.create(folder, space, **options)
    points = points_of(space, count)
    index.add(points, names(0, count))
    index.build()
    assert index.recall.effort
    return index, points


def agreement(index, space, points, ids, queries, k=10):
    """The share of the k nearest that a search finds."""
    order, _ = brute(space, points, queries, k)
    hits = index.search(queries, k)
    return np.mean([len(set(a) & set(b)) / k for a, b in zip(hits.ids, np.array(ids)[order], strict=True)])


def test_what_is_added_is_found_at_once_and_the_graph_grows():
    space = SPACES[3]
    index, points = built(space)
    more = points_of(space, 1500, seed=7)
    linked, measured = len(index._approximate.graph.linked), index.recall
    for start in range(0, 1500, 60):
        rows, own = more[start : start + 60], names(2000 + start, 2060 + start)
        index.add(rows, own)
        assert index.search(rows, 1).ids[:, 0].tolist() == own
    assert len(index._approximate.graph.linked) > linked + 1000
    assert len(index._approximate.graph.beside) < 600
    assert index.recall.items > measured.items and not index.search(more[:1]).exact
    assert agreement(index, space, torch.cat([points, more]), names(0, 3500), more[:60]) >= 0.99


def test_the_sample_stays_alike_from_all_as_the_index_grows():
    """As many of the first half's items and of the second's are in it, but for chance."""
    space = SPACES[0]
    index, _ = built(space)
    more = points_of(space, 2000, seed=7)
    for start in range(0, 2000, 100):
        index.add(more[start : start + 100], names(2000 + start, 2100 + start))
    graph = index._approximate.graph
    assert 350 < len(graph.sample) <= 400 and not np.isin(graph.sample, graph.linked).any()
    assert 140 < (graph.sample <= 2000).sum() < 260


def test_what_is_removed_or_replaced_is_not_found():
    space = SPACES[3]
    index, points = built(space)
    index.remove(names(0, 150))
    hits = index.search(points[:150])
    assert not hits.exact and not set(hits.ids.ravel()) & set(names(0, 150))
    assert agreement(index, space, points[150:], names(150, 2000), points[:60]) >= 0.95
    index.add(points[:50], names(500, 550), duplicates="replace")
    assert index.search(points[:50], 1).ids[:, 0].tolist() == names(500, 550)
    assert index.search(points[500:550], 1).distances.min() > 0


def test_many_removed_are_measured_and_then_built_without():
    index, points = built(count=2500)
    items = index.recall.items
    index.remove(names(0, 1200))
    assert index.recall.items == 1300 < items
    assert index._approximate.graph is None or len(index._approximate.graph.linked) > 1300
    index.build()
    assert index._approximate.graph is None or len(index._approximate.graph.linked) < 1300
    assert agreement(index, SPACES[3], points[1200:], names(1200, 2500), points[:60]) >= 0.95


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def test_loaded_it_searches_as_before(tmp_path, storage):
    index, points = built(folder=tmp_path / "own", storage=storage)
    hits = index.search(points[:50])
    index.save(tmp_path / "copy")
    index.close()
    for folder in ("own", "copy"):
        with Index.load(tmp_path / folder) as other:
            assert other.recall == index.recall and other._approximate.graph.storage == storage
            again = other.search(points[:50])
            assert not again.exact and (again.ids == hits.ids).all() and (again.distances == hits.distances).all()


def test_rows_added_after_the_file_was_written_are_beside_it(tmp_path):
    index, _ = built(folder=tmp_path)
    more = points_of(SPACES[3], 50, seed=9)
    index.add(more, names(2000, 2050))
    index.close()
    with Index.load(tmp_path) as other:
        hits = other.search(more, 1)
        assert not hits.exact and hits.ids[:, 0].tolist() == names(2000, 2050)


def cut(path, _):
    path.write_bytes(path.read_bytes()[:-1000])


def flip(path, _):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        flip,
        lambda path, _: path.write_bytes(b""),
        lambda path, _: path.write_bytes(b"horosphere graph 1\n{}\n"),
        lambda path, _: path.unlink(),
        lambda path, other: path.write_bytes(other.read_bytes()),
    ],
    ids=["cut", "flipped", "empty", "header", "missing", "another's"],
)
def test_a_damaged_or_foreign_graph_is_noticed_and_made_again(tmp_path, damage):
    built(folder=tmp_path / "other", count=1500)[0].close()
    index, points = built(folder=tmp_path / "own", count=1500)
    index.close()
    damage(tmp_path / "own/graph.faiss", tmp_path / "other/graph.faiss")
    with Index.load(tmp_path / "own") as index:
        assert index.recall is None and index.search(points[:5]).exact
        assert "missing or damaged" in index.describe()["search"]["sentence"]
        index.add(points[:5], names(1500, 1505))
        index.build()
        assert not index.search(points[:5]).exact
    with Index.load(tmp_path / "own") as index:
        assert not index.search(points[:5]).exact


def test_a_graph_of_a_former_state_is_noticed(tmp_path):
    index, points = built(folder=tmp_path)
    before = (tmp_path / "graph.faiss").read_bytes()
    index.build()
    index.close()
    (tmp_path / "graph.faiss").write_bytes(before)
    with Index.load(tmp_path) as index:
        assert index.search(points[:5]).exact


def test_ctrl_c_leaves_what_is_done_and_build_goes_on(tmp_path, monkeypatch):
    space = SPACES[3]
    points, calls = points_of(space, 2000), []
    monkeypatch.setattr(graph, "_CHUNK", 300)

    def points_then_ctrl_c(items, rows, read=approximate._points):
        calls.append(len(rows))
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return read(items, rows)

    with Index.create(tmp_path, space, promise=0.95) as index:
        index.add(points, names(0, 2000))
        with monkeypatch.context() as patched:
            patched.setattr(approximate, "_points", points_then_ctrl_c)
            with pytest.raises(KeyboardInterrupt):
                index.build()
        assert calls == [300] * 3 and index.search(points[:5]).exact
        index.add(points[:5], names(2000, 2005))
    with Index.load(tmp_path) as index:
        assert len(index._approximate.graph.linked) == 900 and index.search(points[:5]).exact
        index.build()
        assert not index.search(points[:5]).exact and index.recall.items == 2005
        assert len(index._approximate.graph.linked) == 2005 - len(index._approximate.graph.sample)


@pytest.mark.parametrize(("seconds", "kept"), [(60.0, 0), (0.0, 500)])
def test_killed_while_building_it_opens_with_everything_and_goes_on(tmp_path, monkeypatch, seconds, kept):
    """From what a killed process leaves on the disk: a copy of the folder as it is half way."""
    space, half = SPACES[3], tmp_path / "half"
    points = points_of(space, 1500)
    monkeypatch.setattr(graph, "_CHUNK", 500)
    monkeypatch.setattr(embedded, "_WRITTEN", seconds)
    monkeypatch.setattr(embedded, "_SHARE", 0.0)
    calls = []

    def copied(items, rows, read=approximate._points):
        calls.append(len(rows))
        if calls == [500, 500]:
            shutil.copytree(tmp_path / "own", half)
        return read(items, rows)

    with Index.create(tmp_path / "own", space, promise=0.95) as index:
        index.add(points, names(0, 1500))
        with monkeypatch.context() as patched:
            patched.setattr(approximate, "_points", copied)
            index.build()
    with Index.load(half) as index:
        assert len(index) == 1500 and index.search(points[:5]).exact
        assert (len(index._approximate.graph.linked) if kept else index._approximate.graph) == (kept or None)
        index.build()
        assert not index.search(points[:5]).exact
        assert len(index._approximate.graph.linked) == 1500 - len(index._approximate.graph.sample)


@pytest.fixture
def often(monkeypatch):
    """Unfinished graphs are written after every few rows; when told, all that a kill could leave is kept: often(folder) →
    copies of it, from just before and after every write."""
    monkeypatch.setattr(graph, "_CHUNK", 100)
    monkeypatch.setattr(embedded, "_WRITTEN", -1.0)
    monkeypatch.setattr(embedded, "_SHARE", 0.0)

    def keep(folder):
        copies = []

        def copied(method):
            def call(self, *given, **named):
                for turn in range(2):
                    copies.append(folder.with_name(f"copy {len(copies)}"))
                    shutil.copytree(folder, copies[-1])
                    if not turn:
                        result = method(self, *given, **named)
                return result

            return call

        monkeypatch.setattr(approximate.Approximate, "write", copied(approximate.Approximate.write))
        monkeypatch.setattr(Store, "note", copied(Store.note))
        return copies

    return keep


@pytest.mark.parametrize("gone", [0, 250], ids=["it grows", "it is worn and made anew"])
def test_killed_while_it_builds_an_index_keeps_the_graph_in_use(tmp_path, often, monkeypatch, gone):
    space = SPACES[3]
    index, points = built(space, folder=tmp_path / "own")
    more = points_of(space, 90, seed=7)
    index.add(more, names(2000, 2090))
    index.remove(names(0, gone))
    monkeypatch.setattr(approximate, "_GONE", 0.1)
    copies = often(tmp_path / "own")
    index.build()
    index.close()
    assert len(copies) > 8
    kept, ids = torch.cat([points, more])[gone:], names(gone, 2090)
    for copy in copies:
        with Index.load(copy) as left:
            assert len(left) == 2090 - gone and not left.search(points[:5]).exact
            assert agreement(left, space, kept, ids, more[:30]) >= 0.95
    # And what a kill left half written is not left for ever.
    half = copies[2] / ".graph.faiss.123.tmp.faiss"
    half.write_bytes(b"half")
    with Index.load(copies[2]) as left:
        left.build()
        assert not half.exists() and agreement(left, space, kept, ids, more[:30]) >= 0.95


def test_a_disk_that_was_full_for_a_while_ends_no_build(tmp_path, often, monkeypatch):
    space, tries = SPACES[3], []

    def full(self, path, write=approximate.Approximate.write):
        tries.append(path)
        if len(tries) < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, path)

    points = points_of(space, 2000)
    with Index.create(tmp_path, space, promise=0.95) as index:
        monkeypatch.setattr(approximate.Approximate, "write", full)
        index.add(points, names(0, 2000))
        index.build()
    with Index.load(tmp_path) as index:
        assert len(tries) > 5 and not index.search(points[:5]).exact


@pytest.mark.parametrize("left", [0, 1, 5, 10, 11, 200])
def test_few_or_none_left_are_searched_exactly_and_it_begins_again(left, tmp_path):
    space = SPACES[3]
    index, points = built(space, 1000, folder=tmp_path)
    index.remove(names(left, 1000))
    hits = index.search(points[:3], 10)
    assert hits.exact and hits.ids.shape == (3, min(left, 10))
    assert "500 items or more" in index.describe()["search"]["sentence"]
    index.build()
    index.close()
    with Index.load(tmp_path) as index:
        index.add(points[left : left + 5], names(left, left + 5))
        order, _ = brute(space, points[: left + 5], points[:3], 10)
        assert (index.search(points[:3], 10).ids == np.array(names(0, left + 5))[order]).all()
        index.add(points[left + 5 :], names(left + 5, 1000))
        index.build()
        assert not index.search(points[:3]).exact


def test_without_its_sample_a_graph_is_not_trusted():
    index, points = built(count=1000)
    sample = index._approximate.graph.sample
    index.remove(index._items.ids[index._items.places(sample)].tolist())
    assert index.search(points[:3]).exact
    index.build()
    assert not index.search(points[:3]).exact and not np.isin(index._approximate.graph.sample, sample).any()


def test_what_is_being_replaced_is_found_all_the_time(monkeypatch):
    index, points = built(count=1000)
    seen = []

    def asked(state, rows, more, real=approximate.Approximate.with_more):
        seen.append(index.search(points[7], 3))
        new = real(state, rows, more)
        seen.append(index.search(points[7], 3))
        return new

    monkeypatch.setattr(approximate.Approximate, "with_more", asked)
    monkeypatch.setattr(Index, "_changed", lambda own: seen.append(own.search(points[7], 3)))
    index.add(points[7:8], ["item 7"], duplicates="replace")
    assert len(seen) == 3
    assert all(not hits.exact and hits.ids[0, 0] == "item 7" and hits.distances[0, 0] == 0 for hits in seen)


def test_where_no_graph_pays_it_is_not_made_again_until_much_has_changed(monkeypatch):
    made = []
    monkeypatch.setattr(measuring, "_quicker", lambda *_: (0.1, {}))
    real = approximate._empty
    monkeypatch.setattr(approximate, "_empty", lambda *given: made.append(1) or real(*given))
    index, points = Index(SPACES[0]), points_of(SPACES[0], 1000)
    index.add(points, names(0, 1000))
    for more in (0, 60, 60):
        index.add(points[:more], names(len(index), len(index) + more))
        index.build()
        index.build()
        assert index.search(points[:3]).exact and "All items are compared" in index.describe()["search"]["sentence"]
        assert len(made) == (1 if len(index) < 1100 else 2)


def test_where_the_promise_cannot_be_kept_it_says_so_and_searches_exactly(monkeypatch):
    monkeypatch.setattr(measuring, "_quicker", slow_exact([16]))
    space = Hyperbolic()
    generator = torch.Generator().manual_seed(0)
    points = space(torch.randn(3000, 128, generator=generator) * torch.rand(3000, 1, generator=generator))
    index = Index(space)
    index.add(points, names(0, 3000))
    index.build()
    hits = index.search(points[:20])
    order, _ = brute(space, points, points[:20], 10)
    assert hits.exact and (hits.ids == np.array(names(0, 3000))[order]).all()
    about = index.describe()["search"]
    assert about["exact"] and about["recall"] == 1.0 and index.recall.effort is None
    assert "All items are compared" in about["sentence"] and "the graph finds" in about["sentence"]


@pytest.mark.parametrize("options", [{"promise": 1.0}, {}], ids=["promise 1", "few items"])
def test_without_a_graph_it_says_why(options, tmp_path):
    count = 600 if options else 400
    index = Index.create(tmp_path, Sphere(), **options)
    index.add(points_of(Sphere(), count), names(0, count))
    index.build()
    index.close()
    with Index.load(tmp_path) as index:
        assert index.recall is None and index.search(points_of(Sphere(), 3)).exact
        assert ("as was asked" if options else "500 items or more") in index.describe()["search"]["sentence"]
    assert not (tmp_path / "graph.faiss").exists()


def test_a_larger_k_has_an_effort_of_its_own():
    index, points = built(SPACES[2], count=3000)
    ten, twenty, hundred = index._approximate.levels
    assert twenty.k == 20 and hundred.k == 100 and hundred.effort > twenty.effort >= ten.effort
    assert index._approximate.level(11) is twenty
    assert agreement(index, SPACES[2], points, names(0, 3000), points[:30], k=60) >= 0.99
    assert index.search(points[:2], 101).exact
    assert index.search(points[:0]).ids.shape == (0, 10)


def test_copies_of_one_point():
    """More copies than candidates: the search is still right, and says what it is."""
    space = SPACES[3]
    points = torch.cat([points_of(space, 1200), points_of(space, 1).expand(900, -1)])
    index = Index(space, promise=0.95)
    index.add(points, names(0, 2100))
    index.build()
    assert index.search(points[-1:]).distances.max() == 0


def test_what_is_no_candidate_comes_last_even_beside_what_has_no_distance():
    space = Hyperbolic(clip=None)
    points = torch.tensor([[0.1, 0.2], [0.3, 0.1], [0.2, 0.5]])
    queries = torch.tensor([[1e6, 0.0], [torch.nan, 0.0], [0.1, 0.2]])
    places, distances = rerank(space, points, queries, np.array([[2, -1, 0], [-1, 1, -1], [-1, -1, 2]]))
    assert sorted(places[0, :2]) == [0, 2] and places[:, 2].tolist() == [-1, -1, -1] and places[1, 0] == 1
    assert places[2].tolist() == [2, -1, -1] and np.isfinite(distances[2, 0]) and np.isinf(distances[2, 1:]).all()


@given(st.integers(0, 2**31 - 1))
@settings(max_examples=5, deadline=None)
def test_of_a_perfect_graph_nothing_is_lost_to_bookkeeping(seed):
    """With all items in sight, whatever was added and removed, a search is exact."""
    space, rng = Mixed([Hyperbolic(), Euclidean()], [2.0, 1.0]), np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(approximate, "FEWEST", 500)
        patched.setattr(approximate, "_FEW_BESIDE", 30)
        patched.setattr(measuring, "KS", (10,))
        patched.setattr(measuring, "_quicker", slow_exact([900]))
        index, kept = Index(space, promise=0.8), {}
        for turn in range(8):
            points, ids = (
                points_of(space, 600 if not turn else 40, int(rng.integers(2**31))),
                names(1000 * turn, 1000 * turn + 600),
            )
            kept |= dict(zip(ids, points, strict=False))
            index.add(points, ids[: len(points)])
            if not turn:
                index.build()
            gone = rng.choice(list(kept), 15, replace=False).tolist()
            index.remove(gone)
            for id in gone:
                del kept[id]
            queries = points_of(space, 5, turn)
            order, distances = brute(space, torch.stack(list(kept.values())), queries, 10)
            hits = index.search(queries)
            assert not hits.exact and (hits.ids == np.array(list(kept))[order]).all()
            np.testing.assert_allclose(hits.distances, distances, rtol=1e-12)


def test_without_room_for_the_graph_items_are_kept_and_found(tmp_path, monkeypatch):
    index, _ = built(folder=tmp_path)
    more = points_of(SPACES[3], 600, seed=3)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(graph.Graph, "write", full)
        index.add(more, names(2000, 2600))
        assert index.search(more[:20], 1).ids[:, 0].tolist() == names(2000, 2020)
        with pytest.raises(InputError, match="No space left"):
            index.build()
    index.close()
    with Index.load(tmp_path) as index:
        hits = index.search(more[:20], 1)
        assert not hits.exact and hits.ids[:, 0].tolist() == names(2000, 2020)


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_compressed_the_float32_points_stay_on_the_disk(tmp_path, storage):
    """Through growth and removal: every array of points and keys lies in a mapped file."""
    space = SPACES[3]
    index, _ = built(folder=tmp_path, storage=storage)
    index.add(points_of(space, 2100, seed=3), names(2000, 4100))
    index.remove(names(100, 300))
    index.search(points_of(space, 1), weights=(1.0, 0.0))
    items = index._items
    for array in (column.array for column in (items._columns[2], *(keys.column for keys in items.keys))):
        while not isinstance(array, mmap.mmap):
            array = array.base
    order, _ = brute(space, items.points, points_of(space, 5), 10)
    assert (index.search(points_of(space, 5), weights=(1.0, 3.0)).ids == items.ids[order]).all()
    index.close()
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == [
        "graph.faiss",
        "items.sqlite",
    ]
