import math

import numpy as np
import pytest
import torch

from horosphere.errors import InputError
from horosphere.evaluation import cosine_agreement, rank_correlation
from horosphere.spaces import Hyperbolic, Mixed, Sphere


def test_rank_correlation_by_definition():
    generator = np.random.default_rng(0)
    a, b = generator.integers(6, size=50), generator.normal(size=50)
    ranks = [np.array([(v < w).sum() + ((v == w).sum() + 1) / 2 for w in v]) for v in (a, b)]
    assert rank_correlation(a, b) == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-14)
    assert rank_correlation(b, np.exp(b)) == pytest.approx(1)
    assert rank_correlation(b, -b) == pytest.approx(-1)


def test_rank_correlation_without_meaning_is_nan():
    assert math.isnan(rank_correlation([1, 1, 1], [1, 2, 3]))
    assert math.isnan(rank_correlation([1], [2]))
    assert math.isnan(rank_correlation([1, math.nan, 3], [1, 2, 3]))
    with pytest.raises(InputError, match="one length"):
        rank_correlation([1, 2], [1, 2, 3])


def features(spread):
    generator = torch.Generator().manual_seed(0)
    directions = Sphere()(torch.randn(400, 8, generator=generator))
    return directions * (1 + spread * (torch.rand(400, 1, generator=generator) - 0.5))


@pytest.mark.parametrize(
    ("space", "points", "reason"),
    [
        (Hyperbolic(), Hyperbolic()(100 * features(0.5)), "at the clip"),
        (Hyperbolic(radius=1.0), Hyperbolic(radius=1.0)(features(1.0)), "the radius varies"),
        (Hyperbolic(clip=None), features(0.01), "the radius varies"),
        (Hyperbolic(), torch.zeros(10, 8), "the radius varies"),
    ],
)
def test_cosine_in_disguise(space, points, reason):
    found = cosine_agreement(space, points, pairs=5000)
    assert found.in_disguise and reason in found.verdict and "n/a" in found.verdict
    assert not found.rank_correlation < 0.99


def test_the_radius_takes_part():
    found = cosine_agreement(Hyperbolic(), features(1.5), pairs=5000)
    assert not found.in_disguise and found.clip_fraction == 0 and found.rank_correlation < 0.95
    assert "takes part" in found.verdict and f"{found.rank_correlation:.3f}" in found.verdict
    assert found == cosine_agreement(Hyperbolic(), features(1.5).numpy(), pairs=5000)
    assert cosine_agreement(Hyperbolic(clip=None), features(1.5), pairs=5000).clip_fraction is None


def test_points_on_one_radius_rank_as_cosine():
    space = Hyperbolic(radius=1.0)
    assert cosine_agreement(space, space(features(1.0).double()), pairs=5000).rank_correlation == pytest.approx(1, abs=1e-6)


def test_errors_teach():
    mixed = Mixed([Sphere(), Hyperbolic()])
    with pytest.raises(InputError, match=r"space\.split"):
        cosine_agreement(mixed, mixed(features(0.5)))
    with pytest.raises(InputError, match=r"space\(features\)"):
        cosine_agreement(Hyperbolic(), 100 * features(0.5))
    with pytest.raises(InputError, match="at least two"):
        cosine_agreement(Hyperbolic(), features(0.5)[:1])
