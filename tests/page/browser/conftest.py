"""A browser, and pages in it that are watched: a request off their origin or an error in their console fails the test."""

import contextlib
import io
import shutil
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from horosphere.data import load_data

from ..conftest import serving


# Of this package alone: while it lives, its event loop runs in this thread, and other tests start their own.
@pytest.fixture(scope="package")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium on this machine")
    with playwright.sync_playwright() as started:
        # WebGL2 in software, as the machine may have no GPU; shared memory in files, as a container may have little.
        arguments = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        arguments.append("--disable-dev-shm-usage")
        browser = started.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@contextlib.contextmanager
def visiting(chromium):
    """visit(address, expected=..., ready=..., **context options): a page, once it shows `ready`.

    `expected`: texts of which one must be in each error of the page or its console.
    """
    contexts, problems = [], []

    def visit(address, *, expected=(), ready="#main:not([aria-busy])", script=None, **options):
        context = chromium.new_context(
            **({"viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce"} | options)
        )
        contexts.append(context)
        if script:
            context.add_init_script(script)
        page = context.new_page()
        page.set_default_timeout(60_000)  # what a busy machine may take
        own = urlsplit(address)[:2]

        def wrong(text):
            if not any(known in text for known in expected):
                problems.append(text)

        def asked(request):
            if urlsplit(request.url)[:2] != own and not request.url.startswith(("data:", "blob:" + "://".join(own))):
                problems.append(f"left its origin: {request.url}")

        page.on("console", lambda message: message.type == "error" and wrong(message.text))
        page.on("pageerror", lambda error: wrong(str(error)))
        page.on("request", asked)
        page.goto(address)
        page.wait_for_selector(ready)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not problems


@pytest.fixture
def serve():
    """serve(application, port=0): its address, until the test is over and its pages are closed."""
    with contextlib.ExitStack() as stack:
        yield lambda *given: stack.enter_context(serving(*given))


@pytest.fixture
def visit(chromium, serve):
    with visiting(chromium) as visit:
        yield visit


@pytest.fixture(scope="session")
def digit():
    """A digit of the training classes as a PNG, so that no item of the collection is the same image."""
    images = load_data("digits").select("train").images
    buffer = io.BytesIO()
    Image.fromarray(np.squeeze(np.asarray(images.read(0)))).save(buffer, "PNG")
    return buffer.getvalue()


def hits(page, column: int) -> list[str]:
    """Ids in a column, nearest first, once the last request is answered."""
    page.wait_for_selector(".columns:not([aria-busy]) .hit:not(.ghost)")
    return page.locator(f".column:nth-of-type({column + 1}) .hit").evaluate_all("all => all.map(hit => hit.dataset.id)")


def answered(page, action, path="/api/search") -> dict:
    """What the server answers to the request that an action makes."""
    with page.expect_response(lambda response: path in response.url) as waiting:
        action()
    return waiting.value.json()


def placed(response) -> bool:
    """Whether it is an answer that knows the query's place in the disk."""
    try:
        return "/api/search" in response.url and response.json()["disk"] is not None
    except Exception:  # Given up for a newer one: there is nothing to read.
        return False


def neighbours(answer: dict) -> list[list[str]]:
    return [[hit["id"] for hit in geometry["hits"]] for geometry in answer["geometries"]]
