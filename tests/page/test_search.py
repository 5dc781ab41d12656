"""What searches answer, against the distance of every item in float64."""

import base64

import numpy as np
import pytest
import torch

from horosphere.page import Page
from horosphere.spaces import Mixed

from .conftest import asking


def ask(client, query, **rest):
    answer = client.post("/api/search", json={"query": query} | rest)
    assert answer.status_code == 200, answer.text
    return answer.json()


def text(point) -> str:
    return base64.b64encode(np.asarray(point, "<f4").tobytes()).decode()


def nearest(collection, point, k, weights=None, without=(), keep=lambda metadata: True):
    """(id, distance) of the `k` nearest, by the reference."""
    space = collection.space
    if weights is not None:
        space = Mixed(list(space.parts), weights)
    distances = space.distance(point.double()[None], collection.index.points().double()).numpy()
    order = np.lexsort((np.arange(len(distances)), distances))
    ids, metadata = collection.index.ids, collection.index.metadata()
    found = [(ids[i], distances[i]) for i in order if ids[i] not in without and keep(metadata[i])]
    return found[:k]


def check(column, expected):
    assert [hit["id"] for hit in column["hits"]] == [id for id, _ in expected]
    assert [hit["distance"] for hit in column["hits"]] == pytest.approx([distance for _, distance in expected], abs=1e-12)


def test_neighbours_of_an_item_under_every_geometry(client, collection):
    id = collection.index.ids[5]
    answer = ask(client, {"id": id}, k=7)
    point = collection.index.points([id])[0]
    assert answer["point"] == text(point)
    geometries = {"mixture": None, "sphere": (1.0, 0.0), "hyperbolic": (0.0, 1.0)}
    assert [column["name"] for column in answer["geometries"]] == list(geometries)
    for column, weights in zip(answer["geometries"], geometries.values(), strict=True):
        check(column, nearest(collection, point, 7, weights, {id}))
        assert column["weights"] == list(weights or collection.space.weights)
        assert column["exact"] and column["milliseconds"] >= 0


def test_hits_say_their_parts_and_their_places_elsewhere(client, collection):
    id = collection.index.ids[0]
    answer = ask(client, {"id": id}, k=6)
    point = collection.index.points([id]).double()
    ids = {column["name"]: [hit["id"] for hit in column["hits"]] for column in answer["geometries"]}
    for column in answer["geometries"]:
        for hit in column["hits"]:
            theirs = collection.index.points([hit["id"]]).double()
            split = zip(collection.space.parts, collection.space.split(point), collection.space.split(theirs), strict=True)
            expected = [float(part.distance(a, b)) for part, a, b in split]
            assert hit["parts"] == pytest.approx(expected)
            weighted = sum(w * d for w, d in zip(column["weights"], hit["parts"], strict=True))
            assert hit["distance"] == pytest.approx(weighted)
            assert hit["metadata"] == collection.index.metadata([hit["id"]])[0]
            for name, own in ids.items():
                assert hit["ranks"][name] == (own.index(hit["id"]) + 1 if hit["id"] in own else None)
    common = [id for id in ids["mixture"] if id in ids["sphere"] and id in ids["hyperbolic"]]
    assert answer["agreement"] == {"all": common, "share": len(common) / 6}


def test_other_weights_and_filters(client, collection):
    id = collection.index.ids[9]
    point = collection.index.points([id])[0]
    column = ask(client, {"id": id}, k=5, weights=[0.5, 3.0])["geometries"][0]
    assert column["name"] == "mixture" and column["weights"] == [0.5, 3.0]
    check(column, nearest(collection, point, 5, (0.5, 3.0), {id}))
    label = collection.index.metadata([id])[0]["class"]
    column = ask(client, {"id": id}, k=5, where={"class": {"not": label}})["geometries"][0]
    check(column, nearest(collection, point, 5, None, {id}, lambda metadata: metadata["class"] != label))
    none = ask(client, {"id": id}, where={"class": []})
    assert all(column["hits"] == [] for column in none["geometries"]) and none["agreement"] == {"all": [], "share": 0.0}


