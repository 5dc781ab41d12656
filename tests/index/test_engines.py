"""What every engine promises, for each engine alike."""

import math
import re
import tempfile
import warnings
from collections import Counter
from contextlib import ExitStack
from itertools import count

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from horosphere.errors import InputError
from horosphere.evaluation.truth import Truth
from horosphere.index import Index
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

SPACES = [
    Sphere(),
    Euclidean(),
    Hyperbolic(),
    Mixed([Sphere(), Hyperbolic(1.0)], [1.0, 3.0]),
    Mixed([Sphere(), Sphere()], [0.3, 1.0]),
    Mixed([Hyperbolic(0.1), Hyperbolic(1.0), Euclidean()], [1.0, 0.0, 0.5], slices=[(0, 2), (2, 5), (0, 5)]),
]


#: What a server's own work decides; the rest is settled before any engine is asked, and a server's collection takes seconds.
ON_SERVER = {
    "test_searches_are_the_order_of_float64",
    "test_the_interface",
    "test_weights_are_those_of_the_mixture_so_weighted",
    "test_any_text_is_an_id",
    "test_an_item_alone_none_left_and_begun_again",
}


@pytest.fixture(params=["memory", "folder", pytest.param("milvus", marks=pytest.mark.milvus)])
def engine(request, tmp_path):
    """Makes an index of an engine: engine(space, **options), of five features. Who asks for it closes it."""
    if request.param == "milvus":
        params = request.node.callspec.params
        # Spheres and flat spaces are parts of the mixtures.
        settled = params.get("dtype", torch.float32) != torch.float32 or params.get("space") in (*SPACES[:2], SPACES[4])
        if request.node.originalname not in ON_SERVER or settled:
            pytest.skip("settled before the server is asked")
        from horosphere.index.milvus_table import Table

        # What is on the server's disk has tests of its own, and waiting for it takes seconds each time.
        request.getfixturevalue("monkeypatch").setattr(Table, "flush", lambda table: None)
        collection = request.getfixturevalue("milvus_collection")
        return lambda space, **options: collection(space, space.dim(5), **options)
    if request.param == "memory":
        return Index
    numbers = count()
    return lambda space, **options: Index.create(tmp_path / str(next(numbers)), space, **options)


@pytest.fixture
def make(engine):
    """Makes indexes that are closed after the test."""
    with ExitStack() as made:
        yield lambda *given, **options: made.enter_context(engine(*given, **options))


def points_of(space, n=200, dtype=torch.float32):
    """With copies, and points that float32 products cannot tell apart."""
    features = torch.randn(n, 5, generator=torch.Generator().manual_seed(0))
    features[10:20] = features[10]
    features[50:60] = features[50] + 1e-6 * features[60:70]
    features[70] = 0
    return space(features).to(dtype)


def names(n, start=0):
    return [f"item {number}" for number in range(start, start + n)]


