"""Pairwise cross-entropy, forward and backward: python -m benchmarks.pairwise [--threads T].

Hyperbolic points (c = 0.1, clip 2.3, D = 128). Measured in one run on the same threads:

* floor: three K × K × D float32 matrix products, one for the Gram matrix and two for its gradient, for every part of the
  space; at the large size in blocks whose result is thrown away;
* ours: the loss and its gradient, in d subsets;
* the published loop restated: for each ordered pair of subsets, vectorised Möbius addition (−x) ⊕ y over N × N × D, norm,
  artanh and cross-entropy, and autograd back through all of it. The loop's pairs are computed one at a time and their
  gradients added, as a training step of it would hold them all in memory;
* a batch against a queue: the gradient reaches the batch alone, so its floor is two products;
* plain autograd: the whole matrix of distances, `logsumexp` and torch's own gradient; no subsets.

Memory is the growth of a fresh process's peak over its peak before, points made and the library warm.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from horosphere.losses import PairwiseCrossEntropy
from horosphere.spaces import Hyperbolic, Mixed, Space, Sphere, log_partition

from .retrieval import peak, product

K, LARGE, PLAIN, DIM, TEMPERATURE = 900, 32_768, 8_192, 128, 0.2
ROUNDS = 25
#: A batch against a queue of keys.
BATCH, QUEUE = 1_024, 65_536


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


def rectangular(x: Tensor, queue: Tensor, space: Space) -> None:
    leaf = x.clone().requires_grad_()
    log_partition(space, leaf, queue, temperature=TEMPERATURE).sum().backward()


def plain(x: Tensor, labels: Tensor, space: Space) -> None:
    """Autograd through the whole matrix: Gram product, z, log1p, mask, logsumexp."""
    leaf = x.clone().requires_grad_()
    scaled = leaf * space.curvature**0.5
    norm = scaled.norm(dim=1, keepdim=True)
    sinh, cosh = (2 * norm).sinh() / norm * scaled, (2 * norm).cosh()
    z = (cosh * cosh.mT - sinh @ sinh.mT - 1).clamp_min(1e-6)
    logits = -(z + (z * (z + 2)).sqrt()).log1p() / (space.curvature**0.5 * TEMPERATURE)
    logits.masked_fill(labels[:, None] == labels, -torch.inf).logsumexp(1).sum().backward()


def _points(count: int, space: Space | None = None) -> Tensor:
    space = space or Hyperbolic(curvature=0.1, clip=2.3)
    return space(torch.randn(count, DIM, generator=torch.Generator().manual_seed(0)) * 0.15)


def _large(what: str, count: int, threads: int) -> float:
    """Peak memory in MB that one loss of `count` points adds."""
    torch.set_num_threads(threads)
    space = Hyperbolic(curvature=0.1, clip=2.3)
    x, loss = _points(count), PairwiseCrossEntropy(space, TEMPERATURE)

    def call(count: int) -> None:
        labels = torch.arange(count // 2).repeat(2)
        ours(x[:count], labels, loss) if what == "ours" else plain(x[:count], labels, space)

    call(4_096 if what == "ours" else 256)
    before = peak()
    call(count)
    return peak() - before


def megabytes(what: str, count: int, threads: int) -> float:
    """Memory of `ours` or `plain`, measured in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_large, (what, count, threads))


def run(threads: int = 2) -> list[dict]:
    """One row a measurement: `name`, `seconds`, `ratio` to its floor, `megabytes` where measured."""
    torch.set_num_threads(threads)
    space, x, gradient = Hyperbolic(curvature=0.1, clip=2.3), _points(K), torch.randn(K, K)
    mixed = Mixed([Sphere(), space], [1.0, 3.0])
    both = _points(K, mixed)
    labels = {d: torch.arange(K // d).repeat(d) for d in (9, 2)}
    loss, of_both = PairwiseCrossEntropy(space, TEMPERATURE), PairwiseCrossEntropy(mixed, TEMPERATURE)
    floor_name, mixture_name = f"three products, K = {K} (floor)", "ours, sphere + hyperbolic, d = 9"
    calls: dict[str, Callable[[], object]] = {floor_name: lambda: floor(x, gradient)}
    calls |= {f"ours, d = {d}": lambda d=d: ours(x, labels[d], loss) for d in labels}
    calls[mixture_name] = lambda: ours(both, labels[9], of_both)
    took = dict.fromkeys(calls, float("inf"))
    # In turns, so that a busy spell of the machine falls on all of them.
    for _ in range(ROUNDS):
        for name, call in calls.items():
            took[name] = min(took[name], best(call, 20))
    for d in labels:
        values = ours(x, labels[d], loss), published_loop(x, d, space.curvature)
        if abs(values[0] - values[1]) > 1e-3 * values[1]:
            raise RuntimeError(f"the two programs disagree at d = {d}: {values}")
        took[f"published loop, d = {d}"] = best(lambda d=d: published_loop(x, d, space.curvature), 3)
    floors = {name: took[floor_name] * (2 if name == mixture_name else 1) for name in took}
    rows = [{"name": name, "seconds": seconds, "ratio": seconds / floors[name]} for name, seconds in took.items()]
    return rows + _run_large(threads)


def _run_large(threads: int) -> list[dict]:
    space, x = Hyperbolic(curvature=0.1, clip=2.3), _points(LARGE)
    labels, loss = torch.arange(LARGE // 2).repeat(2), PairwiseCrossEntropy(space, TEMPERATURE)
    queue, batch = _points(QUEUE), x[:BATCH]
    some, own = x[:PLAIN], torch.arange(PLAIN // 2).repeat(2)
    calls = {
        "floor": lambda: product(x, x),
        "ours": lambda: ours(x, labels, loss),
        "plain floor": lambda: product(some, some),
        "plain": lambda: plain(some, own, space),
        "queue floor": lambda: product(batch, queue),
        "queue": lambda: rectangular(batch, queue, space),
    }
    took = {name: best(call, 2) for name, call in calls.items()}
    for name in took:
        if name.endswith("floor"):
            took[name] *= 2 if name == "queue floor" else 3
    rows = []
    for name, label, size, count in (
        ("ours", "ours, d = 2", f"K = {LARGE:,}", LARGE),
        ("plain", "plain autograd", f"K = {PLAIN:,}", PLAIN),
        ("queue", "ours, a batch against a queue", f"{BATCH:,} × {QUEUE:,}", None),
    ):
        lowest = took["floor" if name == "ours" else f"{name} floor"]
        products = "two" if name == "queue" else "three"
        rows.append({"name": f"{products} products, {size} (floor)", "seconds": lowest, "ratio": 1.0})
        row = {"name": f"{label}, {size}", "seconds": took[name], "ratio": took[name] / lowest}
        rows.append(row | ({"megabytes": megabytes(name, count, threads)} if count else {}))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print(f"pairwise cross-entropy, forward and backward, D = {DIM}, {options.threads} threads, one run")
    for row in run(options.threads):
        memory = f"{row['megabytes']:8.0f} MB more" if "megabytes" in row else ""
        print(f"{row['name']:<52}{1e3 * row['seconds']:12.2f} ms{row['ratio']:10.2f} ×{memory}")


if __name__ == "__main__":
    main()
