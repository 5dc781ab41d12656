"""The description of the API: complete, valid, and what the server really answers."""

import json
import re

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from starlette.routing import Route

from horosphere.page import Page

from .test_search import text


@pytest.fixture(scope="module")
def specification(client):
    return client.get("/api/openapi.json").json()


def test_the_description_is_valid(specification):
    validate(specification)


def test_every_route_is_described_and_the_reverse(specification, collection):
    described = {(path, method) for path, own in specification["paths"].items() for method in own}
    routes = {
        (re.sub(r":\w+}", "}", route.path), method.lower())
        for route in Page(collection).routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert described == routes


def check(specification, path, method, answer, status=200):
    assert answer.status_code == status, answer.text
    responses = specification["paths"][path][method]["responses"]
    response = responses.get(str(status), responses.get("default"))
    if "$ref" in response:
        response = specification["components"]["responses"][response["$ref"].rpartition("/")[2]]
    (kind, content), *_ = response["content"].items()
    assert answer.headers["content-type"].startswith(kind)
    schema = {"components": specification["components"], **content["schema"]}
    for value in answer.text.splitlines() if kind == "application/x-ndjson" else [answer.text]:
        Draft202012Validator(schema).validate(json.loads(value))


def test_answers_are_as_described(client, collection, specification):
    id = collection.index.ids[0]
    check(specification, "/api/health", "get", client.get("/api/health"))
    check(specification, "/api/collection", "get", client.get("/api/collection"))
    check(specification, "/api/session", "post", client.post("/api/session", json={"token": "x"}))
    check(specification, "/api/items", "get", client.get("/api/items", params={"id": id}))
    check(specification, "/api/items", "get", client.get("/api/items?like=1"))
    check(specification, "/api/disk", "get", client.get("/api/disk"))
    for query in ({"id": id}, {"point": text(collection.index.points()[1])}, {"more": [{"id": id}], "less": []}):
        check(specification, "/api/search", "post", client.post("/api/search", json={"query": query, "k": 4}))
        check(specification, "/api/confusions", "post", client.post("/api/confusions", json={"query": query, "k": 4}))
    image = client.get("/thumbnails", params={"id": id}).content
    answer = client.post("/api/queries", content=image, headers={"Content-Type": "image/jpeg"})
    check(specification, "/api/queries", "post", answer)


def test_errors_are_as_described(client, specification):
    check(specification, "/api/search", "post", client.post("/api/search", json={}), 422)
    check(specification, "/api/items", "get", client.get("/api/items?id=nobody"), 404)
    check(specification, "/thumbnails", "get", client.get("/thumbnails?id=nobody"), 404)
    check(specification, "/api/queries", "post", client.post("/api/queries", content=b"x"), 415)
    for answer in (client.get("/nothing"), client.put("/api/search"), client.get("/static/nothing.js")):
        assert answer.status_code in (404, 405)
        Draft202012Validator(specification["components"]["schemas"]["Error"]).validate(answer.json())
