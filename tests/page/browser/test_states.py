"""What goes wrong, and what is not there: said in words, and mended by itself where it can be."""

import shutil
from contextlib import ExitStack
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from horosphere import build as objects
from horosphere.collection import Collection, build
from horosphere.config import Config, DataConfig, IndexConfig, ModelConfig
from horosphere.data import save_arrays
from horosphere.page import Page
from horosphere.page.safety import LOOPBACK
from horosphere.runs import Run

from ...training import tiny
from ..conftest import serving
from .conftest import hits, placed


def test_a_bad_image_is_told_in_the_servers_words(visit, server):
    page = visit(server, expected=["415"])
    with page.expect_response("**/api/queries") as answer:
        page.set_input_files("#file", {"name": "broken.png", "mimeType": "image/png", "buffer": b"no image"})
    page.wait_for_selector("#query-error:not([hidden])")
    assert page.locator("#query-error").text_content() == answer.value.json()["error"]
    assert not answer.value.ok


def test_a_server_that_went_and_came_back(visit, serve, collection):
    with ExitStack() as first:
        address = first.enter_context(serving(Page(collection, hosts=LOOPBACK)))
        page = visit(f"{address}/#like={collection.index.ids[0]}", expected=["net::ERR_"])
        before = hits(page, 0)
        page.wait_for_selector(".disk-legend:not([hidden])")
        first.close()
        page.locator("#k").press("ArrowRight")
        page.wait_for_selector("#banner:not([hidden])")
        assert "does not answer" in page.locator("#banner").inner_text()
        with page.expect_response(placed):  # though nobody has asked the new server for its disk yet
            serve(Page(collection, hosts=LOOPBACK), urlsplit(address).port)
        page.wait_for_selector("#banner", state="hidden")
        page.wait_for_function("() => document.querySelectorAll('.column:first-of-type .hit').length === 11")
        assert hits(page, 0)[:10] == before


def test_a_busy_server_is_asked_again_when_it_says(visit, server, collection):
    page = visit(server, expected=["429"])
    refused = []

    def busy(route):
        if refused:
            return route.continue_()
        refused.append(route)
        return route.fulfill(
            status=429, headers={"Retry-After": "1"}, json={"error": "too many searches; ask again in a second"}
        )

    page.route("**/api/search", busy)
    page.locator(".offer img").first.click()
    page.wait_for_selector("#banner:not([hidden])")
    assert "busy" in page.locator("#banner").inner_text()
    assert len(hits(page, 0)) == 10
    assert page.locator("#banner").is_hidden() and refused


def test_the_busy_banner_goes_with_the_request_that_waited(visit, server, collection):
    page, refused = visit(f"{server}/#like={collection.index.ids[0]}", expected=["429"]), []
    hits(page, 0)

    def busy(route):
        refused.append(route)
        if len(refused) > 1:
            return route.continue_()
        return route.fulfill(status=429, headers={"Retry-After": "30"}, json={"error": "too many searches"})

    page.route("**/api/search", busy)
    page.locator("#k").press("ArrowRight")
    page.wait_for_selector("#banner:not([hidden])")
    page.locator("#k").press("ArrowRight")
    page.wait_for_selector("#banner", state="hidden")
    page.wait_for_function("() => document.querySelectorAll('.column:first-of-type .hit').length === 12")


STALE = """history.replaceState({
    collection: "other", more: [{ point: "AAAA", preview: "data:image/jpeg;base64,", name: "x" }], less: [],
    weights: [1, 2, 3], where: { none: 1 }, k: 5 }, "")"""


def test_what_another_collection_left_in_the_history_is_ignored(visit, server):
    page = visit(server)
    for state in [STALE, STALE.replace('"other"', "document.getElementById('name').textContent").replace('"AAAA"', "7")]:
        page.evaluate(state)
        page.reload()
        page.wait_for_selector(".offer img")
        assert page.locator("#tray").is_hidden() and page.locator("#k").input_value() == "10"


def test_a_page_that_cannot_start_says_so(visit, server):
    empty = """const ask = fetch;
        window.fetch = (path, ...rest) => path === "/api/collection" ? new Response("{}") : ask(path, ...rest);"""
    page = visit(server, script=empty, ready="#banner:not([hidden])", expected=["undefined"])
    assert "could not show" in page.locator("#banner").inner_text()


def test_an_unknown_item_is_told(visit, server, collection):
    page = visit(f"{server}/#like={collection.index.ids[0]}", expected=["404"])
    hits(page, 0)
    assert "centre" in page.locator("#radius").text_content()
    page.evaluate("location.hash = 'like=nobody'")
    page.wait_for_selector("#query-error:not([hidden])")
    assert "no item “nobody”" in page.locator("#query-error").text_content()
    assert not page.locator("#radius").text_content()


