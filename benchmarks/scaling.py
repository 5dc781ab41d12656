"""How the loss and the evaluation grow: python -m benchmarks.scaling [--threads T].

One thing is varied at a time; ratios are to the matrix products of the same size, measured in the same run:

* the loss and its gradient against batch size K, dimensions D, images a class d, parts of the space (three K × K × D
  products a part), and processes (the share of one process of W: three K/W × K × D products);
* the evaluation, all metrics, against the size of the gallery (one N × N × D product).

Memory is the growth of a fresh process's peak over its peak before, the library warm.
"""

import argparse
import multiprocessing
from collections.abc import Iterator

import torch
from torch import Tensor

from horosphere.evaluation import evaluate_retrieval
from horosphere.losses import PairwiseCrossEntropy
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Space, Sphere

from . import retrieval
from .pairwise import TEMPERATURE, best
from .retrieval import peak, product

#: (batch, dimensions, images a class, parts, processes) of each measurement.
LOSSES = [
    *((count, 128, 2, 1, 1) for count in (1_024, 4_096, 16_384, 32_768)),
    *((8_192, dim, 2, 1, 1) for dim in (32, 128, 512)),
    *((8_192, 128, d, 1, 1) for d in (8, 64)),
    *((8_192, 128, 2, parts, 1) for parts in (2, 3)),
    *((8_192, 128, 2, 1, processes) for processes in (2, 8)),
]
GALLERIES = (15_000, 30_000)


def space_of(parts: int) -> Space:
    """Hyperbolic; then with a sphere; then with flat space too."""
    spaces = [Hyperbolic(curvature=0.1, clip=2.3), Sphere(), Euclidean()][:parts]
    return spaces[0] if parts == 1 else Mixed(spaces)


def loss_once(count: int, dim: int, d: int, parts: int, processes: int) -> None:
    space = space_of(parts)
    points, labels = _batch(count, dim, d, space)
    PairwiseCrossEntropy(space, TEMPERATURE)(points, labels, slice(0, count // processes)).backward()


def _batch(count: int, dim: int, d: int, space: Space) -> tuple[Tensor, Tensor]:
    """Points of which a gradient is wanted, class after class."""
    features = torch.randn(count, dim, generator=torch.Generator().manual_seed(0)) * (0.15 * (128 / dim) ** 0.5)
    return space(features).requires_grad_(), torch.arange(count // d).repeat_interleave(d)


def _growth(threads: int, name: str, case: tuple) -> float:
    torch.set_num_threads(threads)
    if name == "loss":
        count, *rest = case
        loss_once(512, *rest)
        space = space_of(case[3])
        points, labels = _batch(count, *case[1:3], space)
        loss = PairwiseCrossEntropy(space, TEMPERATURE)
        before = peak()
        loss(points, labels, slice(0, count // case[4])).backward()
        return peak() - before
    return retrieval._peak_growth(case[0], threads, True)


def megabytes(threads: int, name: str, case: tuple) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_growth, (threads, name, case))


def run(threads: int = 2) -> Iterator[dict]:
    """One row a size: `name`, `seconds`, `ratio` to the products, `megabytes`."""
    torch.set_num_threads(threads)
    for case in LOSSES:
        count, dim, d, parts, processes = case
        repeats = 1 if count > 10_000 else 2
        x = torch.randn(count, dim)
        floor = 3 * parts * best(lambda x=x, w=processes: product(x[: len(x) // w], x), repeats)
        took = best(lambda case=case: loss_once(*case), repeats)
        share = f", one of {processes} processes" if processes > 1 else ""
        name = f"loss, K = {count:,}, D = {dim}, d = {d}, {parts} part{'s' * (parts > 1)}{share}"
        yield {"name": name, "seconds": took, "ratio": took / floor, "megabytes": megabytes(threads, "loss", case)}
    space = space_of(1)
    for count in GALLERIES:
        x, labels = retrieval.points(count)
        floor = best(lambda x=x: product(x, x), 1)
        took = best(lambda x=x, y=labels: evaluate_retrieval(x, y, space, bootstrap=0), 1)
        row = {"name": f"evaluation, all metrics, N = {count:,}", "seconds": took, "ratio": took / floor}
        yield row | {"megabytes": megabytes(threads, "evaluation", (count,))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    for row in run(options.threads):
        print(f"{row['name']:<64}{row['seconds']:9.3f} s{row['ratio']:7.2f} ×{row['megabytes']:8.0f} MB more", flush=True)


if __name__ == "__main__":
    main()
