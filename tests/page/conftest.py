"""A collection of digits under an untrained mixture, its page in this process, and its page on a port."""

import contextlib
import json
import threading
import time

import httpx
import numpy as np
import pytest
import torch
import uvicorn
from starlette.testclient import TestClient

from horosphere import build as objects
from horosphere.collection import Collection, build
from horosphere.config import Config, DataConfig, IndexConfig, ModelConfig, PartConfig, SpaceConfig
from horosphere.data import save_arrays
from horosphere.page import Page
from horosphere.page.safety import LOOPBACK
from horosphere.runs import Run

from ..training import tiny


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """The folder of the collection."""
    folder = tmp_path_factory.mktemp("digits")
    run, config = Run(folder / "run"), tiny.config()
    run.begin(config)
    torch.manual_seed(0)
    objects.embedder(config, objects.data(config.data)).save(run.model_path)
    build(IndexConfig(run.folder, output=folder / "digits", workers=0), progress=False)
    return folder / "digits"


@pytest.fixture(scope="session")
def collection(digits):
    with Collection.open(digits) as opened:
        yield opened


@pytest.fixture(scope="session")
def features(tmp_path_factory):
    """An open collection of cached features, in a mixture whose points have no bound."""
    folder, rng = tmp_path_factory.mktemp("features"), np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 5)
    save_arrays(
        folder / "f.npz",
        features=rng.normal(size=(30, 12)).astype(np.float32) + labels[:, None],
        labels=labels,
        classes=[f"kind{i}" for i in range(6)],
        split=np.where(labels < 3, "train", "test"),
        ids=[f"item{i}" for i in range(30)],
    )
    space = SpaceConfig((PartConfig("euclidean"), PartConfig("hyperbolic", clip=None)))
    config = Config(data=DataConfig("features", str(folder / "f.npz")), model=ModelConfig(None, dim=8), space=space)
    run = Run(folder / "run")
    run.begin(config)
    objects.embedder(config, objects.data(config.data)).save(run.model_path)
    build(IndexConfig(run.folder, output=folder / "index", workers=0), progress=False)
    with Collection.open(folder / "index") as opened:
        yield opened


@contextlib.contextmanager
def asking(page: Page):
    """A client of a page in this process, which gets a fault of the server as an answer."""
    with TestClient(page, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def client(collection):
    with asking(Page(collection, hosts=LOOPBACK)) as client:
        yield client


@contextlib.contextmanager
def serving(page, port=0, http="h11"):
    """The address of an application on a port of loopback, a free one by default, until the block ends."""
    server = uvicorn.Server(
        uvicorn.Config(page, port=port, log_level="error", ws="none", http=http, timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def server(collection):
    """The address of the page of `collection`, whose disk is laid out."""
    with serving(Page(collection, hosts=LOOPBACK)) as address:
        assert json.loads(httpx.get(f"{address}/api/disk", timeout=120).text.splitlines()[-1])["ready"]
        yield address
