"""A collection whose points are on a real Milvus server, by the commands; see test_engine.py for all that needs none."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from horosphere.cli import main
from horosphere.collection import Collection
from horosphere.collection.thumbnails import Thumbnails
from horosphere.errors import InputError
from horosphere.index.milvus import MilvusIndex

TOKEN = "HOROSPHERE_MILVUS_TOKEN"


def acknowledged(server, name) -> list[str]:
    """The ids on the server."""
    try:
        with MilvusIndex.connect(server.uri, name, token=server.token) as index:
            return index.ids
    except InputError:  # it is not there yet
        return []


def answers(capsys, folder, *options) -> str:
    """What `horosphere search` prints of an item's neighbours."""
    capsys.readouterr()
    assert main(["search", str(folder), "item20", "-k", "4", "--device", "cpu", *options]) == 0
    return capsys.readouterr().out


@pytest.mark.milvus
def test_a_killed_client_goes_on_where_it_was(features_run, milvus_server, tmp_path, monkeypatch, capsys):
    """Killed while it uploads, the same command adds the rest; searches are those of an index in a folder."""
    monkeypatch.setenv(TOKEN, milvus_server.token)
    folder, own = tmp_path / "on server", tmp_path / "own"
    options = ["--workers", "0", "--device", "cpu"]
    command = ["index", str(features_run.folder), "-o", str(folder), *options]
    command += ["--engine", "milvus", "--uri", milvus_server.uri]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "horosphere", *command, "--batch-size", "3"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    deadline = time.monotonic() + 120
    # A second batch is on its way once the first is kept, thumbnails and all.
    while len(kept := acknowledged(milvus_server, "on_server")) < 4:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    there = acknowledged(milvus_server, "on_server")
    known = len(Thumbnails(folder).sources())
    assert set(kept) <= set(there) and 3 <= known <= len(there) < 15
    assert main(command) == 0
    assert f"{known} were there already" in capsys.readouterr().out
    assert main(["index", str(features_run.folder), "-o", str(own), *options]) == 0
    with (
        Collection.open(folder, device="cpu", token=milvus_server.token) as one,
        Collection.open(own, device="cpu") as other,
    ):
        assert one.index.ids == other.index.ids and len(one) == 15
        assert torch.equal(one.index.points(), other.index.points()) and one.index.metadata() == other.index.metadata()
    where = ["--where", "class", "!kind4"]
    assert answers(capsys, folder, *where) == answers(capsys, own, *where)
    MilvusIndex.connect(milvus_server.uri, "on_server", token=milvus_server.token).drop()