def reference(space, points, queries, k):
    """Places and distances of the k nearest of each query, by float64 alone."""
    n, b = len(points), len(queries)
    truth = Truth(space, torch.cat([points.float().to(queries.dtype), queries]))
    pairs = torch.cartesian_prod(torch.arange(n, n + b), torch.arange(n))
    distances = truth.distance(*pairs.unbind(1)).view(b, n).numpy()
    order = np.array([np.lexsort((np.arange(n), row))[:k] for row in distances]).reshape(b, min(k, n))
    return order, np.take_along_axis(distances, order, 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_searches_are_the_order_of_float64(make, space, dtype):
    x, index = points_of(space, dtype=dtype), make(space)
    assert index.add(x, names(200)) == 200
    order, distances = reference(space, x, x.float() if dtype == torch.float16 else x, 12)
    hits = index.search(x, 12)
    assert hits.exact and hits.distances.dtype == np.float64
    assert (hits.ids == np.array(names(200), object)[order]).all()
    assert (hits.distances == distances).all()


def test_the_interface(make):
    space = Hyperbolic()
    x, index = points_of(space), make(space, model="fingerprint", promise=0.95)
    assert len(index) == 0 and index.search(x[:3]).ids.shape == (3, 0)
    metadata = [{"class": "cat" if number % 3 else "dog", "year": number} for number in range(200)]
    assert index.add(x[:150], names(150), metadata[:150]) == 150
    assert index.add(x[150:], names(50, 150), metadata[150:]) == 50
    assert len(index) == 200 and index.ids == names(200) and "item 3" in index and "item 200" not in index
    assert torch.equal(index.points(), x) and torch.equal(index.points(["item 7", "item 2"]), x[[7, 2]])
    assert index.metadata(["item 7", "item 2"]) == [metadata[7], metadata[2]]
    assert index.fields()["class"].values == [("cat", 133), ("dog", 67)] and index.fields()["year"].high == 199
    assert index.search(x[0], 1000).ids.shape == (1, 200)
    assert index.remove(["item 5", "item 1"]) == 2 and "item 5" not in index and len(index) == 198
    assert index.add(x[:3], ["item 0", "new", "item 9"], duplicates="skip") == 1
    assert index.add(x[:2], ["item 0", "newer"], duplicates="replace") == 2
    assert index.ids[-3:] == ["new", "item 0", "newer"]
    with pytest.raises(InputError, match="in the index already"):
        index.add(x[:1], ["new"])


def test_weights_are_those_of_the_mixture_so_weighted(make):
    space = Mixed([Sphere(), Hyperbolic(1.0)], [1.0, 3.0])
    x, index = points_of(space), make(space)
    index.add(x, names(200))
    for weights in [(1, 0), (0, 1), (0.2, 5)]:
        order, distances = reference(Mixed([Sphere(), Hyperbolic(1.0)], weights), x, x[:40], 9)
        hits = index.search(x[:40], 9, weights=weights)
        assert (hits.ids == np.array(names(200), object)[order]).all() and (hits.distances == distances).all()


#: Names and words that mean something to SQL, JSON and Milvus, and ones that look alike.
WORDS = [
    "cat",
    "dog",
    "",
    "x' OR 1=1 --",
    '"',
    "a.b[0]",
    "$",
    "a\\b",
    "%",
    "_",
    "\n",
    "日本",
    "é",
    "e\u0301",
    "\x00",
    "NULL",
    "1",
    "true",
]
VALUES = {
    "text": st.sampled_from(WORDS) | st.text(st.characters(codec="utf-8"), max_size=5),
    "number": st.integers(-3, 3)
    | st.sampled_from([0.5, -0.0, 1e300, -1e300, 5e-324, 2**53 + 1, 2**63 - 1, -(2**63) + 1, 2.0**53]),
    "boolean": st.booleans(),
}
NAMES = st.sampled_from([word for word in WORDS if word]) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=4)


def matches(item, where):
    """A filter in plain Python."""
    for name, asked in where.items():
        value = item.get(name)
        if isinstance(asked, dict) and "not" not in asked:
            if value is None or not asked.get("min", -math.inf) <= value <= asked.get("max", math.inf):
                return False
            continue
        negated = isinstance(asked, dict)
        wanted = asked["not"] if negated else asked
        if (value in (wanted if isinstance(wanted, list) else [wanted])) == negated:
            return False
    return True


@st.composite
def filtered(draw):
    """Items' metadata, of one kind a field, and a filter."""
    kinds = draw(st.dictionaries(NAMES, st.sampled_from(list(VALUES)), min_size=1, max_size=3))
    metadata = draw(
        st.lists(
            st.fixed_dictionaries({}, optional={name: VALUES[kind] for name, kind in kinds.items()}), min_size=1, max_size=12
        )
    )
    where = {}
    for name in {name for item in metadata for name in item}:
        value = VALUES[kinds[name]]
        plain = value | st.lists(value, max_size=3)
        asked = plain | plain.map(lambda some: {"not": some})
        if kinds[name] == "number":
            asked |= st.dictionaries(st.sampled_from(["min", "max"]), value, min_size=1)
        if draw(st.booleans()):
            where[name] = draw(asked)
    return metadata, where


@settings(max_examples=60, deadline=None)
@given(filtered())
def test_a_filter_is_what_it_is_in_plain_python(given_filter):
    with Index(Sphere()) as index:
        agrees_with_plain_python(index, *given_filter)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(filtered())
def test_a_filter_of_a_folder_is_too(tmp_path, given_filter):
    with Index.create(tempfile.mkdtemp(dir=tmp_path), Sphere()) as index:
        agrees_with_plain_python(index, *given_filter)


