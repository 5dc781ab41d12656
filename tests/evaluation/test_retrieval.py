import json
import subprocess
import sys
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from horosphere.errors import InputError
from horosphere.evaluation import evaluate_retrieval, ranks, retrieval, scores, truth
from horosphere.evaluation.scores import Gallery, Scores
from horosphere.evaluation.truth import Truth
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Space, Sphere

from . import reference

SPACES = {
    "sphere": lambda: Sphere(),
    "euclidean": lambda: Euclidean(),
    "hyperbolic": lambda: Hyperbolic(),
    "curved": lambda: Hyperbolic(4.0, clip=None),
    "flat": lambda: Hyperbolic(1e-6),
    "learned": lambda: Hyperbolic(0.3, learnable_curvature=True),
    "spheres": lambda: Mixed([Sphere(), Sphere()], [1.0, 2.5]),
    "one part": lambda: Mixed([Sphere(), Hyperbolic()], [0.0, 3.0]),
    "mixed": lambda: Mixed([Sphere(), Hyperbolic(), Euclidean()], [1.0, 3.0, 0.5]),
    "learned mixture": lambda: Mixed([Sphere(), Hyperbolic(1.0)], [1.0, 2.0], learnable_weights=True),
    "two curvatures": lambda: Mixed([Hyperbolic(0.05), Hyperbolic(2.0, clip=1.0)], [1.0, 0.3]),
}
KS = (1, 2, 4)


def agrees(report, expected, labels):
    np.testing.assert_array_equal(report.per_query["index"], expected["index"])
    np.testing.assert_array_equal(report.per_query["label"], np.asarray(labels)[expected["index"]])
    np.testing.assert_array_equal(report.per_query["rank"], expected["rank"])
    assert report.recall == expected["recall"]
    assert (report.queries, report.skipped) == (len(expected["index"]), expected["skipped"])
    if report.map_at_r is not None:
        for name in ("average_precision", "r_precision"):
            np.testing.assert_allclose(report.per_query[name], expected[name], rtol=1e-14)
        np.testing.assert_array_equal(report.per_query["nearest"], expected["nearest"])
        np.testing.assert_allclose(report.map_at_r, np.mean(expected["average_precision"]), rtol=1e-13)
        np.testing.assert_allclose(report.r_precision, np.mean(expected["r_precision"]), rtol=1e-13)


def same_report(a, b):
    assert a == b
    for name in a.per_query:
        np.testing.assert_array_equal(a.per_query[name], b.per_query[name])


