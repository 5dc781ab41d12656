import numpy as np
import pytest
import torch

from horosphere.config import EvaluationConfig
from horosphere.data import RetrievalData
from horosphere.errors import InputError
from horosphere.evaluation import evaluate_retrieval
from horosphere.report import check_headline, judge, text_table
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

CONFIG = EvaluationConfig(ks=(1, 4), bootstrap=100)


def clusters(space, n=120, classes=12, d=6, seed=0, split=None):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    features = rng.normal(size=(classes, d))[labels] + 0.5 * rng.normal(size=(n, d))
    split = np.full(n, "test") if split is None else split
    names = tuple(f"class {i}" for i in range(classes))
    data = RetrievalData("clusters", None, features.astype(np.float32), labels, names, None, split)
    return space(torch.from_numpy(data.features)), data


def test_rows_of_a_mixture_are_what_their_spaces_say():
    space = Mixed([Sphere(), Hyperbolic(), Euclidean()], [1.0, 2.0, 0.1])
    points, data = clusters(space)
    encodings = torch.randn(len(data), 9)
    judgement = judge(space, points, data, CONFIG, {"encoder": encodings})
    assert judgement.headline == "mixture"
    expected = {
        "mixture": (space, points),
        **dict(zip(space.names, zip(space.parts, space.split(points), strict=True), strict=True)),
        "hyperbolic by cosine": (Sphere(), Sphere()(space.split(points)[1])),
        "euclidean by cosine": (Sphere(), Sphere()(space.split(points)[2])),
        "encoder": (Sphere(), Sphere()(encodings)),
    }
    assert set(judgement.rows) == set(expected)
    for name, (where, own) in expected.items():
        assert judgement.rows[name].report == evaluate_retrieval(own, data.labels, where, (1, 4), bootstrap=100), name
    assert set(judgement.agreements) == {"hyperbolic"}


def test_queries_search_the_gallery_alone():
    rng = np.random.default_rng(1)
    split = rng.choice(["query", "gallery"], 120)
    points, data = clusters(Hyperbolic(), split=split)
    report = judge(Hyperbolic(), points, data, CONFIG).rows["hyperbolic"].report
    assert report.queries + report.skipped == (split == "query").sum() and report.gallery == (split == "gallery").sum()


def test_a_clipped_model_is_called_cosine_in_disguise_and_a_free_one_is_not():
    free = Hyperbolic(clip=None)
    points, data = clusters(free)
    assert "disguise" not in judge(free, points, data, CONFIG).agreements["hyperbolic"].verdict.lower()
    tight = Hyperbolic(clip=0.1)
    verdict = judge(tight, tight(points), data, CONFIG).agreements["hyperbolic"].verdict
    assert "disguise" in verdict.lower() and "n/a" in verdict


def test_the_headline_may_be_a_part_and_must_be_a_row():
    space = Mixed([Sphere(), Hyperbolic()])
    points, data = clusters(space)
    by_sphere = EvaluationConfig(ks=(1,), bootstrap=0, rank_by="sphere")
    assert judge(space, points, data, by_sphere).headline == "sphere"
    check_headline(space, by_sphere, with_encoder=False)
    with pytest.raises(InputError, match="mixture or one of mixture, sphere, hyperbolic"):
        check_headline(space, EvaluationConfig(rank_by="torus"), with_encoder=True)
    check_headline(space, EvaluationConfig(rank_by="encoder"), with_encoder=True)
    with pytest.raises(InputError):
        check_headline(space, EvaluationConfig(rank_by="encoder"), with_encoder=False)


def test_the_table_reads():
    points, data = clusters(Hyperbolic())
    text = text_table(judge(Hyperbolic(), points, data, CONFIG).to_dict())
    lines = text.splitlines()
    assert lines[0].split() == ["rank", "by", "R@1", "R@4", "MAP@R", "R-precision"]
    assert any(line.startswith("hyperbolic *") for line in lines) and "95 % interval of R@1" in text
    assert len({len(line) for line in lines[:4]}) == 1