def agrees_with_plain_python(index, metadata, where):
    x = points_of(Sphere())[: len(metadata)]
    index.add(x, names(len(metadata)), metadata)
    expected = {name for name, item in zip(names(len(metadata)), metadata, strict=True) if matches(item, where)}
    hits = index.search(points_of(Sphere())[:2], 20, where=where)
    assert set(hits.ids[0]) == set(hits.ids[1]) == expected and hits.ids.shape == (2, len(expected))
    assert index.metadata() == metadata
    assert [[type(value) for value in item.values()] for item in index.metadata()] == [
        [type(value) for value in item.values()] for item in metadata
    ]
    # Once more without some, so that what is kept beside the items goes with them.
    index.remove(names(len(metadata))[::2])
    gone = set(names(len(metadata))[::2])
    assert set(index.search(x[0], 20, where=where).ids[0]) == expected - gone
    counts = Counter(name for item in metadata[1::2] for name in item)
    fields = index.fields()
    assert {name: sum(count for _, count in field.values) for name, field in fields.items()} == counts


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"clas": "cat"}, "no item has the field 'clas'; did you mean 'class'"),
        ({"zzz": 1}, "Fields: 'class', 'seen', 'year'"),
        ({"class": 3}, "'class' holds a text; given: 3"),
        ({"class": ["cat", None]}, "'class' holds a text; given: None"),
        ({"class": {"min": "a"}}, "has no range"),
        ({"class": {"is": "cat"}}, "expected a value, a list of values"),
        ({"class": {}}, "expected a value, a list of values"),
        ({"class": {"not": "cat", "min": 3}}, "expected a value, a list of values"),
        ({"year": "2000"}, "'year' holds a number; given: '2000'"),
        ({"year": True}, "'year' holds a number; given: True"),
        ({"year": {"min": "2000"}}, "expected finite numbers"),
        ({"year": {"max": float("nan")}}, "expected finite numbers"),
        ({"year": 2**70}, "'year' holds a number"),
        ({"seen": 1}, "'seen' holds a boolean; given: 1"),
        ({"class": ["cat"] * 10_001}, "10001 values"),
        ("class = cat", "expected a dictionary"),
    ],
)
def test_filters_that_mean_nothing_are_refused(make, where, message):
    index, x = make(Sphere()), points_of(Sphere())
    index.add(x[:2], ["a", "b"], [{"class": "cat", "year": 2000, "seen": True}, {}])
    with pytest.raises(InputError, match=re.escape(message)):
        index.search(x[0], 1, where=where)


IDS = [
    "a",
    "A",
    " a",
    "a ",
    "é",
    "e\u0301",
    "\n",
    "\x00",
    "\x00b",
    "'; DROP TABLE items; --",
    '"',
    "%",
    "日本",
    "🙂",
    "x" * 10_000,
]


def test_any_text_is_an_id(make):
    index, x = make(Sphere()), points_of(Sphere())[20:]
    index.add(x[: len(IDS)], IDS)
    assert index.ids == IDS and all(id in index for id in IDS)
    assert torch.equal(index.points(IDS[::-1]), x[: len(IDS)].flip(0))
    assert [index.search(point, 1).ids[0, 0] for point in x[: len(IDS)]] == IDS
    index.remove(IDS[3:7])
    assert index.ids == IDS[:3] + IDS[7:] and not any(id in index for id in IDS[3:7])
    assert 3 not in index and None not in index


@pytest.mark.parametrize("id", ["", "x" * 10_001, "\ud800", 3, None, b"a"])
def test_what_is_no_id_is_refused(make, id):
    index, x = make(Sphere()), points_of(Sphere())
    with pytest.raises(InputError, match="cannot be an id"):
        index.add(x[:1], [id])
    assert len(index) == 0


