"""Pairwise cross-entropy, forward and backward: python -m benchmarks.pairwise [--threads T].

K = 900 hyperbolic points (c = 0.1, clip 2.3, D = 128) in d = 9 and d = 2 subsets. Measured in one run on the same threads:

* floor: three K × K × D float32 matrix products, one for the Gram matrix and two for its gradient;
* ours: the loss and its gradient;
* the published loop restated: for each ordered pair of subsets, vectorised Möbius addition (−x) ⊕ y over N × N × D, norm,
  artanh and cross-entropy, and autograd back through all of it. The loop's pairs are computed one at a time and their
  gradients added, as a training step of it would hold them all in memory.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from horosphere.losses import PairwiseCrossEntropy
from horosphere.spaces import Hyperbolic

K, DIM, TEMPERATURE = 900, 128, 0.2


def floor(x: Tensor, gradient: Tensor) -> None:
    """Three K × K × D products."""
    _ = x @ x.mT
    _ = gradient @ x
    _ = gradient.mT @ x


def ours(x: Tensor, labels: Tensor, loss: PairwiseCrossEntropy) -> float:
    leaf = x.clone().requires_grad_()
    value = loss(leaf, labels)
    value.backward()
    return float(value.detach())


def published_loop(x: Tensor, d: int, c: float) -> float:
    """`x` is laid out subset after subset."""
    leaf, total = x.clone().requires_grad_(), 0.0
    for i in range(d):
        for j in range(d):
            if i != j:
                term = _published_pair(*(leaf.view(d, -1, DIM)[k] for k in (i, j)), c)
                term.backward()
                total += float(term.detach())
    return total / (d * (d - 1))


def _published_pair(x: Tensor, y: Tensor, c: float) -> Tensor:
    x, y = _exp0(x, c), _exp0(y, c)
    across, within = -_distances(x, y, c) / TEMPERATURE, -_distances(x, x, c) / TEMPERATURE
    within = within - torch.eye(len(x)) * 1e9
    return cross_entropy(torch.cat([across, within], 1), torch.arange(len(x)))


def _exp0(v: Tensor, c: float) -> Tensor:
    norm = v.norm(dim=-1, keepdim=True)
    return (c**0.5 * norm).tanh() * v / (c**0.5 * norm)


def _distances(x: Tensor, y: Tensor, c: float) -> Tensor:
    # The square root's slope at 0 is infinite, so the diagonal of a set with itself gets a hair of distance.
    # As published: inner products from one matrix product, the sum itself over N × N × D.
    xy, xx, yy = -(x @ y.mT)[..., None], x.square().sum(1)[:, None, None], y.square().sum(1)[None, :, None]
    added = ((1 + 2 * c * xy + c * yy) * -x[:, None] + (1 - c * xx) * y[None]) / (1 + 2 * c * xy + c * c * xx * yy)
    norm = (added.square().sum(-1) + 1e-12).sqrt()
    return 2 / c**0.5 * (c**0.5 * norm).clamp_max(1 - 1e-5).atanh()


def best(call: Callable[[], object], repeats: int) -> float:
    """Least seconds of some calls, after one to warm up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def run(threads: int = 2) -> list[dict]:
    """One row a measurement: `name`, `seconds`, `ratio` to the floor."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    space = Hyperbolic(curvature=0.1, clip=2.3)
    x = space(torch.randn(K, DIM) * 0.15)
    gradient = torch.randn(K, K)
    lowest = best(lambda: floor(x, gradient), 50)
    rows = [{"name": "three K × K × D products (floor)", "seconds": lowest}]
    for d in (9, 2):
        labels, loss = torch.arange(K // d).repeat(d), PairwiseCrossEntropy(space, TEMPERATURE)
        took = best(lambda labels=labels, loss=loss: ours(x, labels, loss), 50)
        published = best(lambda d=d: published_loop(x, d, space.curvature), 2)
        values = ours(x, labels, loss), published_loop(x, d, space.curvature)
        if abs(values[0] - values[1]) > 1e-3 * values[1]:
            raise RuntimeError(f"the two programs disagree at d = {d}: {values}")
        rows.append({"name": f"ours, d = {d}", "seconds": took})
        rows.append({"name": f"published loop, d = {d}", "seconds": published})
    return [row | {"ratio": row["seconds"] / lowest} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print(f"pairwise cross-entropy, forward and backward, K = {K}, D = {DIM}, {options.threads} threads, one run")
    for row in run(options.threads):
        print(f"{row['name']:<48}{1e3 * row['seconds']:10.2f} ms{row['ratio']:10.2f} ×")


if __name__ == "__main__":
    main()