def test_a_token_opens_the_page_and_leaves_the_address(visit, serve, collection):
    word = "a-long-enough-token-of-a-test"
    address = serve(Page(collection, token=word, hosts=LOOPBACK))
    page = visit(f"{address}/#token={word}&like={collection.index.ids[0]}")
    hits(page, 0)
    assert word not in page.url and collection.index.ids[0] in page.url
    page.wait_for_function("() => [...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    page.close()
    page = visit(address, expected=["401"], ready="#token[open]")
    for _ in range(3):
        page.keyboard.press("Escape")
    page.wait_for_selector("#token[open]")
    page.locator("#token-word").fill("wrong")
    page.get_by_role("button", name="Open").click()
    page.wait_for_selector("#token-error:not([hidden])")
    page.locator("#token-word").fill(word)
    page.get_by_role("button", name="Open").click()
    page.locator(".offer button").first.click()
    hits(page, 0)
    page.get_by_role("button", name="Copy as curl").click()
    page.wait_for_selector("#copy-curl:has-text('$TOKEN')")
    assert '-H "Authorization: Bearer $TOKEN"' in page.locator("#copy-curl").inner_text()
    page.keyboard.press("Escape")
    page.context.clear_cookies()
    with page.expect_response(lambda answer: answer.status == 401):
        page.locator("#k").press("ArrowRight")
    page.wait_for_selector("#token[open]")
    # A second request that is refused while the dialog is open.
    with page.expect_response(lambda answer: answer.status == 401):
        page.evaluate("""() => {
            const words = new URLSearchParams(location.hash.slice(1));
            words.set("k", 7);
            location.hash = words;
        }""")
    page.locator("#token-word").fill(word)
    page.get_by_role("button", name="Open").click()
    page.wait_for_function("() => document.querySelectorAll('.column:first-of-type .hit').length === 7")


NAMES = ["<img src=x onerror=document.title='broken'>", "\"'><svg onload=document.title='broken'>", "{{7*7}} & <b>bold<b>"]


@pytest.fixture(scope="module")
def odd(digits, tmp_path_factory):
    """A collection whose ids, classes and metadata are markup."""
    folder = tmp_path_factory.mktemp("odd")
    for i, name in enumerate(NAMES):
        (folder / "photos" / name).mkdir(parents=True)
        for j in range(2):
            pixels = np.full((16, 16), 60 * i + 20 * j, np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{name}{j}.png")
    build(IndexConfig(digits.parent / "run", folder / "photos", output=folder / "index", workers=0), progress=False)
    with Collection.open(folder / "index") as collection:
        yield collection


def test_markup_in_ids_and_metadata_is_text(visit, serve, odd):
    page = visit(serve(Page(odd, hosts=LOOPBACK)))
    page.locator(".offer img").first.click()
    shown = hits(page, 0)
    page.locator("#filters summary").first.click()
    page.locator(".column:first-of-type .more").first.click()
    page.wait_for_selector(".chip")
    hits(page, 0)
    page.locator("#by-id").press_sequentially("<img")
    page.wait_for_selector("#by-id-list [role=option]")
    page.get_by_role("button", name="Confusions").click()
    page.wait_for_selector("#lens-class")
    hits(page, 0)
    assert len(shown) == 5 and page.title() == f"{odd.name} · Horosphere"
    assert page.locator("img[src='x'], main b, svg[onload]").count() == 0
    named = page.locator("#filters .value").all_inner_texts()
    assert all(any(name in text for text in named) for name in NAMES)


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """A collection of a run on cached features: no image can be given, and no item has a thumbnail."""
    folder, rng = tmp_path_factory.mktemp("features"), np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 5)
    save_arrays(
        folder / "features.npz",
        features=rng.normal(size=(30, 12)).astype(np.float32) + labels[:, None],
        labels=labels,
        split=np.where(labels < 3, "train", "test"),
        ids=[f"item{i}" for i in range(30)],
    )
    data = DataConfig("features", str(folder / "features.npz"))
    config = Config(data=data, model=ModelConfig(None, dim=8), space=tiny.config().space)
    run = Run(folder / "run")
    run.begin(config)
    objects.embedder(config, objects.data(config.data)).save(run.model_path)
    build(IndexConfig(run.folder, output=folder / "index"), progress=False)
    with Collection.open(folder / "index") as collection:
        yield collection


def test_without_images_items_are_cards_and_queries(visit, serve, features):
    page = visit(serve(Page(features, hosts=LOOPBACK)))
    assert "made from features" in page.locator("#drop").inner_text() and page.locator("#file").count() == 0
    page.locator(".offer button").first.click()
    assert len(hits(page, 0)) == 10
    named = page.locator(".column:first-of-type .thumb-name").all_inner_texts()
    assert named == hits(page, 0) and page.locator("main img").count() == 0


@pytest.fixture
def empty(digits, tmp_path):
    shutil.copytree(digits, tmp_path / "empty")
    with Collection.open(tmp_path / "empty") as collection:
        collection.index.remove(collection.index.ids)
        yield collection


def test_an_empty_collection_says_how_to_fill_it(empty, visit, serve):
    page = visit(serve(Page(empty, hosts=LOOPBACK)))
    page.wait_for_selector("#welcome .lead")
    assert "This collection is empty" in page.locator("#welcome").inner_text()
    assert "horosphere index" in page.locator("#welcome").inner_text()
