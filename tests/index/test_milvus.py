"""The server engine: what it refuses, what it filters, and what it keeps when the server is killed."""

import contextlib
import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from horosphere.errors import InputError
from horosphere.index import milvus_graph
from horosphere.index.lifted import keys
from horosphere.index.milvus import MilvusIndex
from horosphere.index.milvus_connection import Connection
from horosphere.index.milvus_exact import search
from horosphere.index.milvus_table import Table
from horosphere.index.milvus_where import among, expression
from horosphere.index.where import conditions, kinds_of
from horosphere.spaces import Hyperbolic, Mixed, Sphere

milvus = pytest.mark.milvus
SPACE = Mixed([Sphere(), Hyperbolic(0.5)], [1.0, 0.5])
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)


def some_points(n, seed=0):
    return SPACE(torch.randn(n, 4, generator=torch.Generator().manual_seed(seed)))


@pytest.fixture(scope="module")
def own(milvus_server):
    """An index that the tests of this module share, empty at first."""
    with MilvusIndex.create(milvus_server.uri, "own", SPACE, 8, model="maker", token=milvus_server.token) as index:
        yield index
        index.drop()


@pytest.fixture
def not_stored(monkeypatch):
    """What is added is seen by searches without waiting for the server's disk, which takes seconds each time."""
    monkeypatch.setattr(Table, "flush", lambda table: None)


def test_expressions_hold_literals():
    kinds = {"class": "text", 'the "y"': "number", "seen": "boolean"}
    where = {"class": {"not": ['a"b', "c\\\n"]}, 'the "y"': {"min": -1, "max": 2.5}, "seen": True}
    assert expression(conditions(where, kinds)) == (
        r'(not (metadata["class"] in ["a\"b", "c\\\n"]))'
        r' and (metadata["the \"y\""] >= -1) and (metadata["the \"y\""] <= 2.5) and (metadata["seen"] in [true])'
    )
    assert expression(conditions({'the "y"': [1, 0.5]}, kinds)) == (
        r'(metadata["the \"y\""] in [1] or metadata["the \"y\""] in [1.0, 0.5])'
    )
    assert expression([]) == "" and among(['"', "é"]) == r'id in ["\"", "é"]'


@pytest.mark.parametrize("uri", ["", "127.0.0.1:19530", "file.db"])
def test_an_address_that_is_none(uri):
    with pytest.raises(InputError, match="expected the server's address"):
        MilvusIndex.connect(uri, "name")
    with pytest.raises(InputError, match="expected letters, digits and underscores"):
        MilvusIndex.connect("http://127.0.0.1:1", "a name")


@milvus
def test_what_cannot_be_connected_to(milvus_server, own):
    uri, token = milvus_server.uri, milvus_server.token
    with pytest.raises(InputError, match="nothing listens"):
        MilvusIndex.connect("http://127.0.0.1:9", "own", timeout=2)
    with pytest.raises(InputError, match="to this token"):
        MilvusIndex.connect(uri, "own", token="root:wrong", timeout=5)
    with pytest.raises(InputError, match="has no collection 'other'"):
        MilvusIndex.connect(uri, "other", token=token)
    with pytest.raises(InputError, match="has a collection 'own' already"):
        MilvusIndex.create(uri, "own", SPACE, 8, token=token)
    own._table.server.client.create_collection("foreign", dimension=4)
    with pytest.raises(InputError, match="was not made by horosphere"):
        MilvusIndex.connect(uri, "foreign", token=token)
    own._table.server.client.drop_collection("foreign")


@milvus
def test_a_service_that_is_away_is_waited_for(milvus_server):
    """As long as one request may take; what else goes wrong is told at once."""
    from pymilvus.exceptions import MilvusException

    def answering(*answers):
        left = iter(answers)

        def request(timeout):
            assert timeout == server.timeout
            if isinstance(answer := next(left), str):
                raise MilvusException(message=answer)
            return answer

        return request

    away = "find no available datacoord, check datacoord state"
    server = Connection(milvus_server.uri, token=milvus_server.token, timeout=5)
    assert server.ask("count", answering(away, "service not ready", 3)) == 3
    with pytest.raises(InputError, match=r"could not count: the server's log may say more .*no field"):
        server.ask("count", answering("no field of this name", 3))
    server.timeout = 0.5
    with pytest.raises(InputError, match=r"no usable answer within 0.5 s.* no available datacoord"):
        server.ask("count", answering(away, away, away))
    server.close()