def test_bad_input_is_refused_and_changes_nothing(make):
    space = Hyperbolic()
    index, x = make(space), points_of(space)
    index.add(x[:3], ["a", "b", "c"], [{"year": 3}] * 3)
    for add, message in [
        (lambda: index.add(x[:2], ["d", "d"]), "'d' is given 2 times"),
        (lambda: index.add(x[:2], ["d"]), "2 points, 1 ids"),
        (lambda: index.add(x[:1], "d"), "expected a list of strings"),
        (lambda: index.add(x[:1], ["d"], [{"year": "3"}]), "a field holds values of one kind"),
        (lambda: index.add(x[:1], ["d"], [{"size": [3]}]), "expected text, a finite number"),
        (lambda: index.add(x[:1], ["d"], [{"size": float("inf")}]), "expected text, a finite number"),
        (lambda: index.add(x[:1], ["d"], [{"size": 2**64}]), "within 64 bits"),
        (lambda: index.add(x[:1], ["d"], [{"": 3}]), "expected text that is not empty"),
        (lambda: index.add(x[:1], ["d"], ["x"]), "expected a dictionary"),
        (lambda: index.add(x[:2], ["d", "a"]), "1 of 2 ids are in the index already, such as 'a'"),
        (lambda: index.add(x[:1], ["d"], duplicates="merge"), "expected 'refuse'"),
        (lambda: index.add(9 * torch.ones(1, 5), ["d"]), "these look like features"),
        (lambda: index.add(torch.full((1, 5), torch.nan), ["d"]), "NaN"),
        (lambda: index.add(x[:1, :4], ["d"]), "4 columns; expected 5"),
        (lambda: index.add(torch.ones(1, 5).long(), ["d"]), "floating-point"),
        (lambda: index.remove(["a", "z"]), "1 of 2 ids are not in the index, such as 'z'"),
        (lambda: index.remove(["a", "a"]), "given 2 times"),
        (lambda: index.points(["z"]), "not in the index"),
        (lambda: index.metadata(["z"]), "not in the index"),
        (lambda: index.search("abc"), "queries are no matrix of numbers"),
        (lambda: index.add([[1.0], [2.0, 3.0]], ["d", "e"]), "points are no matrix of numbers"),
        (lambda: index.search(x[0], 0), "at least 1"),
        (lambda: index.search(x[0], 2.5), "at least 1"),
        (lambda: index.search(x[0, :4]), "4 columns; expected 5"),
        (lambda: index.search(x[0] * torch.inf), "NaN or infinity"),
        (lambda: index.search(x[0], weights=(1,)), "single part"),
    ]:
        with pytest.raises(InputError, match=re.escape(message)):
            add()
    assert index.ids == ["a", "b", "c"] and len(index) == 3 and list(index.fields()) == ["year"]
    with pytest.raises(InputError, match="expected the recall to keep"):
        make(space, promise=0)
    with pytest.raises(InputError, match="needs a space of this package"):
        make(torch.nn.Linear(2, 2))


def test_an_array_that_is_only_read_is_taken_in_silence(recwarn, monkeypatch):
    x = points_of(Hyperbolic()).numpy()
    with monkeypatch.context() as patch, Index(Hyperbolic()) as index:
        # Others need nothing silenced, which threads that search at once would do to each other.
        patch.setattr(warnings, "catch_warnings", None)
        index.add(x, names(200))
        index.search(x[:3])
    x.flags.writeable = False
    torch.set_warn_always(True)  # else torch says it once in a process
    try:
        with Index(Hyperbolic()) as index:
            index.add(x, names(200))
            index.search(x[:3])
    finally:
        torch.set_warn_always(False)
    assert not recwarn.list


@pytest.mark.parametrize("weights", [(1,), (0, 0), (-1, 1), ("a", 1), (float("nan"), 1), 3])
def test_weights_that_fit_no_mixture_are_refused(make, weights):
    space = Mixed([Sphere(), Hyperbolic()], [1.0, 3.0])
    index, x = make(space), points_of(space)
    index.add(x[:3], ["a", "b", "c"])
    with pytest.raises(InputError, match="weights"):
        index.search(x[0], weights=weights)


def test_an_item_alone_none_left_and_begun_again(make):
    index, x = make(Sphere()), points_of(Sphere())
    assert index.add(x[:0], []) == 0 and index.remove([]) == 0 and len(index) == 0
    index.add(x[:1], ["a"])
    hits = index.search(x[:2], 10)
    assert hits.ids.tolist() == [["a"], ["a"]] and hits.distances[0, 0] == 0
    assert index.search(x[:0], 10).ids.shape == (0, 1)
    index.remove(["a"])
    assert index.search(x[:2], 10).ids.shape == (2, 0) and index.fields() == {} and index.points().shape == (0, 5)
    index.add(x[1:3], ["a", "b"])
    assert index.search(x[1], 1).ids.tolist() == [["a"]]
