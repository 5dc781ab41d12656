"""What is known of an item beside its point."""

import pytest

from horosphere.collection import Collection, build
from horosphere.collection.metadata import read_table
from horosphere.config import IndexConfig
from horosphere.errors import InputError


def table(tmp_path, text, known=("a", "b", "c")):
    (tmp_path / "m.csv").write_text(text, encoding="utf-8")
    return read_table(tmp_path / "m.csv", known)


def test_columns_are_what_all_of_their_cells_are(tmp_path):
    text = "\ufeffyear, share,seen,code,name,id\n2001,0.5,true,007,Ä b,b\n,2,FALSE,012,,a\n\n"
    assert table(tmp_path, text) == {
        "b": {"year": 2001, "share": 0.5, "seen": True, "code": "007", "name": "Ä b"},
        "a": {"share": 2.0, "seen": False, "code": "012"},
    }


def test_without_a_column_id_the_first_is_the_ids(tmp_path):
    assert table(tmp_path, "file,size\na,1\nb,1e3\nc,nan\n") == {
        "a": {"size": "1"},
        "b": {"size": "1e3"},
        "c": {"size": "nan"},
    }


@pytest.mark.parametrize("code", ["007", "-01", "1_000", "2e7", "1e3", "inf", "+1", ".5", "5.", "٣", "9" * 30])
def test_a_code_stays_as_it_is_written(tmp_path, code):
    assert table(tmp_path, f"id,code,number\na,{code},-1\nb,1,0\nc,,1") == {
        "a": {"code": code, "number": -1},
        "b": {"code": "1", "number": 0},
        "c": {"number": 1},
    }


def test_classes_are_names_even_where_they_are_numbers(tmp_path):
    assert table(tmp_path, "id,class,superclass,superclass2,classes\na,3,1,true,3\n") == {
        "a": {"class": "3", "superclass": "1", "superclass2": "true", "classes": 3}
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("id\na\n", "a column of ids and one or more"),
        ("id,\na,1\n", "each with a name"),
        ("id,x,x\na,1,2\n", "columns with the same name: x"),
        ("id,x\na,1\nb\n", "lines of another length: 3"),
        ("id,x\na,1\na,2\n", "ids that come twice: a"),
        ("id,x\na,1\nz,2\n", "ids that are no item's: z; expected ids as the index has them, such as 'a'"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        table(tmp_path, text)
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "nowhere.csv", ["a"])


def test_items_that_are_there_get_the_metadata_too(run, photos, tmp_path):
    def index(*lines):
        (tmp_path / "m.csv").write_text("\n".join(["id,class,year", *lines]))
        config = IndexConfig(run.folder, photos, tmp_path / "c", metadata=tmp_path / "m.csv", workers=0, device="cpu")
        return build(config, progress=False)

    index("top.png,fox,2001")
    made = index("top.png,fox,2001", "cat/01.png,,1999")
    assert (made.updated, made.added, made.known) == (1, 0, 13)
    with Collection.open(tmp_path / "c") as collection:
        own = collection.index
        assert own.metadata(["top.png", "cat/01.png"]) == [{"class": "fox", "year": 2001}, {"class": "cat", "year": 1999}]
        hits = own.search(own.points(["cat/01.png"]), k=5, where={"year": {"min": 2000}})
        assert hits.ids.tolist() == [["top.png"]]
        assert collection.thumbnail("cat/01.png")
