"""The Triton kernels: on the CPU through Triton's interpreter, compiled for a GPU that need not be there, and on one."""

import os
import subprocess
import sys

import pytest
import torch

pytest.importorskip("triton", reason="torch for this machine comes without Triton")

from horosphere.losses import PairwiseCrossEntropy
from horosphere.spaces import Hyperbolic, Sphere, log_partition

from .test_partition import SPACES, agree, problem, value_and_gradients

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("rectangular", [False, True])
@pytest.mark.parametrize(("labelled", "groups"), [(True, 3), (False, 1)])
def test_kernels_equal_the_reference(name, rectangular, labelled, groups):
    space = SPACES[name]()
    inputs = problem(rectangular, labelled, groups, rows=210, columns=75)
    exact = value_and_gradients(space, *inputs, groups, torch.float64, "reference")
    space.to(DEVICE)
    x, y, labels = (None if t is None else t.to(DEVICE) if isinstance(t, torch.Tensor) else t for t in inputs)
    ours = [t.cpu() for t in value_and_gradients(space, x, y, labels, groups, torch.float32, "triton")]
    agree(ours, exact, 3e-5)


def test_labels_of_any_layout():
    space, x = Hyperbolic(), torch.randn(40, 8, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    strided = torch.stack([torch.arange(20).repeat(2), torch.arange(40)], 1).to(DEVICE, torch.int32)[:, 0]
    sums = [
        log_partition(space, space(x), temperature=0.5, groups=2, labels=(own, own), backend=backend)
        for own, backend in ((strided, "triton"), (strided.contiguous(), "blocked"))
    ]
    torch.testing.assert_close(*sums)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # numpy's, in the interpreter
@pytest.mark.parametrize("backend", ["triton", "blocked"])
def test_what_is_no_number_stays_none(backend):
    """NaN, and norms at which float32 overflows, must reach the loop's check."""
    space = Hyperbolic(1.0, clip=None)
    x = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    x[0] = torch.nan
    x[1:3] *= 60 / x[1:3].norm(dim=1, keepdim=True)
    sums = log_partition(space, x.to(DEVICE), temperature=0.5, backend=backend)
    assert sums[:3].isnan().all()


def test_only_float32():
    with pytest.raises(ValueError, match="for float32 points"):
        log_partition(Sphere(), torch.randn(4, 3, dtype=torch.float64), temperature=1.0, backend="triton")


def test_wide_points_and_a_loss():
    """Vectors wider than a program's share of the gradient, as a loss uses them."""
    space, labels = Hyperbolic(0.1, 2.3), torch.arange(20).repeat(2)
    points = space(torch.randn(40, 200, generator=torch.Generator().manual_seed(0)) * 0.2)
    results = []
    for backend, device in (("triton", DEVICE), ("blocked", "cpu")):
        leaf = points.to(device).requires_grad_()
        value = PairwiseCrossEntropy(space, 0.2, backend=backend)(leaf, labels)
        value.backward()
        results.append((value.detach().cpu(), leaf.grad.cpu()))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("precision", "tolerance"), [("tf32", 4e-3), ("bf16", 3e-2)])
def test_rounded_products_are_as_exact_as_they_say(precision, tolerance):
    """z is off by that share of ‖p‖‖p'‖, which for unit vectors of the sphere is 2 in D."""
    if precision == "bf16" and DEVICE == "cpu":
        pytest.skip("Triton's interpreter multiplies the bits of bfloat16 as whole numbers")
    space = Sphere()
    x = space(torch.randn(100, 32, generator=torch.Generator().manual_seed(0))).to(DEVICE)
    labels = torch.arange(50).repeat(2)
    options = {"temperature": 1.0, "groups": 2, "labels": (labels, labels)}
    exact = log_partition(space, x, **options, backend="reference")
    rounded = log_partition(space, x, **options, backend="triton", precision=precision)
    error = (rounded.double() - exact).abs().max()
    assert error < tolerance
    if DEVICE == "cuda":
        assert error > 1e-6  # otherwise nothing was rounded


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from horosphere.spaces import kernels

shared = dict(WIDTH=128, KINDS=(0, 2), ITSELF=True, LABELLED=True, HALF=False, ROWS=64, COLUMNS=64, DEPTH=64)
walk = dict(OWN=True, OTHER=True, PULLED=128)
forward, backward = kernels._forward, kernels._backward
rows, columns = walk | {"OTHER": False}, walk | {"OWN": False}
cases = [(forward, {}, "tf32x3"), (backward, walk, "tf32x3"), (backward, rows, "tf32"), (backward, columns, "ieee")]
cases.append((backward, walk | {"HALF": True}, "ieee"))
for kernel, own, dot in cases:
    constants = shared | own | {"DOT": dot}
    integers = {"n", "m", "group", "groups", "row_group", "column_group"}
    signature, names = {}, kernel.arg_names
    for name in names:
        labels = "*i32" if name.endswith("labels") else "*fp32"
        signature[name] = "constexpr" if name in constants else "i32" if name in integers else labels
    values = {(names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=values)
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 8})
    print(len(compiled.asm["cubin"]))
"""


def test_kernels_compile_for_a_gpu():
    """To machine code of a Hopper GPU, which takes no GPU."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    run = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, cwd="/")
    if "GPUTarget" in run.stderr:
        pytest.skip("this version of Triton compiles by another interface")
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.split()) == 5