def hard_points(space, n, d, kind, generator):
    """Points whose distances are ordinary, tied, duplicated, or apart by less than float32 can see."""
    features = torch.randn(n, d, generator=generator, dtype=torch.float64)
    if kind == "grid":
        features = features.mul(1.5).round()
    if kind == "duplicates":
        features = features[torch.randint(max(1, n // 3), (n,), generator=generator)]
    if kind == "near ties":
        features = features[torch.randint(max(1, n // 4), (n,), generator=generator)]
        features = features + 1e-7 * torch.randn(n, d, generator=generator, dtype=torch.float64)
    if kind == "identical":
        features = features[:1].expand(n, -1)
    if kind == "zeros":
        features = features * (torch.rand(n, 1, generator=generator) < 0.5)
    points = space(features).detach()
    return points if kind == "near ties" else points.float()


@given(
    name=st.sampled_from(sorted(SPACES)),
    seed=st.integers(0, 10_000),
    n=st.integers(3, 14),
    d=st.integers(1, 5),
    classes=st.integers(1, 6),
    kind=st.sampled_from(["plain", "grid", "duplicates", "near ties", "identical", "zeros", "half", "bfloat16"]),
    split=st.booleans(),
    block=st.sampled_from([None, 1, 3]),
)
@settings(max_examples=120, deadline=None)
def test_equals_the_plain_restatement(name, seed, n, d, classes, kind, split, block):
    space = SPACES[name]()
    generator = torch.Generator().manual_seed(seed)
    points = hard_points(space, n, d, kind, generator)
    if kind in ("half", "bfloat16"):
        points = points.half() if kind == "half" else points.bfloat16()
    labels = torch.randint(classes, (n,), generator=generator) * 7 - 3
    queries = gallery = None
    if split:
        queries, gallery = (torch.randperm(n, generator=generator)[: max(2, (2 * n) // 3)] for _ in range(2))
    chosen = range(n) if gallery is None else gallery.tolist()
    asked = range(n) if queries is None else queries.tolist()
    if not any(labels[q] == labels[g] and q != g for q in asked for g in chosen):
        with pytest.raises(InputError, match="another image of its class"):
            evaluate_retrieval(points, labels, space, KS, queries=queries, gallery=gallery)
        return
    evaluate = partial(
        evaluate_retrieval, points, labels, space, KS, queries=queries, gallery=gallery, block=block, bootstrap=0
    )
    report = evaluate()
    agrees(report, reference.evaluate(space, points, labels, KS, queries, gallery), labels)
    alone = evaluate(map_at_r=False)
    np.testing.assert_array_equal(alone.per_query["rank"], report.per_query["rank"])
    assert alone.map_at_r is None and alone.recall == report.recall


@pytest.mark.parametrize("name", sorted(SPACES))
def test_the_error_bound_of_scores_holds(name):
    space = SPACES[name]()
    features = torch.randn(300, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    features = features * torch.logspace(-3, 0, 300, dtype=torch.float64)[:, None]
    features[100:200] = features[:100] * (1 + 1e-4)
    points = space(features).detach().float()
    every = torch.arange(300)
    exactly = Truth(space, points)
    gallery = Gallery(exactly.space, points, every, 300)
    found = Scores(gallery, every)
    block = found.tile(slice(0, 300), 300, gallery.keys(slice(0, 300)), torch.empty(300 * 300))
    i, j = every.repeat_interleave(300), every.repeat(300)
    exact = found.of_distance(exactly.distance(i, j)).view(300, 300)
    error = (block.double() - exact).abs()
    known = ~error.isnan()
    assert (error <= found.tolerance[:, None])[known].all()
    assert known.all() if found.is_product else known.float().mean() > 0.3
    # Exact scores rank as exact distances do.
    d = exactly.distance(i, j).view(300, 300)
    order = d.argsort(1)
    steps = exact.gather(1, order).diff(dim=1)
    assert (steps <= 1e-9 * exact.abs().amax(1, keepdim=True)).all()


def clusters(space, n=1500, d=16, classes=300, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=generator)
    centres = torch.randn(classes, d, generator=generator)
    features = (centres[labels] + torch.randn(n, d, generator=generator)) * (
        0.2 + 0.5 * torch.rand(n, 1, generator=generator)
    )
    return space(features).detach(), labels


@pytest.mark.parametrize("name", sorted(SPACES))
def test_larger_sets_equal_a_sort_of_all_float64_distances(name):
    space = SPACES[name]()
    points, labels = clusters(space, n=600, classes=90)
    points[::7] = points[5]  # a crowd of duplicates over many classes
    report = evaluate_retrieval(points, labels, space, KS, bootstrap=0)
    exactly = Truth(space, points)
    every = torch.arange(600)
    d = exactly.distance(every.repeat_interleave(600), every.repeat(600)).view(600, 600).numpy()
    for place, query in enumerate(report.per_query["index"]):
        rank, precision, r_precision, nearest = reference.one_query(d, labels.tolist(), query, range(600))
        assert report.per_query["rank"][place] == rank
        assert report.per_query["average_precision"][place] == pytest.approx(precision, rel=1e-14)
        assert report.per_query["r_precision"][place] == r_precision
        assert report.per_query["nearest"][place] == nearest


@pytest.mark.parametrize("name", ["sphere", "euclidean", "hyperbolic", "mixed"])
def test_block_and_threads_change_nothing(name):
    space = SPACES[name]()
    points, labels = clusters(space)
    points = points.half()
    report = evaluate_retrieval(points, labels, space)
    for block in (16, 100, 1000, 5000):
        same_report(evaluate_retrieval(points, labels, space, block=block), report)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        same_report(evaluate_retrieval(points, labels, space), report)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", sorted(SPACES))
def test_a_gpu_changes_nothing(name):
    space = SPACES[name]()
    points, labels = clusters(space)
    same_report(evaluate_retrieval(points.cuda(), labels, space.cuda()), evaluate_retrieval(points, labels, space.cpu()))


def test_reduced_precision_settings_change_nothing():
    space = Hyperbolic()
    points, labels = clusters(space)
    report = evaluate_retrieval(points, labels, space)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", torch.bfloat16):
            same_report(evaluate_retrieval(points, labels, space), report)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_ties_that_float32_cannot_see():
    """Negatives 1e-7 nearer or further than the positive: float32 ranks by its rounding, float64 knows."""
    generator = torch.Generator().manual_seed(3)
    space = Euclidean()
    queries = torch.randn(40, 32, generator=generator, dtype=torch.float64)
    step = torch.randn(40, 32, generator=generator, dtype=torch.float64)
    step = step / step.norm(dim=1, keepdim=True)
    offsets = 1 + 1e-7 * torch.randn(40, 4, generator=generator, dtype=torch.float64)
    others = queries[:, None] + step[:, None] * offsets[:, :, None]
    points = torch.cat([queries, others.flatten(0, 1)])
    labels = torch.cat([torch.arange(40), torch.arange(160).add(1000)])
    labels[40::4] = torch.arange(40)  # the first of each query's four is its positive
    report = evaluate_retrieval(points, labels, space, queries=torch.arange(40), bootstrap=0)
    expected = (offsets[:, 1:] < offsets[:, :1]).sum(1).numpy()
    np.testing.assert_array_equal(report.per_query["rank"], expected)
    naive = space.pairwise(points[:40].float(), points.float())
    rows = torch.arange(40)
    positive = naive[rows, 40 + 4 * rows]
    guessed = (naive[:, 40:].view(40, 40, 4)[rows, rows][:, 1:] < positive[:, None]).sum(1)
    assert (guessed.numpy() != expected).any()


def test_an_exact_duplicate_of_another_class_is_a_tie():
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    report = evaluate_retrieval(x, [0, 0, 1, 1], Euclidean(), ks=(1,), bootstrap=0)
    np.testing.assert_array_equal(report.per_query["rank"], [0, 0, 2, 0])
    np.testing.assert_array_equal(report.per_query["average_precision"], [1, 1, 0, 1])
    np.testing.assert_array_equal(report.per_query["nearest"], [1, 0, 0, 2])


@pytest.mark.parametrize("classes", [1, 10])
@pytest.mark.parametrize("name", ["sphere", "hyperbolic", "mixed"])
def test_identical_points_are_all_hits(name, classes, monkeypatch):
    monkeypatch.setattr(ranks, "_PAIRS", 4096)
    space = SPACES[name]()
    points = space(torch.ones(200, 4))
    report = evaluate_retrieval(points, torch.arange(200) % classes, space, bootstrap=20)
    assert report.recall[1] == report.map_at_r == report.r_precision == 1
    assert report.intervals["recall@1"] == (1, 1)


def test_in_shop_by_hand():
    """Queries 0–2 against gallery 3–7, on a line: the published rule counts other classes strictly nearer."""
    x = torch.tensor([[0.0], [10.0], [20.0], [1.0], [-0.5], [13.0], [11.0], [9.5]])
    labels = torch.tensor([7, 8, 9, 7, 8, 8, 7, 8])
    report = evaluate_retrieval(x, labels, Euclidean(), ks=(1, 2), queries=[0, 1, 2], gallery=[3, 4, 5, 6, 7], bootstrap=0)
    # Query 0: class 8 at 0.5, then its own at 1. Query 1: own at 0.5, other at 1, own at 3. Query 2 has no item.
    np.testing.assert_array_equal(report.per_query["index"], [0, 1])
    np.testing.assert_array_equal(report.per_query["rank"], [1, 0])
    assert report.recall == {1: 0.5, 2: 1.0}
    assert (report.queries, report.skipped, report.gallery, report.classes) == (2, 1, 5, 2)
    # R = 2 for query 0: hit at place 2. R = 3 for query 1: hits at 1 and 3.
    np.testing.assert_allclose(report.per_query["average_precision"], [1 / 2 / 2, (1 + 2 / 3) / 3])
    np.testing.assert_allclose(report.per_query["r_precision"], [1 / 2, 2 / 3])
    np.testing.assert_array_equal(report.per_query["nearest"], [4, 7])


def test_agrees_with_the_published_top_k_rule():
    """CUB's rule: the K nearest by topk, the query itself left out, hold one of its class."""
    points, labels = clusters(Sphere(), n=800, classes=60)
    report = evaluate_retrieval(points, labels, Sphere(), ks=(1, 2, 4, 8), map_at_r=False, bootstrap=0)
    cosine = points.double() @ points.double().T
    cosine.fill_diagonal_(-2)
    order = cosine.topk(8).indices
    judged = torch.from_numpy(report.per_query["index"])
    for k, recall in report.recall.items():
        hit = (labels[order[:, :k]] == labels[:, None]).any(1)
        assert recall == hit[judged].double().mean()


class _Unknown(Euclidean):
    """A space that this room has no lift for."""


def test_a_space_of_another_kind_and_norms_beyond_float32_are_measured_in_float64(monkeypatch):
    points, labels = clusters(Euclidean(), n=200, classes=40)
    report = evaluate_retrieval(points, labels, Euclidean())
    monkeypatch.setattr(scores, "_known", lambda space: False)
    same_report(evaluate_retrieval(points, labels, _Unknown()), report)
    monkeypatch.undo()
    assert isinstance(_Unknown(), Space)
    far = points.double() * 1e30
    same_report(evaluate_retrieval(far, labels, Euclidean()), evaluate_retrieval(points.double(), labels, Euclidean()))


def test_one_pair_has_one_distance_wherever_it_stands():
    space = SPACES["mixed"]()
    points = space(torch.randn(500, 5, generator=torch.Generator().manual_seed(0))).detach()
    exactly, copies = Truth(space, points), Truth(space, points.repeat(2, 1))
    assert exactly.first_copy is None and copies.first_copy.max() == 499
    i, j = torch.randint(500, (2, 3001), generator=torch.Generator().manual_seed(1))
    together = exactly.distance(i, j)
    assert torch.equal(together, copies.distance(i + 500, j))
    for size in (1, 3, 17, 1000):
        assert torch.equal(
            together, torch.cat([exactly.distance(*p) for p in zip(i.split(size), j.split(size), strict=True)])
        )
    torch.testing.assert_close(together, space.distance(points[i].double(), points[j].double()), rtol=1e-15, atol=0)


def test_long_lists_and_short_galleries():
    """Few huge classes: R beyond the grouped search; and a gallery of one."""
    space = Hyperbolic()
    points, labels = clusters(space, n=700, classes=2)
    report = evaluate_retrieval(points, labels, space, bootstrap=0)
    exactly = Truth(space, points)
    every = torch.arange(700)
    for place in (0, 350, 699):
        d = np.zeros((700, 700))
        d[place] = exactly.distance(torch.full((700,), place), every).numpy()
        _, precision, r_precision, _ = reference.one_query(d, labels.tolist(), place, range(700))
        assert report.per_query["average_precision"][place] == pytest.approx(precision, rel=1e-14)
        assert report.per_query["r_precision"][place] == r_precision
    alone = evaluate_retrieval(points, labels, space, queries=[0], gallery=[int((labels == labels[0]).nonzero()[1])])
    assert alone.recall[1] == alone.map_at_r == 1


def test_the_report():
    space = Hyperbolic()
    points, labels = clusters(space)
    report = evaluate_retrieval(points.numpy(), labels.numpy(), space, ks=[4, 1, 4], progress=True)
    assert list(report.recall) == [1, 4] and set(report.intervals) == {"recall@1", "recall@4", "map_at_r", "r_precision"}
    for name, value in report.metrics().items():
        low, high = report.intervals[name]
        assert 0 <= low < value < high <= 1
    assert report.recall[1] == (report.per_query["rank"] < 1).mean()
    assert report.map_at_r == report.per_query["average_precision"].mean()
    assert report.r_precision == report.per_query["r_precision"].mean()
    assert report.r_precision >= report.map_at_r
    # The nearest item is of the query's class exactly where no other class is strictly nearer.
    hit = labels.numpy()[report.per_query["nearest"]] == report.per_query["label"]
    np.testing.assert_array_equal(hit, report.per_query["rank"] == 0)
    assert json.loads(json.dumps(report.to_dict()))["recall@1"] == report.recall[1]
    text = str(report)
    assert "Recall@1" in text and "MAP@R" in text and f"{report.queries:,} queries" in text
    same_report(evaluate_retrieval(points, labels, space, ks=[1, 4]), report)
    assert evaluate_retrieval(points, labels, space, ks=[1, 4], seed=1).intervals != report.intervals
    assert evaluate_retrieval(points, labels, space, bootstrap=0).intervals == {}


X = torch.nn.functional.normalize(torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), dim=1)
Y = torch.tensor([0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": X * 3}, "space\\(features\\)"),
        ({"points": X * torch.nan}, "NaN"),
        ({"points": X[0]}, "matrix"),
        ({"points": torch.ones(6, 3, dtype=torch.int64)}, "floating-point"),
        ({"labels": Y[:5]}, "6 points but 5 labels"),
        ({"labels": Y.double()}, "labels are torch.float64"),
        ({"labels": Y[:, None]}, "vector of integers"),
        ({"labels": torch.arange(6)}, "another image of its class"),
        ({"ks": ()}, "ks="),
        ({"ks": (0, 1)}, "ks="),
        ({"ks": (1.5,)}, "ks="),
        ({"queries": [0, 6]}, "indices into 6 points"),
        ({"queries": [-1]}, "indices into 6 points"),
        ({"gallery": [0, 0]}, "repeats"),
        ({"gallery": torch.ones(6, dtype=torch.bool)}, "gallery are torch.bool"),
        ({"queries": np.array([], np.int64)}, "queries is empty"),
        ({"queries": [0], "gallery": [0, 2]}, "another image of its class"),
        ({"block": 0}, "block=0"),
        ({"bootstrap": -1}, "bootstrap=-1"),
    ],
)
def test_errors_teach(change, message):
    with pytest.raises(InputError, match=message):
        evaluate_retrieval(**{"points": X, "labels": Y, "space": Sphere()} | change)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("map_at_r", [False, True])
def test_a_memory_mapped_file_is_judged_as_the_float64_values_it_holds(tmp_path, dtype, map_at_r):
    space = SPACES["mixed"]()
    points, labels = clusters(space, n=400, classes=70)
    np.save(tmp_path / "points.npy", points.numpy().astype(dtype))
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = evaluate_retrieval(mapped, labels, space, map_at_r=map_at_r)
    same_report(report, evaluate_retrieval(np.array(mapped, np.float64), labels, space, map_at_r=map_at_r))


@pytest.mark.parametrize("name", ["hyperbolic", "mixed"])
def test_groups_of_queries_and_lifts_made_again_change_nothing(name, monkeypatch):
    space = SPACES[name]()
    points, labels = clusters(space, n=700, classes=150)
    expected = [evaluate_retrieval(points, labels, space, map_at_r=map_at_r) for map_at_r in (True, False)]
    monkeypatch.setattr(retrieval, "_GROUP", 2**16)
    monkeypatch.setattr(scores, "_KEPT", 0)
    monkeypatch.setattr(ranks, "_PENDING", 500)
    monkeypatch.setattr(ranks, "_PAIRS", 1000)
    for map_at_r, report in zip((True, False), expected, strict=True):
        same_report(evaluate_retrieval(points, labels, space, map_at_r=map_at_r, block=90), report)


def test_recall_alone_is_the_same_whoever_is_asked():
    """All queries against all others are compared once a pair; without some of them, once a query."""
    space = Hyperbolic()
    points, labels = clusters(space, n=900, classes=300)
    labels[:20] = torch.arange(20) + 1000  # no other of their class
    every = evaluate_retrieval(points, labels, space, map_at_r=False, block=128)
    some = evaluate_retrieval(points, labels, space, map_at_r=False, block=128, queries=torch.arange(1, 900))
    assert every.skipped >= 20
    place = np.isin(every.per_query["index"], some.per_query["index"])
    np.testing.assert_array_equal(every.per_query["rank"][place], some.per_query["rank"])
    np.testing.assert_array_equal(every.per_query["rank"], evaluate_retrieval(points, labels, space).per_query["rank"])


def test_copies_are_found_by_their_bytes(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        points = torch.randn(300, 3, generator=generator).to(dtype)
        points[100:200] = points[torch.randint(100, (100,), generator=generator)]
        expected = [int((points == row).all(1).nonzero()[0]) for row in points]
        monkeypatch.setattr(truth, "_CHUNK", 7)
        assert truth._first_copies(points).tolist() == expected
        assert truth._first_copies(points[200:]) is None
        # Unequal rows whose hashes are the same.
        with monkeypatch.context() as change:
            change.setattr(truth.np.random, "default_rng", lambda seed: _Zeros())
            found = truth._first_copies(points)
        assert all(torch.equal(points[i], points[first]) for i, first in enumerate(found))


class _Zeros:
    def integers(self, low, high, size, endpoint):
        return np.zeros(size, np.int64)


_MEMORY = """
import re, sys
import numpy as np, torch
from horosphere.evaluation import evaluate_retrieval
from horosphere.spaces import Hyperbolic
torch.set_num_threads(1)
n, width, queries, path = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
def peak():  # not getrusage's, which a new process inherits from its parent
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
points, labels = np.load(path, mmap_mode="r"), np.arange(n) % (n // 5)
few = np.array(points[:500])
for map_at_r in (False, True):
    evaluate_retrieval(few, labels[:500] % 100, Hyperbolic(), map_at_r=map_at_r, bootstrap=0)
before = peak()
for map_at_r in (False, True):
    evaluate_retrieval(points, labels, Hyperbolic(), queries=np.arange(queries), map_at_r=map_at_r, bootstrap=0)
print(peak() - before)
"""


def memory(path, n, width, queries):
    """What an evaluation adds to the peak memory of a process, in MB, the pages read of the file included."""
    generator = np.random.default_rng(0)
    file = np.lib.format.open_memmap(path, "w+", np.float16, (n, width))
    for start in range(0, n, 10_000):
        file[start : start + 10_000] = 0.1 * generator.standard_normal((min(10_000, n - start), width), np.float32)
    file.flush()
    command = [sys.executable, "-c", _MEMORY, str(n), str(width), str(queries), str(path)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's record of peak memory")
def test_memory_does_not_grow_with_the_square(tmp_path):
    """All scores of 20,000 points are 1.6 GB."""
    assert memory(tmp_path / "points.npy", 20_000, 32, 20_000) < 400


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's record of peak memory")
def test_memory_of_a_large_gallery_is_its_own(tmp_path):
    """500,000 points in half precision are 128 MB; float32 copies of them would be 256 MB more."""
    assert 100 < memory(tmp_path / "points.npy", 500_000, 128, 50) < 300
