"""Best and worst queries against plain loops."""

import numpy as np
import pytest
import torch

from horosphere import insight
from horosphere.errors import InputError
from horosphere.insight import blocks
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("space", [Sphere(), Hyperbolic(), Mixed([Sphere(), Hyperbolic(curvature=1.0)])])
def test_answers_agree_with_plain_loops(space, split, monkeypatch):
    monkeypatch.setattr(blocks, "_ROWS", 4)
    monkeypatch.setattr(blocks, "_COLUMNS", 9)
    generator = torch.Generator().manual_seed(0)
    points = space(torch.randn(40, 5, generator=generator))
    labels = np.random.default_rng(0).integers(0, 9, 40)
    labels[7] = 99  # alone
    queries, gallery = (np.arange(0, 40, 2), np.arange(1, 40, 2)) if split else (np.arange(40), None)
    found = insight.answers(space, points, labels, queries, gallery)
    searched = np.arange(40) if gallery is None else gallery
    place = 0
    for query in queries:
        distance = space.distance(points[query].double(), points.double()).numpy()
        others = [i for i in searched if i != query]
        right = [distance[i] for i in others if labels[i] == labels[query]]
        wrong = [distance[i] for i in others if labels[i] != labels[query]]
        if not right:
            continue
        assert found.queries[place] == query and found.nearest[place] == min(others, key=lambda i: distance[i])
        assert found.rank[place] == sum(d < min(right) for d in wrong)
        assert found.margin[place] == pytest.approx(min(wrong) - min(right), abs=1e-9)
        assert (found.margin[place] < 0) == (found.rank[place] > 0)
        place += 1
    assert place == len(found.queries) > 10


def test_best_and_worst_are_one_a_class():
    # On a line: classes 0 and 1 far apart and tight, classes 2 and 3 between one another.
    points = torch.tensor([[0.0], [1], [2], [100], [101], [200], [210], [204], [207]], dtype=torch.float64)
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3])
    found = insight.answers(Euclidean(), points, labels, np.arange(9))
    assert found.rank.tolist() == [0, 0, 0, 0, 0, 2, 2, 0, 0]
    assert found.margin.tolist() == pytest.approx([99, 98, 97, 97, 98, -6, -7, 1, 0])
    assert found.best(labels, 2).tolist() == [0, 4] and found.best(labels, 9).tolist() == [0, 4, 7, 5]
    assert found.worst(labels, 3).tolist() == [6]


def test_nothing_to_compare_is_an_error():
    for labels in ([0, 1, 2], [0, 0, 0]):
        with pytest.raises(InputError, match="none of 3 queries"):
            insight.answers(Euclidean(), torch.randn(3, 2), np.array(labels), np.arange(3))
