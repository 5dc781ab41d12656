import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere, log_partition, partition

SPACES = {
    "sphere": Sphere,
    "euclidean": Euclidean,
    "hyperbolic": Hyperbolic,
    "learnable": lambda: Hyperbolic(0.3, learnable_curvature=True),
    "mixed": lambda: Mixed([Sphere(), Hyperbolic(), Euclidean()], [1.0, 3.0, 0.5], learnable_weights=True),
}


def problem(rectangular, labelled, groups, rows=30, columns=24, seed=0):
    """Features of the rows and of the columns (None for the rows themselves), and labels."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 6, generator=generator, dtype=torch.float64)
    y = torch.randn(columns, 6, generator=generator, dtype=torch.float64) if rectangular else None
    own = torch.arange(rows // groups).repeat(groups) * 10**12 - 7
    other = own if y is None else torch.arange(columns // groups).repeat(groups) * 10**12 + 3 * 10**12 - 7
    return x, y, (own, other) if labelled else None


def value_and_gradients(space, x, y, labels, groups, dtype, backend):
    """The sums, and the gradients of features, temperature and parameters, in float64."""
    x = x.to(dtype, copy=True).requires_grad_()
    y = None if y is None else y.to(dtype, copy=True).requires_grad_()
    temperature = torch.tensor(4.0, requires_grad=True)
    inputs = [x, temperature, *([] if y is None else [y]), *space.parameters()]
    sums = log_partition(
        space,
        space(x),
        None if y is None else space(y),
        temperature=temperature,
        groups=groups,
        labels=labels,
        backend=backend,
    )
    assert sums.dtype == (torch.float64 if backend == "reference" else dtype)
    weights = torch.linspace(-1, 2, sums.numel(), dtype=torch.float64).view_as(sums)
    gradients = torch.autograd.grad((sums.double() * weights).sum(), inputs)
    return [sums.detach().double(), *(g.double() for g in gradients)]


def agree(ours, exact, tolerance):
    assert all((a - b).norm() <= tolerance * b.norm() for a, b in zip(ours, exact, strict=True))


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("rectangular", [False, True])
@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("blocks", [(256, 1024, 2**22), (256, 1024, 0), (5, 7, 2**22), (4, 9, 0)])
def test_blocks_equal_the_reference(monkeypatch, name, rectangular, labelled, groups, blocks):
    monkeypatch.setattr(partition, "_ROWS", blocks[0])
    monkeypatch.setattr(partition, "_COLUMNS", blocks[1])
    monkeypatch.setattr(partition, "_KEPT", blocks[2])
    space, inputs = SPACES[name](), problem(rectangular, labelled, groups)
    exact = value_and_gradients(space, *inputs, groups, torch.float64, "reference")
    agree(value_and_gradients(space, *inputs, groups, torch.float64, "blocked"), exact, 3e-6)
    agree(value_and_gradients(space, *inputs, groups, torch.float32, "blocked"), exact, 3e-5)


@pytest.mark.parametrize("side", [0, 1])
def test_one_side_without_a_gradient(side):
    """A queue's keys, or rows that are only judged."""
    space = SPACES["mixed"]()
    x, y, labels = problem(True, True, 3)
    gradients = []
    for both in (True, False):
        points = [space(t).detach().requires_grad_(both or i == side) for i, t in enumerate((x, y))]
        sums = log_partition(space, *points, temperature=0.5, groups=3, labels=labels)
        gradients.append(torch.autograd.grad(sums.sum(), points[side])[0])
    assert torch.equal(*gradients)


