"""What every engine promises, for each engine alike."""

import numpy as np
import pytest
import torch

from horosphere.errors import InputError
from horosphere.evaluation.truth import Truth
from horosphere.index import Index
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

SPACES = [
    Sphere(),
    Euclidean(),
    Hyperbolic(),
    Mixed([Sphere(), Hyperbolic(1.0)], [1.0, 3.0]),
    Mixed([Sphere(), Sphere()], [0.3, 1.0]),
    Mixed([Hyperbolic(0.1), Hyperbolic(1.0), Euclidean()], [1.0, 0.0, 0.5], slices=[(0, 2), (2, 5), (0, 5)]),
]


@pytest.fixture(params=["embedded", "durable"])
def make(request, tmp_path):
    """Makes an index of an engine: make(space, **options)."""
    made = []

    def new(space, **options):
        if request.param == "durable":
            made.append(Index.create(tmp_path / str(len(made)), space, **options))
        else:
            made.append(Index(space, **options))
        return made[-1]

    yield new
    for index in made:
        index.close()


def points_of(space, n=200, dtype=torch.float32):
    """With copies, and points that float32 products cannot tell apart."""
    features = torch.randn(n, 5, generator=torch.Generator().manual_seed(0))
    features[10:20] = features[10]
    features[50:60] = features[50] + 1e-6 * features[60:70]
    features[70] = 0
    return space(features).to(dtype)


def names(n, start=0):
    return [f"item {number}" for number in range(start, start + n)]


def reference(space, points, queries, k):
    """Places and distances of the k nearest of each query, by float64 alone."""
    n, b = len(points), len(queries)
    truth = Truth(space, torch.cat([points.float().to(queries.dtype), queries]))
    pairs = torch.cartesian_prod(torch.arange(n, n + b), torch.arange(n))
    distances = truth.distance(*pairs.unbind(1)).view(b, n).numpy()
    order = np.array([np.lexsort((np.arange(n), row))[:k] for row in distances]).reshape(b, min(k, n))
    return order, np.take_along_axis(distances, order, 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_searches_are_the_order_of_float64(make, space, dtype):
    x, index = points_of(space, dtype=dtype), make(space)
    assert index.add(x, names(200)) == 200
    order, distances = reference(space, x, x.float() if dtype == torch.float16 else x, 12)
    hits = index.search(x, 12)
    assert hits.exact and hits.distances.dtype == np.float64
    assert (hits.ids == np.array(names(200), object)[order]).all()
    assert (hits.distances == distances).all()


def test_the_interface(make):
    space = Hyperbolic()
    x, index = points_of(space), make(space, model="fingerprint", promise=0.95)
    assert len(index) == 0 and index.search(x[:3]).ids.shape == (3, 0)
    metadata = [{"class": "cat" if number % 3 else "dog", "year": number} for number in range(200)]
    assert index.add(x[:150], names(150), metadata[:150]) == 150
    assert index.add(x[150:], names(50, 150), metadata[150:]) == 50
    assert len(index) == 200 and index.ids == names(200) and "item 3" in index and "item 200" not in index
    assert torch.equal(index.points(), x) and torch.equal(index.points(["item 7", "item 2"]), x[[7, 2]])
    assert index.metadata(["item 7", "item 2"]) == [metadata[7], metadata[2]]
    assert index.fields()["class"].values == [("cat", 133), ("dog", 67)] and index.fields()["year"].high == 199
    assert index.search(x[0], 1000).ids.shape == (1, 200)
    assert index.remove(["item 5", "item 1"]) == 2 and "item 5" not in index and len(index) == 198
    assert index.add(x[:3], ["item 0", "new", "item 9"], duplicates="skip") == 1
    assert index.add(x[:2], ["item 0", "newer"], duplicates="replace") == 2
    assert index.ids[-3:] == ["new", "item 0", "newer"]
    with pytest.raises(InputError, match="in the index already"):
        index.add(x[:1], ["new"])


def test_weights_are_those_of_the_mixture_so_weighted(make):
    space = Mixed([Sphere(), Hyperbolic(1.0)], [1.0, 3.0])
    x, index = points_of(space), make(space)
    index.add(x, names(200))
    for weights in [(1, 0), (0, 1), (0.2, 5)]:
        order, distances = reference(Mixed([Sphere(), Hyperbolic(1.0)], weights), x, x[:40], 9)
        hits = index.search(x[:40], 9, weights=weights)
        assert (hits.ids == np.array(names(200), object)[order]).all() and (hits.distances == distances).all()
