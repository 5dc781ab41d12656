"""A collection whose points are on a server. The server itself is tested in tests/index; here a stand-in takes its place."""

import json
import sys
import types

import pytest

from horosphere.collection import Collection, build, search
from horosphere.config import IndexConfig, SearchConfig
from horosphere.errors import InputError
from horosphere.index import Index, read_token
from horosphere.index.folder import locked

URI = "http://127.0.0.1:19530"


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Keeps each collection in a folder; what it was asked, with the token, in `asked`."""
    asked = []

    class Server:
        @staticmethod
        def create(uri, name, space, dim, *, model="", promise=0.99, token=""):
            asked.append(("create", uri, name, dim, token))
            if (tmp_path / "server" / name).exists():
                raise InputError(f"Milvus at {uri} has a collection {name!r} already")
            return Index.create(tmp_path / "server" / name, space, model=model, promise=promise)

        @staticmethod
        def connect(uri, name, *, token=""):
            asked.append(("connect", uri, name, token))
            return Index.load(tmp_path / "server" / name)

    module = types.ModuleType("horosphere.index.milvus")
    module.MilvusIndex = Server
    monkeypatch.setitem(sys.modules, "horosphere.index.milvus", module)
    monkeypatch.delenv("HOROSPHERE_MILVUS_TOKEN", raising=False)
    return asked


def index(run, photos, folder, **options):
    chosen = {"engine": "milvus", "uri": URI, "workers": 0, "device": "cpu"} | options
    return build(IndexConfig(run.folder, photos, folder, **chosen), progress=False)


def test_the_points_are_there_and_the_rest_is_here(run, photos, tmp_path, server):
    folder = tmp_path / "my photos"
    (tmp_path / "token").write_text("root:secret\n")
    made = index(run, photos, folder, token_file=tmp_path / "token")
    assert made.items == 13 and server == [("create", URI, "my_photos", 16, "root:secret")]
    assert json.loads((folder / "engine.json").read_text()) == {"engine": "milvus", "uri": URI, "name": "my_photos"}
    assert not (folder / "items.sqlite").exists()
    assert not any(b"secret" in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    (photos / "cat" / "01.png").unlink()
    # With the engine told again, or as the folder says.
    assert index(run, photos, folder, prune=True).pruned == 1
    assert index(run, photos, folder, engine="embedded", uri=None).known == 12
    assert [call[0] for call in server[1:]] == ["connect", "connect"]
    with Collection.open(folder, token="root:secret") as collection:
        assert server[-1] == ("connect", URI, "my_photos", "root:secret") and len(collection) == 12
        (answer,) = search(collection, SearchConfig(folder, ("cat/03.png",), k=3))
        assert len(answer.neighbours["mixture"]) == 3 and collection.thumbnail("cat/03.png")


def test_two_engines_are_not_mixed_up(run, photos, tmp_path, server):
    index(run, photos, tmp_path / "a", engine="embedded", uri=None)
    with pytest.raises(InputError, match=r"points of .* are in it"):
        index(run, photos, tmp_path / "a")
    index(run, photos, tmp_path / "b")
    for other in ({"uri": "http://127.0.0.1:2"}, {"collection": "other"}):
        with pytest.raises(InputError, match=r"are at http://127\.0\.0\.1:19530 as 'b'"):
            index(run, photos, tmp_path / "b", **other)


def test_a_name_that_is_taken_is_refused_and_another_will_do(run, photos, tmp_path, server):
    index(run, photos, tmp_path / "one" / "c")
    with pytest.raises(InputError, match="already"):
        index(run, photos, tmp_path / "two" / "c")
    assert not (tmp_path / "two" / "c" / "engine.json").exists()
    assert index(run, photos, tmp_path / "two" / "c", collection="d").items == 13


def test_a_kill_before_the_server_had_it(run, photos, tmp_path, server, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Index, "create", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            index(run, photos, tmp_path / "c")
    assert (tmp_path / "c" / "engine.json").exists()
    assert index(run, photos, tmp_path / "c").items == 13


def test_one_command_at_a_time_adds(run, photos, tmp_path, server):
    index(run, photos, tmp_path / "c")
    other = locked(tmp_path / "c")
    asked = len(server)
    with pytest.raises(InputError, match="another process is writing"):
        index(run, photos, tmp_path / "c")
    assert len(server) == asked
    other.release()
    assert index(run, photos, tmp_path / "c").known == 13


def test_tokens(tmp_path, monkeypatch):
    monkeypatch.setenv("HOROSPHERE_MILVUS_TOKEN", "from the environment")
    assert read_token(None) == "from the environment"
    with pytest.raises(InputError, match="cannot be read"):
        read_token(tmp_path / "nowhere")


def test_damage_is_told(run, photos, tmp_path, server):
    index(run, photos, tmp_path / "c")
    (tmp_path / "c" / "engine.json").write_text('{"engine": "milvus"}')
    with pytest.raises(InputError, match=r"engine\.json is damaged"):
        Collection.open(tmp_path / "c")


def test_options_that_a_collection_was_not_made_with(run, photos, tmp_path):
    embedded = {"engine": "embedded", "uri": None}
    index(run, photos, tmp_path / "c", promise=0.9, storage="int8", **embedded)
    assert index(run, photos, tmp_path / "c", **embedded).known == 13
    for option in ({"promise": 0.99}, {"storage": "float32"}):
        with pytest.raises(InputError, match="was made with"):
            index(run, photos, tmp_path / "c", **option, **embedded)
