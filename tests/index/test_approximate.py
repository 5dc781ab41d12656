import numpy as np
import pytest
import torch

from horosphere.index import Index, approximate
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

SPACES = [Sphere(), Euclidean(), Hyperbolic(), Mixed([Sphere(), Hyperbolic()], [1.0, 3.0])]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Small graphs, and exact search that counts as slow: nothing here depends on a clock."""
    monkeypatch.setattr(approximate, "FEWEST", 500)
    monkeypatch.setattr(approximate, "_SAMPLE", 400)
    monkeypatch.setattr(approximate, "_FEW_BESIDE", 100)
    monkeypatch.setattr(approximate, "_quicker", slow_exact([16, 32, 64, 128, 256]))


def slow_exact(efforts):
    return lambda graph, space, items, exact, queries, k: (10.0, {effort: 0.1 for effort in efforts if effort >= k})


def points_of(space, count, seed=0, columns=16):
    """Clusters of about fifty in few dimensions, with spread norms."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(6, columns, generator=torch.Generator().manual_seed(1))
    centres = torch.randn(count // 50 + 1, 6, generator=generator)
    own = centres[torch.randint(len(centres), (count,), generator=generator)]
    own = (own + 0.4 * torch.randn(count, 6, generator=generator)) @ mix
    return space(own * (0.2 + 0.8 * torch.rand(count, 1, generator=generator)))


def names(start, stop):
    return [f"item {number}" for number in range(start, stop)]


def brute(space, points, queries, k):
    distance = space.distance(queries[:, None].double(), points[None].double()).numpy()
    order = np.lexsort((np.broadcast_to(np.arange(len(points)), distance.shape), distance))[:, :k]
    return order, np.take_along_axis(distance, order, 1)


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def test_the_promise_is_kept(space, storage):
    points, queries = points_of(space, 4060).split([4000, 60])
    index = Index(space, storage=storage)
    index.add(points, names(0, 4000))
    assert index.search(queries, 10).exact and index.recall is None
    index.build()
    hits = index.search(queries, 10)
    assert not hits.exact and index.recall.effort and index.recall.bound >= 0.99
    order, distances = brute(space, points, queries, 10)
    ids = np.array(names(0, 4000))[order]
    same = hits.ids == ids
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(hits.ids, ids, strict=True)]) >= 0.99
    np.testing.assert_allclose(hits.distances[same], distances[same], rtol=1e-12)
    assert (np.diff(hits.distances, axis=1) >= 0).all()
    # What nothing was measured for is exact.
    assert index.search(queries, 101).exact
    assert index.describe()["search"]["sentence"] == index.recall.sentence