@given(st.sampled_from(sorted(SPACES)), st.integers(1, 9), st.integers(1, 40), st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_odd_shapes(name, group, rows, groups, seed):
    space = SPACES[name]()
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(rows, 3, generator=generator), torch.randn(group * groups, 3, generator=generator)
    ours, exact = (
        log_partition(space, space(x), space(y), temperature=0.5, groups=groups, backend=backend)
        for backend in ("blocked", "reference")
    )
    # Two points may nearly coincide.
    torch.testing.assert_close(ours.double(), exact, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("name", SPACES)
def test_gradients_against_finite_differences(name):
    space = SPACES[name]().double()
    x, y, labels = problem(True, True, 2, rows=6, columns=8)
    inputs = (x.requires_grad_(), y.requires_grad_())
    assert torch.autograd.gradcheck(
        lambda a, b: log_partition(space, space(a), space(b), temperature=0.5, groups=2, labels=labels), inputs
    )
    assert torch.autograd.gradcheck(
        lambda a: log_partition(space, space(a), temperature=0.5, groups=3, labels=(labels[0], labels[0])), inputs[:1]
    )


@pytest.mark.parametrize("temperature", [1e-3, 0.05, 5.0])
@pytest.mark.parametrize("curvature", [1e-8, 0.1, 16.0])
def test_steep_and_flat_temperatures_at_every_curvature(curvature, temperature):
    space = Hyperbolic(curvature, 1.0)
    x = space(torch.randn(50, 16, generator=torch.Generator().manual_seed(0)))
    labels = torch.arange(25).repeat(2)
    ours, exact = (
        log_partition(space, x, temperature=temperature, groups=2, labels=(labels, labels), backend=backend)
        for backend in ("blocked", "reference")
    )
    torch.testing.assert_close(ours.double(), exact, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("name", SPACES)
def test_coincident_and_clipped_points(name):
    space = SPACES[name]()
    for features in (torch.zeros(12, 5), torch.ones(12, 5) * 100, torch.randn(3, 5).repeat(4, 1) * 9):
        features.requires_grad_()
        labels = torch.arange(6).repeat(2)
        sums = log_partition(space, space(features), temperature=0.05, groups=2, labels=(labels, labels))
        sums.sum().backward()
        assert torch.isfinite(sums).all() and torch.isfinite(features.grad).all()


def test_an_empty_sum_is_minus_infinity_and_pulls_nothing():
    space, x = Hyperbolic(), torch.randn(4, 3, requires_grad=True)
    labels = torch.tensor([0, 0, 0, 1])
    sums = log_partition(space, space(x), temperature=0.2, groups=2, labels=(labels, labels))
    assert (sums[:3, 0] == -torch.inf).all() and torch.isfinite(sums[3]).all()
    sums[:, 0].clamp_min(-100).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_the_same_inputs_give_the_same_bits():
    space, (x, _, labels) = SPACES["mixed"](), problem(False, True, 3, rows=300)
    first, second = (value_and_gradients(space, x, None, labels, 3, torch.float32, "blocked") for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_second_backward_makes_the_blocks_again():
    space, x = Hyperbolic(), torch.randn(20, 3, requires_grad=True)
    total = log_partition(space, space(x), temperature=0.2).sum()
    first, second = (torch.autograd.grad(total, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("call", [lambda s, x: s.pairwise(x), lambda s, x: log_partition(s, x, temperature=0.5)])
@pytest.mark.parametrize("name", SPACES)
def test_second_derivatives_are_refused_and_not_wrong(name, call):
    space, x = SPACES[name](), torch.randn(5, 3, requires_grad=True)
    with pytest.raises(RuntimeError, match="create_graph"):
        torch.autograd.grad(call(space, space(x)).sum(), x, create_graph=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"groups": 7}, "do not divide into 7 groups"),
        ({"labels": (torch.zeros(20), torch.zeros(19))}, "a label for each of 20 rows and 20 columns"),
        ({"backend": "gpu"}, "expected one of auto, triton, blocked, reference"),
        ({"precision": "half"}, "expected one of float32, tf32, bf16"),
        ({"precision": "bf16"}, "triton back-end"),
        ({"precision": "bf16", "backend": "reference"}, "triton back-end"),
        ({"groups": 0}, "0 groups"),
        ({"temperature": -1.0}, "a positive number"),
        ({"y": torch.randn(4, 3, dtype=torch.float64)}, "in one precision"),
    ],
)
def test_bad_options_teach(options, words):
    with pytest.raises(ValueError, match=words):
        log_partition(Sphere(), Sphere()(torch.randn(20, 3)), **({"temperature": 0.2} | options))
