"""A Milvus server for the tests that need one."""

import importlib.util
import socket

import pytest


@pytest.fixture(scope="session")
def milvus_server(tmp_path_factory):
    """A server that every test shares, with passwords checked."""
    if not (importlib.util.find_spec("milvus") and importlib.util.find_spec("pymilvus")):
        pytest.skip("no Milvus server in this environment; `make test-milvus` makes one that has it")
    if [name for _, name in socket.if_nameindex()] != ["lo"]:
        pytest.skip("Milvus listens on every address of a machine; `make test-milvus` leaves it 127.0.0.1 alone")
    from .milvus_server import Server

    with Server(tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture
def milvus_collection(milvus_server):
    """Makes an index on the server: milvus_collection(space, dim, **options); they are dropped at the end."""
    from horosphere.index.milvus import MilvusIndex

    made = []

    def new(space, dim, **options):
        name = f"test_{len(made)}"
        index = MilvusIndex.create(milvus_server.uri, name, space, dim, token=milvus_server.token, **options)
        made.append(name)
        return index

    yield new
    for name in made:
        MilvusIndex.connect(milvus_server.uri, name, token=milvus_server.token).drop()