@milvus
def test_a_second_connection_finds_what_the_first_left(milvus_server, own):
    x = some_points(120)
    ids = [f"a/{number}" for number in range(60)] + [f"\"é\\{number}'\n" for number in range(60)]
    metadata = [{"class": "cat", "n": number, "share": number / 7, "odd": number % 2 > 0} for number in range(120)]
    assert own.add(x, ids, metadata) == 120
    with MilvusIndex.connect(milvus_server.uri, "own", token=milvus_server.token) as other:
        assert other.model == "maker" and other.space.describe() == own.space.describe() and other.dim == 8
        assert other.ids == ids and torch.equal(other.points(), x) and other.metadata() == metadata
        assert torch.equal(other.points(ids[70:72]), x[70:72]) and ids[61] in other
        hits = other.search(x[5], 3, where={"n": {"min": 5}})
        assert hits.exact and hits.ids[0, 0] == "a/5" and hits.distances[0, 0] == 0
        assert own.remove(ids) == 120 and len(other) == 0


@milvus
def test_more_is_read_where_the_server_answers_too_few(own, monkeypatch, not_stored):
    """With lists of 40 at most nothing can be proven of 60 copies, so all items are read; still the order of insertion."""
    x = some_points(1).expand(60, 8)
    own.add(x, [str(number) for number in range(60)])
    monkeypatch.setattr(own._table, "most", lambda dim: 40)
    hits = own.search(x[:1], 12)
    assert hits.exact and hits.ids.tolist() == [[str(number) for number in range(12)]]
    assert own.search(x[:1], 50).ids.shape == (1, 50)
    own.remove(own.ids)


def matches(item, where):
    for name, asked in where.items():
        if isinstance(asked, dict) and "not" in asked:
            unwanted = asked["not"] if isinstance(asked["not"], list) else [asked["not"]]
            if name in item and item[name] in unwanted:
                return False
        elif name not in item:
            return False
        elif isinstance(asked, dict):
            if not asked.get("min", item[name]) <= item[name] <= asked.get("max", item[name]):
                return False
        elif item[name] not in (asked if isinstance(asked, list) else [asked]):
            return False
    return True


KINDS = {
    "text": names | st.sampled_from(["", "cat", '"', "\\", "%", "_", "\\u0041", "1", "true"]),
    "number": st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-3, 3),
    "boolean": st.booleans(),
}


@milvus
@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_filters_are_those_of_plain_python(own, data):
    kinds = data.draw(st.dictionaries(names, st.sampled_from(sorted(KINDS)), min_size=1, max_size=4))
    values = {name: data.draw(st.lists(KINDS[kind], min_size=1, max_size=4)) for name, kind in kinds.items()}
    item = st.fixed_dictionaries({}, optional={name: st.sampled_from(some) for name, some in values.items()})
    items = data.draw(st.lists(item, min_size=20, max_size=20))
    ids = [str(number) for number in range(20)]
    own._table.write(range(20), ids, some_points(20), items, keys(SPACE, some_points(20)))
    known = kinds_of(items, {})
    # So that searches see what was written.
    own._table.count()
    for _ in range(8):
        where = {}
        for name in data.draw(st.sets(st.sampled_from(sorted(known)), max_size=2)) if known else ():
            value = st.sampled_from(values[name]) | KINDS[known[name]]
            asked = [value, st.lists(value, max_size=3), st.fixed_dictionaries({"not": st.lists(value, max_size=3)})]
            if known[name] == "number":
                asked.append(st.dictionaries(st.sampled_from(["min", "max"]), value, min_size=1))
            where[name] = data.draw(st.one_of(asked))
        expected = [id for id, item in zip(ids, items, strict=True) if matches(item, where)]
        found = search(own._table, SPACE, some_points(1), 20, expression(conditions(where, known))).ids[0]
        assert sorted(found) == sorted(expected), where


