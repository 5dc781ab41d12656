"""The exact search equals float64 alone, whatever the data; and the bound that it stands on is one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from horosphere.evaluation.scores import excess
from horosphere.index import Index, exact
from horosphere.index.items import Items
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

from .test_engines import reference

FAR = Hyperbolic(1.0, clip=None)
SPACES = [
    Sphere(),
    Euclidean(),
    Hyperbolic(),
    FAR,
    Mixed([Sphere(), Hyperbolic(1.0)], [1.0, 3.0]),
    Mixed([Sphere(), Sphere()], [0.3, 1.0]),
    Mixed([Sphere(), FAR, Euclidean()], [0.0, 2.0, 0.5]),
    Mixed([Hyperbolic(0.1), Hyperbolic(1.0), Euclidean(), Sphere()], [1.0, 0.2, 0.5, 7.0]),
]


def items_of(space, points):
    n = len(points)
    return Items.of(space, np.arange(1, n + 1), [str(number) for number in range(n)], points.numpy())


def agree(space, points, queries, k, places=None):
    searched = points if places is None else points[torch.from_numpy(places)]
    found, distances = exact.search(items_of(space, points), space, queries, k, places)
    order, away = reference(space, searched, queries, k)
    assert (found == (order if places is None else places[order])).all()
    assert (distances == away).all()


@st.composite
def data(draw):
    """Points and queries of any space: spread, in clumps closer than float32 tells apart, copied, at zero, and far out."""
    space = draw(st.sampled_from(SPACES))
    n, d, seed = draw(st.integers(1, 80)), draw(st.sampled_from([1, 2, 5, 33])), draw(st.integers(0, 2**16))
    g = torch.Generator().manual_seed(seed)
    features = torch.randn(n, d, generator=g)
    kind = draw(st.sampled_from(["spread", "clumps", "copies", "far", "tiny", "line"]))
    if kind == "clumps":
        features = features[:3].repeat(n, 1)[:n] + draw(st.sampled_from([1e-3, 1e-6, 1e-8])) * features
    elif kind == "copies":
        features = features[torch.randint(0, min(n, 4), (n,), generator=g)]
    elif kind == "far":
        features = features / features.norm(dim=1, keepdim=True).clamp_min(1e-9)
        features *= 8 * torch.rand(n, 1, generator=g).sqrt()
    elif kind == "tiny":
        features = features * draw(st.sampled_from([1e-6, 1e-19, 1e-23, 1e-38]))
    elif kind == "line":
        features = features[:1] * torch.linspace(-1, 1, n)[:, None]
    features[n // 2] *= draw(st.sampled_from([0.0, 1.0]))
    dtype = draw(st.sampled_from([torch.float16, torch.float32, torch.float64]))
    points = space(features).to(dtype).float()
    queries = torch.cat([points[: draw(st.integers(0, 8))].double(), space(torch.randn(3, d, generator=g).double())])
    return space, points, queries.to(draw(st.sampled_from([torch.float32, torch.float64])))


@settings(max_examples=150, deadline=None)
@given(data(), st.integers(1, 90), st.booleans())
def test_every_search_is_that_of_float64(given_data, k, some):
    space, points, queries = given_data
    places = np.flatnonzero(np.random.default_rng(k).random(len(points)) < 0.5) if some else None
    agree(space, points, queries, k, places)


@settings(max_examples=100, deadline=None)
@given(data())
def test_the_bound_is_below_what_float64_gives(given_data):
    space, points, queries = given_data
    bounds = exact._Bounds(items_of(space, points), space, queries, None)
    bounds.tile = len(queries)
    bounds._memory = [torch.empty(len(queries), len(points)) for _ in range(2)]
    low = bounds(slice(0, len(queries))).double()
    for number, (row, query) in enumerate(zip(low, queries, strict=True)):
        assert (row <= bounds.limit(space.distance(query.double(), points.double()), slice(number, number + 1))).all()


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_tiles_shares_and_paths_do_not_change_what_is_found(space, monkeypatch):
    features = torch.randn(300, 6, generator=torch.Generator().manual_seed(1))
    features[40:90] = features[40]
    points = space(features)
    queries = points[30:60]
    monkeypatch.setattr(exact, "_TILE", 2000)
    for few in (0, 100):
        monkeypatch.setattr(exact, "_FEW", few)
        agree(space, points, queries, 20)
        for share in (1.0, 0.0):
            monkeypatch.setattr(exact, "_SHARE", share)
            agree(space, points, queries, 20, np.arange(0, 300, 7))


def test_copies_across_the_border_of_k_come_in_order():
    space = Mixed([Sphere(), Hyperbolic()], [1.0, 3.0])
    points = space(torch.randn(5, 8)).repeat(40, 1)
    agree(space, points, points[:5], 60)


def test_points_beyond_the_range_of_float32_products():
    features = torch.randn(60, 4, generator=torch.Generator().manual_seed(2))
    points = features / features.norm(dim=1, keepdim=True) * torch.linspace(0, 21, 60)[:, None]
    for space, own in ((FAR, points), (Mixed([FAR, Euclidean()], [1.0, 0.1]), torch.cat([points, points], 1))):
        agree(space, own, own, 7)
        agree(space, own, own[:2], 7)


def normal(n, columns, seed=0):
    return torch.randn(n, columns, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [1e-19, 1e-23, 1e-30, 1e-38])
def test_points_below_the_range_of_float32_products(size):
    points, queries = normal(2000, 16) * size, normal(5, 16, 1) * size
    for space in (Euclidean(), FAR):
        agree(space, points, queries, 5)
    # Tiny in one part: far less than what is told apart in the other, but of copies there it decides.
    space = Mixed([FAR, Euclidean()], [1.0, 3.0])
    for other in (normal(2000, 16, 2), normal(1, 16, 2).expand(2000, 16)):
        own = torch.cat([other, points], 1)
        agree(space, own, torch.cat([other[:5], queries], 1), 5)


def test_points_whose_keys_are_no_numbers_prove_nothing():
    """Beyond √c‖v‖ of 355 the lift ends in float64 too; such points come with others, before them and after them."""
    points = normal(300, 8) * 0.1
    points[-5:] *= torch.tensor([100, 340, 360, 400, 900])[:, None] / points[-5:].norm(dim=1, keepdim=True)
    first, rest = items_of(FAR, points[:250]), Items.of(FAR, np.arange(251, 301), ["x"] * 50, points[250:].numpy())
    assert first.keys[0].largest < 100
    whole = first.with_more(rest)
    assert whole.keys[0].largest == np.inf
    for k in (3, 296, 299):
        order, away = reference(FAR, points, points[:4], k)
        found, distances = exact.search(whole, FAR, points[:4], k)
        assert (found == order).all() and np.array_equal(distances, away, equal_nan=True)


@pytest.mark.parametrize("weights", [(1e300, 1.0), (1e308, 1e308), (1e-320, 2e-320), (1e-40, 1.0), (1e-320, 0.0)])
def test_weights_at_the_ends_of_the_range(weights):
    space = Mixed([Sphere(), Hyperbolic()], [1.0, 1.0])
    points = space(normal(300, 6))
    other = Mixed([Sphere(), Hyperbolic()], weights)
    order, away = reference(other, points, points[:9], 7)
    found, distances = exact.search(items_of(space, points), other, points[:9], 7)
    assert (found == order).all() and (distances == away).all()


def test_a_bound_that_proves_most_searches():
    """A proof that always failed would be right, and slow."""
    space = Hyperbolic()
    points = space(torch.randn(3000, 32, generator=torch.Generator().manual_seed(3)))
    measured = []
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        real = exact.rerank
        patch.setattr(exact, "rerank", lambda *given: measured.append(given[3].shape) or real(*given))
        exact.search(items_of(space, points), space, points[:50], 10)
    assert measured == [(50, 16)]


def test_what_a_space_has_learned_is_settled():
    learned = Mixed([Sphere(), Hyperbolic(0.5, learnable_curvature=True)], [1.0, 2.0], learnable_weights=True)
    with torch.no_grad():
        learned.log_weights += torch.tensor([0.3, -0.2])
        learned.parts[1].log_curvature += 0.4
    points = learned(torch.randn(90, 4)).detach()
    index = Index(learned)
    index.add(points, [str(number) for number in range(90)])
    hits = index.search(points[:20], 8)
    order, distances = reference(index.space, points, points[:20], 8)
    assert (hits.ids.astype(int) == order).all() and (hits.distances == distances).all()
    assert np.allclose(distances[:, 0], 0) and index.space.weights == pytest.approx(learned.weights)
    assert index.space.parts[1].curvature == pytest.approx(learned.parts[1].curvature)
    expected = learned.distance(points[:20, None], points[torch.from_numpy(order)]).detach()
    assert torch.allclose(torch.from_numpy(distances).float(), expected, atol=1e-5)


def test_the_excess_turns_back_into_the_distance():
    for part, distance in ((Hyperbolic(0.3), lambda e: torch.acosh(1 + e) / 0.3**0.5), (Euclidean(), torch.sqrt)):
        away = torch.tensor([0.5, 3.0], dtype=torch.float64)
        assert torch.allclose(distance(excess(part, away)), away)


def test_growing_and_shrinking_keep_the_keys(monkeypatch):
    space = Mixed([Sphere(), Hyperbolic()], [1.0, 3.0])
    points = space(torch.randn(100, 5))
    first = items_of(space, points[:10])
    assert exact.search(first, space, points[:2], 3)[0].shape == (2, 3)
    pictures, items = [first], first
    for start in range(10, 100, 10):
        more = Items.of(space, np.arange(start + 1, start + 11), ["x"] * 10, points[start : start + 10].numpy())
        items = items.with_more(more)
        pictures.append(items)
    # A branch from an older picture, which must not write into the memory of the newer ones.
    pictures[3].with_more(items_of(space, points[:10]))
    pictures.append(items.without(np.array([3, 50, 100])))
    for picture in pictures:
        fresh = Items.of(space, picture.rows, picture.ids.tolist(), picture.points.numpy())
        assert all(torch.equal(a.matrix, b.matrix) for a, b in zip(picture.keys, fresh.keys, strict=True))
        rows = picture.rows - 1
        assert torch.equal(picture.points, points[torch.from_numpy(rows)])
        found, distances = exact.search(picture, space, points[:5], 7)
        order, away = reference(space, points[torch.from_numpy(rows)], points[:5], 7)
        assert (found == order).all() and (distances == away).all()
