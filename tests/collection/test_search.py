"""`horosphere index` and `horosphere search` as a person would use them."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horosphere.cli import main
from horosphere.collection import Collection
from horosphere.collection.search import read_where
from horosphere.errors import InputError
from horosphere.index import Field, Index

from .conftest import paint_photos


def call(capsys, *arguments):
    """Exit status, standard output and standard error of a command."""
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        status = stop.code
    out = capsys.readouterr()
    return status, out.out, out.err


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = paint_photos(tmp_path_factory.mktemp("search") / "photos")
    (folder / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    return folder


def index_photos(run, photos):
    """Into a folder beside them, with metadata."""
    table, folder = photos.parent / "m.csv", photos.parent / "c"
    table.write_text("id,year,seen\n" + "".join(f"cat/{i:02}.png,{2000 + i},true\n" for i in range(1, 12, 2)))
    return ["index", run.folder, photos, "-o", folder, "--metadata", table, "--workers", "0", "--device", "cpu"], folder


@pytest.fixture(scope="module")
def folder(run, photos):
    arguments, folder = index_photos(run, photos)
    assert main([str(argument) for argument in arguments]) == 0
    return folder


def test_indexing_tells_what_it_did(capsys, run, tmp_path):
    photos = paint_photos(tmp_path / "photos")
    (photos / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    arguments, folder = index_photos(run, photos)
    status, out, error = call(capsys, *arguments)
    assert status == 0 and "13 images embedded and added at" in out and "1 skipped" in out and "skipped cut.jpg: " in error
    assert f"horosphere serve {folder}" in out and "All items are compared" in out
    status, out, _ = call(capsys, *arguments)
    assert status == 0 and "0 images embedded and added, 1 skipped, 13 were there already" in out


def rows(out):
    """The lines of a table below its header."""
    lines = out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("---"))
    return [line.split() for line in lines[start + 1 :] if line[:1].isdigit()]


def test_an_image_and_an_item(capsys, folder, photos, tmp_path):
    file = tmp_path / "q.json"
    status, out, _ = call(capsys, "search", folder, photos / "cat" / "03.png", "-k", "3", "--json", file)
    assert status == 0 and rows(out)[0][2:4] == ["cat/03.png", "cat"] and len(rows(out)) == 3 and "radius " in out
    (answer,) = json.loads(file.read_text())["answers"]
    found = answer["geometries"]["mixture"]
    assert answer["query"].endswith("03.png") and found[0]["metadata"] == {"class": "cat", "year": 2003, "seen": True}
    status, out, _ = call(capsys, "search", folder, "cat/03.png", "--id", "top.png", "-k", "99", "--json", file)
    item, other = json.loads(file.read_text())["answers"]
    with Collection.open(folder) as collection:
        points = collection.index.points().double()
        ids = np.array(collection.index.ids)
        for answer, own in ((item, "cat/03.png"), (other, "top.png")):
            apart = collection.space.distance(points[ids == own], points).numpy()
            expected = [id for id in ids[np.argsort(apart, kind="stable")] if id != own]
            assert [each["id"] for each in answer["geometries"]["mixture"]] == expected


def test_geometries_side_by_side_and_other_weights(capsys, folder, tmp_path):
    status, out, _ = call(capsys, "search", folder, "cat/03.png", "--geometries", "-k", "4")
    assert status == 0 and out.splitlines()[1].split() == ["rank", "mixture", "sphere", "hyperbolic"]
    ids = [[cell for cell in row if cell.endswith(".png")] for row in rows(out)]
    for column, weights in ((1, ("1", "0")), (2, ("0", "1"))):
        status, own, _ = call(capsys, "search", folder, "cat/03.png", "-k", "4", "--weights", *weights)
        assert [row[2] for row in rows(own)] == [row[column] for row in ids]
    assert call(capsys, "search", folder, "cat/03.png", "--weights", "1")[0] == 2


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (["class", "dog"], {"dog"}),
        (["class", "dog", "class", "cat"], {"dog", "cat"}),
        (["class", "!dog"], {"cat", ""}),
        (["year", "2003..2005"], {"03", "05"}),
        (["year", "..2003"], {"01", "03"}),
        (["year", "2009..", "class", "cat"], {"09", "11"}),
        (["year", "2005"], {"05"}),
        (["seen", "true"], {"cat"}),
    ],
)
def test_filters(capsys, folder, tmp_path, where, expected):
    file = tmp_path / "q.json"
    assert call(capsys, "search", folder, "top.png", "-k", "99", "--json", file, "--where", *where)[0] == 0
    (answer,) = json.loads(file.read_text())["answers"]
    found = {each["id"] for each in answer["geometries"]["mixture"]}
    folders = {id.rpartition("/")[0] for id in found}
    assert {id[-6:-4] for id in found} == expected if "year" in where else folders == expected - {""}


def test_what_a_collection_is(capsys, folder, features_run, tmp_path):
    status, out, _ = call(capsys, "search", folder, "--about")
    assert status == 0 and "items    " in out and "sphere, hyperbolic, weighed 1, 1" in out and "class (2 values)" in out
    assert "year (number)" in out and "Whether a radius means sure is not known here" in out
    assert call(capsys, "index", features_run.folder, "--workers", "0")[0] == 0
    status, out, _ = call(capsys, "search", features_run.folder / "index", "item20", "--about")
    assert status == 0 and "ids of items" in out and "kind" in out and "item20" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give something to search for"),
        (["nobody.png"], "no item of"),
        (["{photos}/cut.jpg"], "cut.jpg cannot be read"),
        (["top.png", "--where", "class"], "expected pairs of FIELD VALUE"),
        (["top.png", "--where", "clas", "cat"], "did you mean 'class'"),
        (["top.png", "--where", "year", "old"], "expected a number"),
        (["top.png", "--where", "seen", "old"], "expected true or false"),
        (["top.png", "--where", "class", "cat", "class", "!dog"], "expected values, or !values"),
        (["top.png", "-k", "0"], "search.k is 0"),
        (["top.png", "--geometries", "--weights", "1", "2"], "leave --weights out"),
    ],
)
def test_mistakes_are_told(capsys, folder, photos, arguments, words):
    status, _, error = call(capsys, "search", folder, *(str(each).format(photos=photos) for each in arguments))
    assert status == 2 and words in " ".join(error.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{photos}", "--uri", "http://127.0.0.1:1"], "--uri would do nothing here"),
        (["{photos}", "--engine", "milvus"], "needs a server"),
        (["{photos}", "--split", "test"], "--split would do nothing here"),
        (["--prune"], "--prune would do nothing here"),
        (["{photos}", "--promise", "1.5"], "index.promise is 1.5"),
        (["{photos}/nowhere"], "nowhere does not exist"),
        (["{photos}", "--metadata", "nowhere.csv"], "nowhere.csv cannot be read"),
    ],
)
def test_mistakes_leave_no_folder(capsys, run, photos, tmp_path, arguments, words):
    given = [each.format(photos=photos) for each in arguments]
    status, _, error = call(capsys, "index", run.folder, *given, "-o", tmp_path / "c")
    assert status == 2 and words in " ".join(error.split()) and not (tmp_path / "c").exists()


@given(st.lists(st.sampled_from(["a", "!a", "b..c", "..", "!", "1"]), min_size=1, max_size=3))
def test_text_is_taken_as_it_is(values):
    fields = {"name": Field("text", [], 1)}
    pairs = [part for value in values for part in ("name", value)]
    negated = [value.startswith("!") for value in values]
    if any(negated) and not all(negated):
        with pytest.raises(InputError):
            read_where(pairs, fields)
    else:
        expected = {"not": [value[1:] for value in values]} if all(negated) else values
        assert read_where(pairs, fields) == {"name": expected}


def test_ids_of_any_kind(capsys, folder, tmp_path):
    copy = tmp_path / "c"
    shutil.copytree(folder, copy)
    long, odd = "a" * 9000, "\x1b[31mred\u202e"
    with Index.load(copy) as index:
        point = index.points(["top.png"])
        index.add(point, [odd], [{"class": "fo\nx"}])
    status, out, error = call(capsys, "search", copy, long)
    assert status == 2 and "is no item" in error
    for arguments in ([odd], ["top.png", "-k", "1"], [odd, "--geometries"]):
        status, out, _ = call(capsys, "search", copy, *arguments)
        assert status == 0 and "\\x1b[31mred\\u202e" in out and not {"\x1b", "\u202e"} & set(out)
    status, _, _ = call(capsys, "search", copy, "top.png", "-k", "1", "--json", tmp_path / "a.json")
    (answer,) = json.loads((tmp_path / "a.json").read_text())["answers"]
    assert answer["geometries"]["mixture"][0]["id"] == odd
