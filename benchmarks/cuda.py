"""Pairwise cross-entropy on a GPU, forward and backward: python -m benchmarks.cuda.

Hyperbolic points (c = 0.1, clip 2.3, D = 128) in d = 2 subsets. Measured in one run:

* floor: three K × K × D float32 matrix products in blocks, with TF32 off; and the same with it on;
* ours: the loss and its gradient by the Triton kernels, in each precision, with its relative error against the blocked
  back-end in float64 (at 8,192 points);
* plain autograd of the Gram form at 32,768 points, as in `benchmarks.pairwise`.

Memory is the growth of CUDA's peak. Without a GPU it says so and measures nothing.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from horosphere.losses import PairwiseCrossEntropy
from horosphere.spaces import Hyperbolic

from .pairwise import DIM, TEMPERATURE, ours, plain

SIZES, EXACT, AUTOGRAD = (32_768, 65_536, 131_072), 8_192, 32_768
PRECISIONS = ("float32", "tf32", "bf16")
FLOOR_ROWS = 8_192


def products(x: Tensor) -> None:
    """Three K × K × D products in blocks of rows, into one buffer."""
    buffer, pulled = x.new_empty(FLOOR_ROWS, len(x)), torch.zeros_like(x)
    for start in range(0, len(x), FLOOR_ROWS):
        rows = slice(start, start + FLOOR_ROWS)
        block = torch.mm(x[rows], x.mT, out=buffer[: len(x[rows])])
        pulled[rows] += block @ x
        pulled.addmm_(block.mT, x[rows])


def milliseconds(call: Callable[[], object], repeats: int = 5) -> float:
    """Least time of some calls, after two to warm up."""
    times = []
    for turn in range(repeats + 2):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        if turn > 1:
            times.append(begin.elapsed_time(end))
    return min(times)


def megabytes(call: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def points(count: int, space: Hyperbolic) -> tuple[Tensor, Tensor]:
    features = torch.randn(count, DIM, generator=torch.Generator().manual_seed(0)) * 0.15
    return space(features).cuda(), torch.arange(count // 2).repeat(2)


def run() -> list[dict]:
    """One row a measurement: `name`, `seconds`, `ratio` to the float32 floor of its size, `megabytes`; [] without a GPU."""
    if not torch.cuda.is_available():
        return []
    space, rows = Hyperbolic(curvature=0.1, clip=2.3), []

    def add(name: str, call: Callable[[], object], floor: float | None = None) -> float:
        took = milliseconds(call)
        row = {"name": name, "seconds": took / 1e3, "ratio": took / (floor or took), "megabytes": megabytes(call)}
        rows.append(row)
        return took

    for count in SIZES:
        x, labels = points(count, space)
        torch.set_float32_matmul_precision("highest")
        floor = add(f"three products, float32, K = {count:,} (floor)", lambda x=x: products(x))
        torch.set_float32_matmul_precision("high")
        add(f"three products, TF32, K = {count:,}", lambda x=x: products(x), floor)
        torch.set_float32_matmul_precision("highest")
        for precision in PRECISIONS:
            loss = PairwiseCrossEntropy(space, TEMPERATURE, precision=precision)
            add(f"ours, {precision}, K = {count:,}", lambda x=x, y=labels, f=loss: ours(x, y, f), floor)
        if count == AUTOGRAD:
            on_device = labels.cuda()
            add(f"plain autograd, K = {count:,}", lambda x=x, y=on_device: plain(x, y, space), floor)
    return rows


def errors() -> dict[str, float]:
    """Relative Frobenius error of the gradient in each precision, against float64."""
    space = Hyperbolic(curvature=0.1, clip=2.3)
    x, labels = points(EXACT, space)

    def gradient(x: Tensor, precision: str = "float32") -> Tensor:
        leaf = x.clone().requires_grad_()
        PairwiseCrossEntropy(space, TEMPERATURE, precision=precision)(leaf, labels).backward()
        return leaf.grad.double()

    exact = gradient(x.double())
    return {precision: float((gradient(x, precision) - exact).norm() / exact.norm()) for precision in PRECISIONS}


def main() -> None:
    if not torch.cuda.is_available():
        print("not run: no CUDA device")
        return
    print(f"pairwise cross-entropy, forward and backward, D = {DIM}, {torch.cuda.get_device_name()}, one run")
    for row in run():
        print(f"{row['name']:<52}{1e3 * row['seconds']:12.2f} ms{row['ratio']:8.2f} ×{row['megabytes']:10.0f} MB more")
    for precision, error in errors().items():
        print(f"gradient in {precision}: relative error {error:.1e}")


if __name__ == "__main__":
    main()
