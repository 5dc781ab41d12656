import numpy as np
import pytest
import torch

from horosphere.errors import InputError
from horosphere.evaluation import LabelTree, hierarchical_retrieval, nearest
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

SPACES = [Sphere(), Euclidean(), Hyperbolic(), Mixed([Sphere(), Hyperbolic(1.0)], [1.0, 3.0])]


def points_of(space, dtype=torch.float32):
    features = torch.randn(120, 5, generator=torch.Generator().manual_seed(0))
    features[10:20] = features[10]  # copies, and points that float32 products cannot tell apart
    features[50:60] = features[50] + 1e-6 * features[60:70]
    return space(features).to(dtype)


def reference(space, x, query, gallery, k):
    others = gallery[gallery != query]
    d = space.distance(x[query].double(), x[torch.from_numpy(others)].double()).numpy()
    return others[np.lexsort((others, d))[:k]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
@pytest.mark.parametrize("split", [None, (np.arange(70)[::-1].copy(), np.arange(40, 120))])
def test_nearest_is_the_order_of_float64(space, dtype, split):
    queries, gallery = split or (np.arange(120), np.arange(120))
    x, seen = points_of(space, dtype), []
    for asked, found in nearest(x, space, 7, queries=queries, gallery=gallery):
        seen += asked.tolist()
        for query, row in zip(asked, found, strict=True):
            assert row.tolist() == reference(space, x, int(query), gallery, 7).tolist()
    assert sorted(seen) == sorted(queries.tolist())


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
@pytest.mark.parametrize("split", [None, (np.arange(70)[::-1].copy(), np.arange(40, 120))])
def test_with_labels_the_own_class_is_left_out(space, split, monkeypatch):
    monkeypatch.setattr(__import__(nearest.__module__, fromlist=["_SIDE"]), "_SIDE", 16)
    labels, x, seen = np.random.default_rng(0).integers(-3, 3, 120), points_of(space), []
    queries, gallery = split or (np.arange(120), np.arange(120))
    for asked, found in nearest(x, space, 5, labels=labels, queries=queries, gallery=gallery):
        seen += asked.tolist()
        for query, row in zip(asked, found, strict=True):
            others = gallery[labels[gallery] != labels[query]]
            assert row.tolist() == reference(space, x, int(query), others, 5).tolist()
    assert sorted(seen) == sorted(queries.tolist())


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_one_query_whose_class_the_gallery_lacks(space):
    x, others = points_of(space), np.setdiff1d(np.arange(120), [70])
    ((asked, found),) = nearest(x, space, 3, queries=[70], gallery=others)
    assert asked.tolist() == [70] and found[0].tolist() == reference(space, x, 70, others, 3).tolist()


def test_labels_that_leave_too_little_are_refused():
    with pytest.raises(InputError, match="expected 1 to 20, a query's own class left out"):
        nearest(points_of(Sphere()), Sphere(), 21, labels=(np.arange(120) >= 20).astype(int))
    with pytest.raises(InputError, match="120 points but 9 labels"):
        nearest(points_of(Sphere()), Sphere(), 1, labels=np.arange(9))


def test_blocks_do_not_change_what_is_nearest(monkeypatch):
    from horosphere.evaluation import nearest as function

    module = __import__(function.__module__, fromlist=["_SIDE"])
    space = Hyperbolic()
    x = points_of(space)
    whole = np.concatenate([found for _, found in nearest(x, space, 5)])
    monkeypatch.setattr(module, "_SIDE", 32)
    monkeypatch.setattr(module, "_GROUP", 64)
    parts = list(nearest(x, space, 5))
    assert len(parts) == 2 and (np.concatenate([found for _, found in parts]) == whole).all()


def test_too_many_neighbours_are_refused():
    with pytest.raises(InputError, match="expected 1 to 119"):
        nearest(points_of(Sphere()), Sphere(), 120)


TREE = LabelTree.of_superclasses("abcdef", ["x", "x", "x", "y", "y", "z"])


@pytest.mark.parametrize("split", [None, (np.arange(70), np.arange(40, 120))])
def test_hierarchical_distance_and_precision_equal_their_definitions(split):
    space, labels, ks = Hyperbolic(), np.arange(120) % 6, (1, 4, 30)
    x = points_of(space)
    queries, gallery = split or (np.arange(120), np.arange(120))
    found = hierarchical_retrieval(x, labels, space, TREE, ks, queries=queries, gallery=gallery, bootstrap=50)
    distance, precision, best, chance, severity, foreign = [], [], [], [], [], []
    for query in queries:
        own = labels[query]
        near = TREE.distance(own, labels[reference(space, x, query, gallery, 30)])
        every = np.sort(TREE.distance(own, labels[gallery[gallery != query]]))
        distance.append([near[:k].mean() for k in ks])
        precision.append([(1 - near[:k]).sum() / (1 - every[:k]).sum() for k in ks])
        best.append([every[:k].mean() for k in ks])
        chance.append(every.mean())
        if near[0] > 0:
            severity.append(near[0])
            foreign.append(every[every > 0].mean())
    assert list(found.distance.values()) == pytest.approx(np.mean(distance, 0))
    assert list(found.precision.values()) == pytest.approx(np.mean(precision, 0))
    assert list(found.best.values()) == pytest.approx(np.mean(best, 0)) and found.chance == pytest.approx(np.mean(chance))
    assert found.severity == pytest.approx(np.mean(severity)) and found.chance_severity == pytest.approx(np.mean(foreign))
    assert found.mistakes == len(severity) and found.queries == len(queries) and found.gallery == len(gallery)
    for name, value in (
        ("distance@4", found.distance[4]),
        ("precision@30", found.precision[30]),
        ("severity", found.severity),
    ):
        low, high = found.intervals[name]
        assert low <= value <= high
    assert set(found.to_dict()) >= {"distance", "precision", "severity", "chance", "best", "intervals"}


def test_classes_in_clusters_make_no_mistake():
    labels = np.arange(60) % 6
    x = torch.eye(6)[torch.from_numpy(labels)] + 1e-3 * torch.randn(60, 6)
    found = hierarchical_retrieval(Sphere()(x), labels, Sphere(), TREE, (1, 9), bootstrap=0)
    assert found.distance == {1: 0, 9: 0} and found.precision == {1: 1, 9: 1} and found.severity is None
    assert found.intervals == {} and found.best == {1: 0, 9: 0}


def test_where_no_order_is_better_than_another_every_order_is_the_best():
    tree = LabelTree.of_superclasses(list("abcd"), [("x",), ("x",), ("y",), ("y",)])
    labels = np.array([0, 0, 2, 2, 3, 3])
    found = hierarchical_retrieval(
        points_of(Sphere())[:6], labels, Sphere(), tree, (1, 2), queries=[0, 2], gallery=[3, 4, 5], bootstrap=20
    )
    assert found.per_query["precision"][0].tolist() == [1, 1] and found.distance[1] >= 0.5
    assert found.intervals["precision@2"][1] == 1


def test_labels_that_are_no_classes_of_the_tree_are_refused():
    with pytest.raises(InputError, match="from 0 to 5"):
        hierarchical_retrieval(points_of(Sphere()), np.full(120, 6), Sphere(), TREE)
