"""The disk's layout, made once for everyone who asks."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from horosphere.errors import InputError
from horosphere.page import Page, disk
from horosphere.page.safety import LOOPBACK

from .conftest import asking, serving


def lines(answer):
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def test_before_it_is_asked_for_there_is_none(collection):
    with asking(Page(collection, hosts=LOOPBACK)) as client:
        for path in ("/api/disk/points", "/api/disk/items"):
            answer = client.get(path)
            assert answer.status_code == 503 and "GET /api/disk makes it" in answer.json()["error"]
            assert answer.headers["retry-after"]
        assert client.get("/api/items", params={"id": collection.index.ids[0]}).json()["disk"] is None


def test_items_places_and_queries_agree(client, collection):
    last = lines(client.get("/api/disk"))[-1]
    assert last["ready"] is True and last["items"] == len(collection) and last["part"] == "hyperbolic" and last["sentence"]
    places = np.frombuffer(client.get("/api/disk/points").content, "<f4").reshape(-1, 2)
    items = client.get("/api/disk/items").json()
    assert items["ids"] == collection.index.ids and len(places) == len(collection)
    assert (np.hypot(*places.T) < 1).all()
    field = items["fields"]["class"]
    classes = [metadata["class"] for metadata in collection.index.metadata()]
    assert [field["values"][code] for code in field["codes"]] == classes
    id = collection.index.ids[3]
    assert client.get("/api/items", params={"id": id}).json()["disk"] == pytest.approx(places[3], abs=0.05)
    answer = client.post("/api/search", json={"query": {"id": id}, "k": 1}).json()
    assert answer["disk"] == pytest.approx(places[3], abs=0.05)


def test_everyone_hears_of_one_layout(collection, monkeypatch):
    begun, go = [], threading.Event()
    made = disk.collection_disk(collection.index, collection.folder)

    def slow(index, folder, *, tell):
        begun.append(1)
        tell(0.25, "laying out")
        assert go.wait(20)
        tell(0.75, "placing")
        return made

    monkeypatch.setattr(disk, "collection_disk", slow)
    with serving(Page(collection, hosts=LOOPBACK)) as address, ThreadPoolExecutor(4) as pool:
        with httpx.stream("GET", f"{address}/api/disk", timeout=10) as stream:
            assert json.loads(next(stream.iter_lines()))  # and the page is closed
        waiting = [pool.submit(httpx.get, f"{address}/api/disk", timeout=30) for _ in range(3)]
        go.set()
        for future in waiting:
            told = lines(future.result())
            assert told[-1]["ready"] is True
            for line in told[:-1]:
                assert 0 <= line["progress"] <= 1 and line["step"]
        assert lines(httpx.get(f"{address}/api/disk"))[-1]["ready"] is True
    assert begun == [1]


def test_a_server_that_stops_does_not_wait_for_the_layout(collection, monkeypatch):
    stopped = threading.Event()

    def endless(index, folder, *, tell):
        try:
            while True:
                tell(0.1, "laying out")
                threading.Event().wait(0.01)
        finally:
            stopped.set()

    monkeypatch.setattr(disk, "collection_disk", endless)
    page = Page(collection, hosts=LOOPBACK)
    with serving(page) as address, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(httpx.get, f"{address}/api/disk", timeout=30)
        while page.api.disk._thread is None:
            threading.Event().wait(0.01)
        page.api.disk.stop()
        assert lines(waiting.result())[-1] == {"ready": False, "error": "the server is stopping"}
    assert stopped.wait(5)


@pytest.mark.parametrize("error", [InputError("the collection holds no items"), RuntimeError("secret")])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_cannot_be_laid_out_says_so(collection, monkeypatch, error):
    def fail(index, folder, *, tell):
        raise error

    monkeypatch.setattr(disk, "collection_disk", fail)
    with asking(Page(collection, hosts=LOOPBACK)) as client:
        (told,) = [line for line in lines(client.get("/api/disk")) if "ready" in line]
        assert told["ready"] is False and "secret" not in told["error"]
        assert ("no items" in told["error"]) == isinstance(error, InputError)


def test_what_failed_once_is_tried_again(collection, monkeypatch):
    made, errors = disk.collection_disk(collection.index, collection.folder), [InputError(f"{collection.folder} is full")]

    def first_fails(index, folder, *, tell):
        if errors:
            raise errors.pop()
        return made

    monkeypatch.setattr(disk, "collection_disk", first_fails)
    with asking(Page(collection, hosts=LOOPBACK)) as client:
        told = lines(client.get("/api/disk"))[-1]
        assert told["error"] == f"{collection.name} is full"
        assert lines(client.get("/api/disk"))[-1]["ready"] is True