@milvus
def test_a_graph_finds_what_it_promises(milvus_collection, milvus_server, monkeypatch, not_stored):
    """Of items that are in it, came since, were replaced and removed; a second connection has it too. Once a tenth of the
    items has come or gone, its recall does not count, until it is measured again."""
    monkeypatch.setattr(milvus_graph, "FEWEST", 100)
    # Which is quicker is a matter of the machine: first the graph, which is asked first, then comparing all.
    times = iter([1.0, 2.0, 2.0, 1.0])
    monkeypatch.setattr(milvus_graph, "milliseconds", lambda search, queries: next(times))
    index = milvus_collection(SPACE, 8, promise=0.9)
    x, ids = some_points(700), [str(number) for number in range(700)]
    index.add(x[:600], ids[:600])
    index.build()
    assert index.recall.bound >= 0.9 and index.recall.sample == 60 and index.recall.items == 600
    index.add(x[600:630], ids[600:630])
    assert index.search(x[620], 1).ids.tolist() == [["620"]]
    index.add(x[5:6] * 0.999, ["4"], duplicates="replace")
    index.remove(["5"])
    with MilvusIndex.connect(milvus_server.uri, index._table.name, token=milvus_server.token) as other:
        assert other.recall == index.recall and other.describe()["search"]["exact"] is False
        hits, exact = other.search(x[:60], 10), other.search(x[:60], 10, weights=SPACE.weights)
        assert not hits.exact and exact.exact and hits.ids[5, 0] == "4" and "5" not in hits.ids
        assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(hits.ids, exact.ids, strict=True)]) > 0.9
        assert (hits.distances[:, 0] >= exact.distances[:, 0]).all()
        assert other.search(x[:2], 21).exact
    measured = index.recall
    index.build()
    assert index.recall is measured
    # With one replaced, one removed and 31 that came, 60 of 600 have changed.
    index.remove(ids[6:32])
    assert index.recall == measured and not index.search(x[:2], 10).exact
    index.remove(ids[32:33])
    assert index.recall is None and index.search(x[:2], 10).exact
    assert "has come or gone" in index.describe()["search"]["sentence"]
    index.build()
    search = index.describe()["search"]
    assert index.recall.effort is None and index.recall.items == 602 == len(index) and index.search(x[:2], 10).exact
    assert search["exact"] and search["recall"] == 1 and len(search["levels"]) == 1 and "was no better" in search["sentence"]
    with MilvusIndex.connect(milvus_server.uri, index._table.name, token=milvus_server.token) as other:
        assert other.recall == index.recall and not index._table.beside("graph").exists()


@milvus
def test_a_killed_server_keeps_what_was_acknowledged(mortal_server):
    """Killed during an upload; started again, everything acknowledged is there, and adding once more completes the rest."""
    uri, token = mortal_server.uri, mortal_server.token
    x, ids = some_points(6000), [f"image {number}" for number in range(6000)]
    with MilvusIndex.create(uri, "killed", SPACE, 8, token=token) as first:
        first.add(x[:1000], ids[:1000], [{"n": number} for number in range(1000)])
    acknowledged = 1000
    killer = threading.Timer(0.5, mortal_server.kill)
    with MilvusIndex.connect(uri, "killed", token=token, timeout=3) as other:
        killer.start()
        with contextlib.suppress(InputError):
            for start in range(1000, 6000, 500):
                other.add(x[start : start + 500], ids[start : start + 500])
                acknowledged = start + 500
        assert acknowledged < 6000
        with pytest.raises(InputError, match="no usable answer within 3 s"):
            other.search(x[:1])
    killer.join()
    mortal_server.session = 120
    mortal_server.start()
    deadline = time.monotonic() + 60
    while True:
        try:
            again = MilvusIndex.connect(uri, "killed", token=token, timeout=10)
            assert set(ids[:acknowledged]) <= set(again.ids)
            break
        except InputError:
            assert time.monotonic() < deadline
    with again:
        again.add(x, ids, duplicates="skip")
        assert len(again) == 6000 and set(again.ids) == set(ids)
        assert torch.equal(again.points(ids), x)
        assert again.metadata(["image 999"]) == [{"n": 999}]
        hits = again.search(x[:3], 1)
        assert hits.exact and np.array_equal(hits.ids[:, 0], ids[:3])