def test_more_and_less(client, collection):
    ids = collection.index.ids
    more, less = ids[3:6], ids[40:42]
    space, points = collection.space, collection.index.points().double()
    owner = torch.zeros(3, dtype=torch.int64)
    mean = space.centroids(points[3:6], owner, 1)[0]
    answer = ask(client, {"more": [{"id": id} for id in more]}, k=4)
    assert answer["point"] == text(mean)
    check(answer["geometries"][0], nearest(collection, mean.float(), 4, None, more))
    query = {"more": [{"id": id} for id in more], "less": [{"id": id} for id in less]}
    answer = ask(client, query, k=4)
    away = space.geodesic(space.centroids(points[40:42], owner[:2], 1)[0], mean, 1.5)
    assert answer["point"] == text(away)
    check(answer["geometries"][0], nearest(collection, away.float(), 4, None, {*more, *less}))
    for part, a, b, c in zip(space.parts, *map(space.split, (points[40], mean, away)), strict=True):
        assert part.distance(a, c) > part.distance(a, b)
    # A point among the chosen is no item, so nothing is left out for it.
    answer = ask(client, {"more": [{"point": text(points[3])}]}, k=1)
    assert answer["geometries"][0]["hits"][0]["id"] == ids[3]


def test_a_point_finds_its_own_item(client, collection):
    point = collection.index.points()[17]
    hit = ask(client, {"point": text(point)}, k=1)["geometries"][0]["hits"][0]
    assert hit["id"] == collection.index.ids[17] and hit["distance"] == 0 and hit["parts"] == [0, 0]


def test_an_image_is_embedded_as_the_index_was(client, collection):
    id = collection.index.ids[2]
    image = client.get("/thumbnails", params={"id": id})
    assert image.headers["content-type"] == "image/jpeg"
    made = client.post("/api/queries", content=image.content, headers={"Content-Type": "image/jpeg"}).json()
    assert made["preview"].startswith("data:image/jpeg;base64,") and made["width"] == made["height"]
    assert made["point"] == text(collection.embed([image.content])[0])
    assert len(ask(client, {"point": made["point"]}, k=3)["geometries"][0]["hits"]) == 3


def test_items_and_ids(client, collection):
    ids = collection.index.ids
    answer = client.get("/api/items", params={"id": ids[4]}).json()
    assert answer["id"] == ids[4] and answer["metadata"] == collection.index.metadata([ids[4]])[0]
    assert client.get("/api/items?like=&limit=7").json() == {"ids": ids[:7]}
    found = client.get("/api/items", params={"like": "12", "limit": 1000}).json()["ids"]
    assert sorted(found) == sorted(id for id in ids if "12" in id)
    starts = [id.startswith("12") for id in found]
    assert starts == sorted(starts, reverse=True)
    assert client.get("/api/items?like=nothing-is-called-so").json() == {"ids": []}


def test_confusions_are_the_nearest_of_other_classes(client, collection):
    id = collection.index.ids[7]
    point, own = collection.index.points([id])[0], collection.index.metadata([id])[0]["class"]
    answer = client.post("/api/confusions", json={"query": {"id": id}, "k": 6}).json()
    assert answer["class"] == own and own in answer["sentence"]
    for column in answer["geometries"]:
        weights = collection.geometries[column["name"]]
        expected = nearest(collection, point, 6, weights, (), lambda metadata: metadata["class"] != own)
        check(column, expected)
        p = np.exp(-np.array([distance for _, distance in expected]) / collection.temperature(column["name"]))
        assert [hit["weight"] for hit in column["hits"]] == pytest.approx(p / p.sum())
    other = next(label for label in (m["class"] for m in collection.index.metadata()) if label != own)
    answer = client.post("/api/confusions", json={"query": {"id": id}, "class": other, "k": 1}).json()
    assert answer["class"] == other and id not in [hit["id"] for hit in answer["geometries"][0]["hits"]]
    # What "more" names is left out, and the weights are of what is shown.
    shown = [hit["id"] for hit in column["hits"][:2]]
    answer = client.post("/api/confusions", json={"query": {"more": [{"id": each} for each in (id, *shown)]}, "k": 5}).json()
    for column in answer["geometries"]:
        assert not {hit["id"] for hit in column["hits"]} & {id, *shown} and len(column["hits"]) == 5
        assert sum(hit["weight"] for hit in column["hits"]) == pytest.approx(1)
    for body, words in (({"class": "no such"}, "no class"), ({"class": 3}, "no string")):
        refused = client.post("/api/confusions", json={"query": {"id": id}} | body)
        assert refused.status_code == 422 and words in refused.json()["error"]


