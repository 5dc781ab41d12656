"""Who may ask, what may be asked, and what every answer tells the browser."""

import asyncio
import contextlib
import json
import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest

from horosphere.page import Limits, Page
from horosphere.page.connections import Connection
from horosphere.page.safety import LOOPBACK

from .conftest import asking, serving

TOKEN = "a-token-of-many-characters"


@pytest.fixture(scope="module")
def guarded(collection):
    """A client of a page that asks for a token."""
    with asking(Page(collection, token=TOKEN)) as client:
        yield client


def refused(answer, status):
    assert answer.status_code == status, answer.text
    (error,) = answer.json().values()
    assert error and not [word for word in ("Traceback", ".py", "/tmp", "/home", "/usr", "horosphere/") if word in error]
    return error


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "[", "127.0.0.2"])
def test_another_sites_name_for_this_machine_is_refused(client, host):
    refused(client.get("/api/health", headers={"Host": host}), 400)


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "LOCALHOST:8765", "[::1]:8765"])
def test_names_of_loopback_are_taken(client, host):
    assert client.get("/api/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://[", ""])
@pytest.mark.parametrize("path", ["/api/search", "/api/queries", "/api/session"])
def test_a_page_of_another_site_cannot_post(client, path, origin):
    refused(client.post(path, json={}, headers={"Origin": origin}), 403)
    assert client.post(path, json={}, headers={"Origin": "http://127.0.0.1"}).status_code in (415, 422)


def test_what_other_sites_can_send_without_asking_first_is_refused(client):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        refused(client.post("/api/search", content=b"{}", headers={"Content-Type": kind}), 415)
        refused(client.post("/api/queries", content=b"{}", headers={"Content-Type": kind}), 415)


def test_without_the_token_only_the_page_itself_is_served(guarded):
    for path in ("/", "/api/health", "/static/app.js"):
        assert guarded.get(path).status_code == 200
    paths = ("/api/collection", "/api/openapi.json", "/api/items?id=0", "/thumbnails?id=0", "/api/disk", "/nothing")
    for path in (*paths, "/api/health/", "/static"):
        assert refused(guarded.get(path), 401)
    for path in ("/api/search", "/api/queries"):
        assert refused(guarded.post(path, json={}), 401)


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer ", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Basic {TOKEN}"])
def test_a_wrong_token_is_refused(guarded, given):
    answer = guarded.get("/api/collection", headers={"Authorization": given})
    assert refused(answer, 401) and answer.headers["www-authenticate"] == "Bearer"


