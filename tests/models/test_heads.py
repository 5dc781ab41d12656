import pytest
import torch

from horosphere.errors import InputError
from horosphere.models import Heads


@pytest.mark.parametrize(("width", "dim"), [(12, 5), (5, 12), (6, 6)])
@pytest.mark.parametrize("parts", [None, 3])
def test_orthogonal_weight_and_zero_bias(width, dim, parts):
    heads = Heads(width, dim, parts=parts)
    assert len(heads.linears) == (parts or 1)
    for linear in heads.linears:
        weight = linear.weight.detach()
        gram = weight @ weight.T if dim <= width else weight.T @ weight
        torch.testing.assert_close(gram, torch.eye(min(width, dim)), atol=1e-5, rtol=0)
        assert not linear.bias.any()


def test_shared_and_split_shapes():
    x = torch.randn(4, 12)
    assert Heads(12, 5)(x).shape == (4, 5)
    features = Heads(12, 5, parts=2)(x)
    assert [tuple(part.shape) for part in features] == [(4, 5), (4, 5)]
    assert not torch.equal(*features)


def test_normalisation():
    x = 7 * torch.randn(4, 12) + 3
    square = {"none": x.square().sum(1), "l2": torch.ones(4), "layer": torch.full((4,), 12.0)}
    for kind, expected in square.items():
        heads = Heads(12, 12, normalise_encoding=kind)
        # An orthogonal map keeps lengths.
        torch.testing.assert_close(heads(x).square().sum(1), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    "options", [{"width": 0, "dim": 3}, {"width": 3, "dim": 0}, {"width": 3, "dim": 3, "normalise_encoding": "L2"}]
)
def test_bad_input(options):
    with pytest.raises(InputError, match="expected"):
        Heads(**options)
