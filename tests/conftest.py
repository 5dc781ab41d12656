"""Shared by all tests."""

import importlib.util
import os
import socket
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    # Triton reads it when it is first imported; then its kernels run on the CPU.
    os.environ["TRITON_INTERPRET"] = "1"
# Test workers share the cores; more threads each would only wait for one another.
torch.set_num_threads(1)

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the project."""
    if not SHARED.is_dir():
        pytest.skip(f"no real data at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def new_milvus_server(tmp_path_factory):
    """Makes servers with passwords checked: new_milvus_server(**options), to be started and stopped by `with`."""
    if not (importlib.util.find_spec("milvus") and importlib.util.find_spec("pymilvus")):
        pytest.skip("no Milvus server in this environment; `make test-milvus` makes one that has it")
    if [name for _, name in socket.if_nameindex()] != ["lo"]:
        pytest.skip("Milvus listens on every address of a machine; `make test-milvus` leaves it 127.0.0.1 alone")
    from .milvus_server import Server

    return lambda **options: Server(tmp_path_factory.mktemp("milvus"), **options)


@pytest.fixture(scope="session")
def milvus_server(new_milvus_server):
    """A server that every test shares."""
    with new_milvus_server() as server:
        yield server
