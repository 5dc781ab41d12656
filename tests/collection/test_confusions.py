"""Items of other classes that a query is nearest to."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from horosphere.collection import Collection, build, confusions
from horosphere.collection.confusions import negative_shares
from horosphere.config import IndexConfig
from horosphere.errors import InputError
from horosphere.insight import negative_weights


@pytest.fixture(scope="module")
def collection(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("confusions") / "c"
    build(IndexConfig(run.folder, None, folder, workers=0, device="cpu"), progress=False)
    with Collection.open(folder, device="cpu") as opened:
        yield opened


def test_the_nearest_of_other_classes_under_each_geometry(collection):
    index, space = collection.index, collection.space
    ids, points = index.ids, index.points().double()
    classes = np.array([item["class"] for item in index.metadata()])
    found = confusions(collection, points[7], k=6)
    assert found.own_class == classes[7] and list(found.hits) == ["mixture", "sphere", "hyperbolic"]
    own = dict(zip(space.names, zip(space.parts, space.split(points), strict=True), strict=True))
    for name, (part, columns) in {"mixture": (space, points), **own}.items():
        apart = part.distance(columns[7], columns).detach().numpy()
        order = [i for i in np.lexsort((np.arange(len(ids)), apart)) if classes[i] != classes[7]][:6]
        assert found.hits[name].ids[0].tolist() == [ids[i] for i in order]
        expected = np.exp(-apart[order] / 0.2) / np.exp(-apart[order] / 0.2).sum()
        np.testing.assert_allclose(found.weights[name], expected, rtol=1e-9)
    ids = set(found.hits["sphere"].ids[0, :2])
    less = confusions(collection, points[7], k=4, left_out=ids, geometries=["sphere"])
    assert less.hits["sphere"].ids[0].tolist() == found.hits["sphere"].ids[0, 2:].tolist()
    assert less.weights["sphere"].sum() == pytest.approx(1)
    assert f"other classes than {classes[7]}" in found.sentence and "τ = 0.2" in found.sentence


def test_the_class_may_be_told(collection):
    point = collection.index.points([collection.index.ids[7]])[0]
    own = confusions(collection, point).own_class
    other = next(value for value, _ in collection.index.fields()["class"].values if value != own)
    found = confusions(collection, point, other, k=3, geometries=["sphere"])
    nearest = collection.index.metadata(found.hits["sphere"].ids[0].tolist())
    assert list(found.hits) == ["sphere"] and {item["class"] for item in nearest} == {own}
    with pytest.raises(InputError, match="no class 'cat'"):
        confusions(collection, point, "cat")


def test_the_weights_are_shares_of_the_losss_own():
    torch.manual_seed(0)
    import horosphere as hs

    space = hs.Hyperbolic(curvature=0.5)
    points, labels = space(torch.randn(40, 5)).double(), torch.arange(40) % 4
    weights = negative_weights(space, points, labels, 0.3, anchors=[0])[0]
    apart = space.distance(points[0], points)
    nearest = apart.masked_fill(labels == 0, torch.inf).argsort()[:8]
    share = weights[nearest] / weights[nearest].sum()
    np.testing.assert_allclose(negative_shares(apart[nearest].numpy(), 0.3), share, rtol=1e-9)


@given(st.lists(st.floats(0, 1e4), max_size=20), st.floats(1e-3, 10))
def test_shares_are_finite_and_sum_to_one(distances, temperature):
    shares = negative_shares(np.sort(np.array(distances)), temperature)
    assert np.isfinite(shares).all() and (not distances or shares.sum() == pytest.approx(1))


def test_an_item_without_a_class_is_of_no_other_class(run, photos, tmp_path):
    build(IndexConfig(run.folder, photos, tmp_path / "c", workers=0, device="cpu"), progress=False)
    with Collection.open(tmp_path / "c") as collection:
        top = collection.index.points(["top.png"])[0]
        nearest = collection.index.search(top, k=2).ids[0, 1]
        assert confusions(collection, top, left_out={"top.png"}).own_class == nearest.partition("/")[0]
        point = collection.index.points(["cat/01.png"])[0]
        found = confusions(collection, point, k=100)
        assert found.own_class == "cat"
        for hits in found.hits.values():
            assert len(hits.ids[0]) == 6 and all(id.startswith("dog/") for id in hits.ids[0])
        with pytest.raises(InputError, match="nearest item has no class"):
            confusions(collection, collection.index.points(["top.png"])[0])