def test_the_right_token_opens_every_address_and_gives_a_cookie(collection):
    with asking(Page(collection, token=TOKEN)) as client:
        assert client.get("/api/collection", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        for wrong in ("", "é", "x" * 1000, None, 3, ["x"]):
            refused(client.post("/api/session", json={"token": wrong}), 401)
        answer = client.post("/api/session", json={"token": TOKEN})
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and TOKEN not in cookie
        assert client.get("/api/collection").status_code == 200
        assert client.get("/thumbnails", params={"id": collection.index.ids[0]}).status_code == 200
        name, _, value = cookie.partition(";")[0].partition("=")
        client.cookies.clear()
        for other in ('prefs={"a": 1}; ', "a b=1; ", "x[y]=1; ", "=; ", "é; "):  # of other servers on this host
            headers = {"Cookie": f"{other}{name}={value}".encode()}
            assert client.get("/api/collection", headers=headers).status_code == 200
    with asking(Page(collection, token=TOKEN)) as another:  # the same token, another start
        refused(another.get("/api/collection", headers={"Cookie": f"{name}={value}"}), 401)
        for odd in (f"{name}=", f"{name}", f'{name}="{value[:-1]}"', "=;=;", "\x80"):
            refused(another.get("/api/collection", headers={"Cookie": odd.encode("latin-1")}), 401)


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/api/collection", "/nothing", "/thumbnails?id=x", "/api/disk"])
def test_every_answer_is_guarded(client, path):
    headers = client.get(path, headers={"Origin": "http://evil.example"}).headers
    policy = headers["content-security-policy"]
    for words in ("default-src 'self'", "img-src 'self' data: blob:", "object-src 'none'", "frame-ancestors 'none'"):
        assert words in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"]
    assert not [name for name in headers if name.startswith("access-control")]


def test_a_fault_says_nothing_of_itself(digits, collection, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError(f"secret {digits}")

    with asking(Page(collection, hosts=LOOPBACK)) as client:
        monkeypatch.setattr(type(collection.index), "search", fail)
        answer = client.post("/api/search", json={"query": {"id": collection.index.ids[0]}})
        assert "secret" not in refused(answer, 500) and "content-security-policy" in answer.headers


OUTSIDE = [
    "../openapi.yaml",
    "../../../../etc/passwd",
    "/etc/passwd",
    "..%2fopenapi.yaml",
    "%2e%2e/openapi.yaml",
    "%2e%2e%2fopenapi.yaml",
    "..%252fopenapi.yaml",
    "disk/../../openapi.yaml",
    "..\\openapi.yaml",
    "app.js%00",
    "%00",
    "app.js/",
    "./app.js",
    "",
    "C:/windows/win.ini",
    "~root",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_path_from_a_request_reaches_the_disk(server, name):
    """Sent as they are: clients tidy paths up."""
    host = urlsplit(server).netloc
    for target in (f"/static/{name}", f"/{name}", f"/thumbnails?id={name}", f"/api/items?id={name}"):
        with socket.create_connection(host.split(":"), timeout=10) as connection:
            connection.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        status = int(answer.split()[1])
        if target == "/":
            assert status == 200
            continue
        assert status in (400, 404, 422), answer
        assert b"openapi:" not in answer and b"root:" not in answer and b"Traceback" not in answer
    body = {"query": {"id": name}}
    assert httpx.post(f"{server}/api/search", json=body).status_code == 404


def test_requests_that_are_never_finished_keep_nobody_out_for_long(collection):
    limits = Limits(arrival=1.0, connections=4)
    with serving(Page(collection, hosts=LOOPBACK, limits=limits), http=Connection) as address:
        host = urlsplit(address).netloc
        begun = [socket.create_connection(host.split(":"), timeout=10) for _ in range(4)]
        # Nothing; half of the headers; a second request's; more of a body than was asked for.
        begun[1].sendall(b"GET / HTTP/1.1\r\n")
        begun[2].sendall(f"GET /api/health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        begun[3].sendall(f"GET /api/health HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99\r\n\r\nx".encode())
        for connection in begun[2:]:
            assert b" 200 OK" in connection.recv(65536)
        begun[2].sendall(b"GET /")
        answer = httpx.get(f"{address}/api/health")
        assert "connections" in refused(answer, 503) and answer.headers["retry-after"] == "1"
        assert answer.headers["connection"] == "close" and "content-security-policy" in answer.headers
        end, open_still = time.monotonic() + 10, begun
        while open_still:
            for connection in open_still:
                with contextlib.suppress(OSError):
                    connection.sendall(b"x")  # drop by drop
            open_still = [connection for connection in open_still if not _closed(connection)]
            assert time.monotonic() < end
            time.sleep(0.1)
        assert httpx.get(f"{address}/api/health").status_code == 200


def _closed(connection):
    connection.setblocking(False)
    try:
        while data := connection.recv(65536):
            assert data
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_a_request_that_a_stopping_server_gives_up_is_told(collection):
    """uvicorn cancels what still runs when its seconds of grace are over."""
    page, sent = Page(collection, hosts=LOOPBACK), []

    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    async def stop():
        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"image/png")]
        scope = {"type": "http", "method": "POST", "path": "/api/queries", "headers": headers, "query_string": b""}
        task = asyncio.create_task(page(scope, receive, send))
        await asyncio.sleep(0.1)
        task.cancel()
        await task

    asyncio.run(stop())
    assert sent[0]["status"] == 503 and "stopping" in json.loads(sent[1]["body"])["error"]
    assert b"content-security-policy" in dict(sent[0]["headers"])


def test_files_of_the_page_are_compressed_and_known_again(client):
    plain = client.get("/static/app.js", headers={"Accept-Encoding": "identity"})
    packed = client.get("/static/app.js", headers={"Accept-Encoding": "gzip"})
    assert plain.content == packed.content and packed.headers["content-encoding"] == "gzip"
    assert plain.headers["content-type"].startswith("text/javascript")
    again = client.get("/static/app.js", headers={"If-None-Match": plain.headers["etag"]})
    assert again.status_code == 304 and again.content == b""


@pytest.fixture(scope="module")
def strict(collection):
    """The address of a page that takes little."""
    limits = Limits(bytes=50_000, json=5_000, arrival=0.5, images=2)
    with serving(Page(collection, hosts=LOOPBACK, limits=limits)) as address:
        yield address


@pytest.mark.parametrize(("path", "kind", "most"), [("queries", "image/png", 50_000), ("search", "application/json", 5_000)])
def test_bodies_are_counted_as_they_arrive(strict, path, kind, most):
    headers = {"Content-Type": kind}
    refused(httpx.post(f"{strict}/api/{path}", content=b"x" * (most + 1), headers=headers), 413)

    sent = []

    def endless():
        for _ in range(10_000):
            sent.append(1)
            yield b"x" * 10_000

    # Chunked, so that no header says how long it is; the server hangs up, and the client may notice before it reads why.
    with contextlib.suppress(httpx.TransportError):
        refused(httpx.post(f"{strict}/api/{path}", content=endless(), headers=headers), 413)
    assert len(sent) < 9_000
    assert httpx.get(f"{strict}/api/health").status_code == 200


def begin_upload(address, length=1000):
    host = urlsplit(address).netloc
    connection = socket.create_connection(host.split(":"), timeout=10)
    head = f"POST /api/queries HTTP/1.1\r\nHost: {host}\r\nContent-Type: image/png\r\nContent-Length: {length}\r\n\r\n"
    connection.sendall(head.encode() + b"x")
    return connection


def test_a_slow_upload_is_given_up(strict):
    with begin_upload(strict) as connection:
        started = time.monotonic()
        assert b" 408 " in connection.recv(65536)
        assert time.monotonic() - started < 5
    with begin_upload(strict):
        pass  # cut off
    assert httpx.get(f"{strict}/api/health").status_code == 200


def test_more_uploads_than_there_is_room_for_are_refused(strict):
    with begin_upload(strict), begin_upload(strict):
        time.sleep(0.1)
        answer = httpx.post(f"{strict}/api/queries", content=b"x", headers={"Content-Type": "image/png"})
        assert refused(answer, 429) and answer.headers["retry-after"] == "1"
    time.sleep(0.7)
    refused(httpx.post(f"{strict}/api/queries", content=b"x", headers={"Content-Type": "image/png"}), 415)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[]", 422),
        (b"null", 422),
        (b"[" * 100_000, 400),
        (b'{"query":' * 20 + b"1" + b"}" * 20, 422),
        (b'{"query": {"id": "0"}, "k": ' + b"9" * 5000 + b"}", 400),
        (b'{"query": {"id": "0"}, "k": 1e999}', 422),
        (b'{"query": {"id": "0"}, "weights": [NaN, 1]}', 422),
        (b'{"query": {"id": "\\ud800"}}', 422),
        (b'{"query": {"id": "0"}, "where": {"\\udfff": 1}}', 422),
        (json.dumps({"query": {"id": "\x00"}}).encode(), 404),
    ],
)
def test_odd_json_is_refused(client, body, status):
    refused(client.post("/api/search", content=body, headers={"Content-Type": "application/json"}), status)