def test_the_radius_of_a_query(client, collection):
    id = collection.index.ids[7]
    radius = ask(client, {"id": id})["radius"]
    assert radius == client.get("/api/items", params={"id": id}).json()["radius"]
    part = collection.space.parts[1]
    points = collection.index.points()
    assert radius["value"] == pytest.approx(float(part.radius(collection.space.split(points)[1])[7]), rel=1e-4)
    everyone, value = collection.radii.of(points), radius["value"]
    assert radius["percentile"] == pytest.approx(50 * ((everyone < value).mean() + (everyone <= value).mean()), abs=2)
    assert radius["sentence"] == collection.radii.sentence


def test_a_collection_of_features_without_bounds(features):
    """No image can be asked for, and no point is too far out to be refused."""
    with asking(Page(features)) as client:
        told = client.get("/api/collection").json()
        assert not told["takes_images"] and not told["has_thumbnails"]
        assert [part["kind"] for part in told["parts"]] == ["euclidean", "hyperbolic"]
        refused = client.post("/api/queries", content=b"x", headers={"Content-Type": "image/png"})
        assert refused.status_code == 422 and "search from an item" in refused.json()["error"]
        assert client.get("/thumbnails", params={"id": "item20"}).status_code == 404
        assert client.get("/api/disk").text.splitlines()[-1].startswith('{"ready": true')
        for norm in (0.0, 1e-30, 1.0, 50.0, 1e3, 1e6, 1e19, 1e30, 3e38):
            for path in ("/api/search", "/api/confusions"):
                answer = client.post(path, json={"query": {"point": text(np.eye(16)[0] * norm)}, "k": 4})
                assert answer.status_code in (200, 422), answer.text
                assert answer.status_code == 200 or norm > 100
                if answer.status_code == 200:
                    assert len(answer.json()["geometries"]) == 3
        far = [{"point": text(np.eye(16)[i] * 1e30)} for i in (0, 9)]
        assert client.post("/api/search", json={"query": {"more": far[:1], "less": far[1:]}}).status_code == 422
        assert client.post("/api/search", json={"query": {"more": far}}).status_code == 422


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 422, "lacks query"),
        ({"query": {"id": "nobody"}}, 404, "no item has this id"),
        ({"query": {"id": 3}}, 422, "no string"),
        ({"query": {"id": "0", "point": ""}}, 422, "unknown 'point'"),
        ({"query": "0"}, 422, "no object"),
        ({"query": {"point": "?"}}, 422, "no base64"),
        ({"query": {"point": "AAAA"}}, 422, "has 3 bytes"),
        ({"query": {"point": text(np.full(16, np.nan))}}, 422, "NaN"),
        ({"query": {"point": text(np.full(16, 3.0))}}, 422, "place them first"),
        ({"query": {"more": []}}, 422, "at least one"),
        ({"query": {"more": [{"more": []}]}}, 422, "lacks point"),
        ({"query": {"more": [{"point": text(np.zeros(16))}] * 65}}, 422, "more than 64"),
        ({"query": {"id": "FIRST"}, "k": 0}, 422, "from 1 to 200"),
        ({"query": {"id": "FIRST"}, "k": 201}, 422, "from 1 to 200"),
        ({"query": {"id": "FIRST"}, "k": True}, 422, "whole number"),
        ({"query": {"id": "FIRST"}, "k": 2.0}, 422, "whole number"),
        ({"query": {"id": "FIRST"}, "weights": [1]}, 422, "weights"),
        ({"query": {"id": "FIRST"}, "weights": [0, 0]}, 422, "weights"),
        ({"query": {"id": "FIRST"}, "weights": [-1, 2]}, 422, "weights"),
        ({"query": {"id": "FIRST"}, "weights": ["1", "2"]}, 422, "weights"),
        ({"query": {"id": "FIRST"}, "where": {"clas": "1"}}, 422, "did you mean 'class'"),
        ({"query": {"id": "FIRST"}, "where": {"class": {"min": 3}}}, 422, "where"),
        ({"query": {"id": "FIRST"}, "where": {"class": ["a"] * 201}}, 422, "more than 200 values"),
        ({"query": {"id": "FIRST"}, "where": []}, 422, "where is no object"),
        ({"query": {"id": "FIRST"}, "colour": 1}, 422, "unknown 'colour'"),
    ],
)
def test_mistakes_are_told(client, collection, body, status, words):
    if body.get("query") == {"id": "FIRST"}:
        body = body | {"query": {"id": collection.index.ids[0]}}
    answer = client.post("/api/search", json=body)
    assert answer.status_code == status and words in answer.json()["error"]
