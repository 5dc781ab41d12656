import pytest

from horosphere.files import from_root, replacing, write_text


def test_an_error_leaves_the_old_file_and_no_trace(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old")

    def fail_half_way():
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_folders_are_made(tmp_path):
    write_text(tmp_path / "b" / "c.txt", "x")
    assert (tmp_path / "b" / "c.txt").read_text() == "x"


def test_a_path_from_the_root_knows_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert from_root("~/a") == from_root("a") == str(tmp_path.resolve() / "a") and from_root(None) is None
