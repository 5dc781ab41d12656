"""Best and worst queries against plain loops."""

import numpy as np
import pytest
import torch

from horosphere import insight
from horosphere.errors import InputError
from horosphere.evaluation import evaluate_retrieval
from horosphere.evaluation.truth import Truth
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Space, Sphere


def answers(space: Space, points: torch.Tensor, labels: np.ndarray, queries=None, gallery=None) -> insight.Answers:
    report = evaluate_retrieval(points, labels, space, (1,), queries=queries, gallery=gallery, map_at_r=False, bootstrap=0)
    return insight.answers(report, space, points, labels, gallery)


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("space", [Sphere(), Hyperbolic(), Mixed([Sphere(), Hyperbolic(curvature=1.0)])])
def test_answers_agree_with_plain_loops(space, split):
    generator = torch.Generator().manual_seed(0)
    points = space(torch.randn(40, 5, generator=generator))
    labels = np.random.default_rng(0).integers(0, 9, 40)
    labels[7] = 99  # alone
    queries, gallery = (np.arange(0, 40, 2), np.arange(1, 40, 2)) if split else (np.arange(40), None)
    found = answers(space, points, labels, queries, gallery)
    searched = np.arange(40) if gallery is None else gallery
    place = 0
    for query in queries:
        distance = space.distance(points[query].double(), points.double()).numpy()
        others = [i for i in searched if i != query]
        right = [distance[i] for i in others if labels[i] == labels[query]]
        wrong = [distance[i] for i in others if labels[i] != labels[query]]
        if not right:
            continue
        assert found.queries[place] == query and found.labels[place] == labels[query]
        assert found.rank[place] == sum(d < min(right) for d in wrong)
        assert found.margin[place] == pytest.approx(min(wrong) - min(right), abs=1e-12)
        assert (found.margin[place] < 0) == (found.rank[place] > 0)
        place += 1
    assert place == len(found.queries) > 10


@pytest.mark.parametrize("space", [Hyperbolic(curvature=0.1), Mixed([Sphere(), Hyperbolic(curvature=0.1)])])
def test_copies_of_an_image_are_exactly_as_far(space):
    """Each image seven times, the copies in other classes too: equal distances are no mistake, and have no margin."""
    generator = torch.Generator().manual_seed(0)
    points = space(torch.randn(60, 32, generator=generator)).repeat(7, 1)
    labels = np.random.default_rng(0).integers(0, 12, len(points))
    found = answers(space, points, labels)
    truth, every = Truth(space, points), torch.arange(len(points))
    for query, rank, margin in zip(found.queries, found.rank, found.margin, strict=True):
        apart = truth.distance(torch.full_like(every, int(query)), every).numpy()
        apart[query] = np.inf
        right, wrong = apart[labels == labels[query]].min(), apart[labels != labels[query]]
        assert rank == (wrong < right).sum() and margin == wrong.min() - right
    assert ((found.margin < 0) == (found.rank > 0)).all() and (found.margin == 0).any() and (found.rank > 0).any()


def test_best_and_worst_are_one_a_class():
    # On a line: classes 0 and 1 far apart and tight, classes 2 and 3 between one another.
    points = torch.tensor([[0.0], [1], [2], [100], [101], [200], [210], [204], [207]], dtype=torch.float64)
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3])
    found = answers(Euclidean(), points, labels)
    assert found.rank.tolist() == [0, 0, 0, 0, 0, 2, 2, 0, 0]
    assert found.margin.tolist() == pytest.approx([99, 98, 97, 97, 98, -6, -7, 1, 0])
    assert found.best(2).tolist() == [0, 4] and found.best(9).tolist() == [0, 4, 7, 5]
    assert found.worst(3).tolist() == [6]


def test_one_class_has_no_margin():
    with pytest.raises(InputError, match="own class left out"):
        answers(Euclidean(), torch.randn(3, 2), np.zeros(3, int))
