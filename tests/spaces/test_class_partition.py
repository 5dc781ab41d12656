import pytest
import torch

from horosphere.spaces import class_partition, log_class_partition

from .test_partition import SPACES, agree


def reference(space, x, centres, count, temperature, softness, labels):
    d = space.pairwise(x.double(), centres.double()).view(len(x), -1, count)
    soft = ((-d / softness).softmax(2) * d).sum(2)
    soft = soft.scatter(1, labels[:, None], torch.inf)
    return (-soft / temperature).logsumexp(1)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("blocks", [(256, 1024), (7, 12), (4, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_blocks_equal_the_reference(monkeypatch, name, count, blocks, dtype):
    monkeypatch.setattr(class_partition, "_CPU", blocks)
    torch.manual_seed(0)
    space, classes = SPACES[name]().to(dtype), 11
    x = torch.randn(17, 6, dtype=dtype, requires_grad=True)
    centres = torch.randn(classes * count, 6, dtype=dtype, requires_grad=True)
    labels = torch.randint(classes, (17,))
    inputs = [x, centres, *space.parameters()]
    options = {"count": count, "temperature": 1.5, "softness": 0.7, "labels": labels}
    ours = log_class_partition(space, space(x), space(centres), **options)
    exact = reference(space, space(x), space(centres), **options)
    assert ours.dtype == dtype
    weights = torch.linspace(-1, 2, 17, dtype=torch.float64)
    both = [[v.double(), *torch.autograd.grad((v.double() * weights).sum(), inputs)] for v in (ours, exact)]
    agree(*both, 3e-5 if dtype == torch.float32 else 1e-12)


def test_only_what_is_wanted_gets_a_gradient():
    space, labels = SPACES["hyperbolic"](), torch.tensor([0, 2])
    for wanted in (0, 1):
        points = [space(torch.randn(n, 6)).requires_grad_(i == wanted) for i, n in enumerate((2, 6))]
        log_class_partition(space, *points, count=2, temperature=1.0, softness=1.0, labels=labels).sum().backward()
        assert (points[wanted].grad != 0).any() and points[1 - wanted].grad is None


def test_near_ties_and_hard_choices_stay_finite():
    space = SPACES["hyperbolic"]()
    x = space(torch.randn(5, 6)).requires_grad_()
    centres = x.detach().repeat_interleave(2, 0).requires_grad_()
    value = log_class_partition(space, x, centres, count=2, temperature=1e-3, softness=1e-4, labels=torch.arange(5))
    value.sum().backward()
    assert value.isfinite().all() and x.grad.isfinite().all() and centres.grad.isfinite().all()


@pytest.mark.parametrize("wrong", [{"count": 4}, {"count": 0}, {"softness": 0.0}, {"temperature": -1.0}])
def test_bad_options(wrong):
    options = {"count": 2, "temperature": 1.0, "softness": 1.0, "labels": torch.tensor([0])} | wrong
    with pytest.raises(ValueError, match=r"do not divide|positive"):
        log_class_partition(SPACES["sphere"](), torch.eye(6)[:1], torch.eye(6), **options)
