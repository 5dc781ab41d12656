"""Whatever is sent to any address: an answer in JSON, no fault, and a server that goes on."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

POSTS = ("/api/session", "/api/queries", "/api/search", "/api/confusions")
GETS = ("/api/items", "/thumbnails", "/api/collection", "/api/health", "/static/app.js")
kinds = st.sampled_from(
    ["application/json", "image/png", "text/plain", "application/octet-stream", "application/json; x=\xff"]
)
texts = st.text(st.characters(), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(
    ["query", "k", "weights", "where", "class", "token", "id", "point", "more", "less", "min", "max", "not"]
)
shaped = st.recursive(
    values, lambda inner: st.dictionaries(keys, inner | st.lists(inner, max_size=3), max_size=4), max_leaves=8
)
some = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def sound(answer, client):
    assert answer.status_code < 500, answer.text
    if answer.headers["content-type"] == "application/json":
        answer.json()
        if answer.status_code >= 400:
            assert list(answer.json()) == ["error"] and answer.json()["error"]
    else:
        assert answer.status_code < 400
    assert client.get("/api/health").json()["status"] == "ok"


@given(path=st.sampled_from(POSTS), body=st.binary(max_size=300), kind=kinds)
@some
def test_any_bytes(client, path, body, kind):
    sound(client.post(path, content=body, headers={"Content-Type": kind.encode("latin-1")}), client)


@given(path=st.sampled_from(POSTS), body=shaped)
@some
def test_any_json(client, path, body):
    content = json.dumps(body).encode()
    sound(client.post(path, content=content, headers={"Content-Type": "application/json"}), client)


@given(
    where=st.dictionaries(st.sampled_from(["class", "x"]), shaped, max_size=2),
    weights=st.none() | st.lists(values, max_size=3) | st.lists(st.floats(), min_size=2, max_size=2),
    k=st.integers(-2, 300) | values,
)
@some
def test_any_search_of_an_item(client, collection, where, weights, k):
    body = {"query": {"id": collection.index.ids[0]}, "where": where, "weights": weights, "k": k}
    content = json.dumps(body).encode()
    sound(client.post("/api/search", content=content, headers={"Content-Type": "application/json"}), client)


@given(path=st.sampled_from(GETS), query=st.dictionaries(st.sampled_from(["id", "like", "limit", "x"]), texts, max_size=3))
@some
def test_any_query_string(client, path, query):
    sound(client.get(path, params={key: value.encode("utf-8", "replace") for key, value in query.items()}), client)


@given(raw=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
@some
def test_any_address(client, raw):
    answer = client.get("/" + raw.replace("#", ""), follow_redirects=False)
    assert answer.status_code < 500


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW", "HEAD"])
@pytest.mark.parametrize("path", [*POSTS, *GETS, "/", "/nothing"])
def test_any_method(client, method, path):
    answer = client.request(method, path)
    assert answer.status_code < 500
    if answer.status_code >= 400 and method != "HEAD":
        assert list(answer.json()) == ["error"]
