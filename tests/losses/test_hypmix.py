import pytest
import torch
from torch.nn.functional import cosine_similarity, cross_entropy

from horosphere.losses import ConvexCombination, PairwiseCrossEntropy, hypmix
from horosphere.spaces import Hyperbolic, Mixed, Sphere

from ..spaces.reference import hyperbolic_distance

LABELS = torch.arange(4).repeat(2)


def test_code_is_the_published_logit():
    """cosine/0.05 − λ D_hyp/0.2 of the normalised vector, two subsets of distinct classes."""
    variant, features = hypmix.code(weight=8.0), torch.randn(8, 16, dtype=torch.float64)
    unit = features / features.norm(dim=1, keepdim=True)
    logits = cosine_similarity(unit[:, None], unit[None], dim=-1) / 0.05 - 8.0 * hyperbolic_distance(unit, unit, 0.1) / 0.2
    logits.fill_diagonal_(-torch.inf)
    total = 0
    for i, j in ((0, 1), (1, 0)):
        rows, columns = slice(4 * i, 4 * i + 4), slice(4 * j, 4 * j + 4)
        total += cross_entropy(torch.cat([logits[rows, columns], logits[rows, rows]], 1), torch.arange(4))
    torch.testing.assert_close(variant.loss(variant.space(features), LABELS), total)
    assert variant.heads == "shared"


def test_code_searches_by_cosine_over_the_same_points():
    variant, features = hypmix.code(), torch.randn(8, 16, dtype=torch.float64)
    points = variant.space(features)
    torch.testing.assert_close(variant.search.pairwise(points), Sphere().pairwise(Sphere()(features)))


@pytest.mark.parametrize("make", [hypmix.paper, hypmix.radial])
def test_paper_and_radial_are_one_exponential_of_a_mixture(make):
    variant = make(weight=2.0, temperature=0.3)
    sphere, ball = torch.randn(8, 16, dtype=torch.float64), torch.randn(8, 16, dtype=torch.float64)
    points = variant.space([sphere, ball])
    clipped = Hyperbolic(0.1, 2.3)(ball)
    expected = Sphere().pairwise(Sphere()(sphere)) + 2.0 * hyperbolic_distance(clipped, clipped, 0.1)
    off = ~torch.eye(8, dtype=torch.bool)
    torch.testing.assert_close(variant.space.pairwise(points)[off], expected[off])
    assert variant.loss.temperature == 0.3 and variant.heads == "split"
    assert variant.normalise_encoding == ("l2" if make is hypmix.paper else "none")


def test_convex_is_the_share_of_two_losses():
    variant = hypmix.convex(share=0.25)
    points = variant.space([torch.randn(8, 16), torch.randn(8, 16)])
    sphere, ball = variant.space.split(points)
    nce = PairwiseCrossEntropy(Sphere(), 0.1, "published")(sphere, LABELS)
    hyp = PairwiseCrossEntropy(Hyperbolic(0.1, 2.3), 0.2, "published")(ball, LABELS)
    torch.testing.assert_close(variant.loss(points, LABELS), 0.25 * hyp + 0.75 * nce)


def test_convex_mistakes_teach():
    space = Mixed([Sphere(), Hyperbolic()])
    losses = [PairwiseCrossEntropy(part) for part in space.parts]
    with pytest.raises(ValueError, match="add to 1"):
        ConvexCombination(space, losses, [0.5, 0.6])
    with pytest.raises(ValueError, match="one of each a part"):
        ConvexCombination(space, losses[:1], [1.0])
