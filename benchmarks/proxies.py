"""Many proxies, forward and backward: python -m benchmarks.proxies [--threads T].

A batch of 900 images against the proxies of Stanford Online Products' 11,318 training classes, 2 a class, 128 columns, on
the sphere and in the ball (c = 0.1, clip 2.3). Measured in one run on the same threads, in turns:

* floor: three products of 900 × 128 with 22,636 × 128, one for the inner products and two for their gradient;
* SoftTriple, its merging term and the placing of the proxies included: `losses.SoftTriple`;
* Proxy-Anchor with one proxy a class, half of SoftTriple's floor: `losses.ProxyAnchor`;
* plain autograd: SoftTriple's formula through the whole matrix of distances, and torch's own gradient;
* checkpointed: the same in blocks of 512 classes, each made again for the gradient by torch's checkpointing.

Memory is the growth of a fresh process's peak over its peak before, the proxies made and the library warm; of it 12 MB are
the proxies' gradient.
"""

import argparse
import multiprocessing
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus
from torch.utils.checkpoint import checkpoint

from horosphere.losses import ProxyAnchor, SoftTriple
from horosphere.spaces import Hyperbolic, Space, Sphere

from .retrieval import peak, seconds

IMAGES, CLASSES, CENTRES, DIM = 900, 11_318, 2, 128
BLOCK = 512
ROUNDS = 3
SPACES: dict[str, Callable[[], Space]] = {"sphere": Sphere, "ball": Hyperbolic}


def plain(loss: SoftTriple, points: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over the whole matrix of similarities."""
    soft = _soft(loss, points, loss.proxies())
    logits = loss.scale * (soft - loss.margin * torch.nn.functional.one_hot(labels, loss.classes))
    return torch.nn.functional.cross_entropy(logits, labels) + loss._merging(loss.proxies())


def checkpointed(loss: SoftTriple, points: Tensor, labels: Tensor) -> Tensor:
    """The sum over classes in blocks that are made again for the gradient."""
    proxies = loss.proxies()

    def block(points: Tensor, proxies: Tensor, first: int) -> Tensor:
        logits = loss.scale * _soft(loss, points, proxies)
        own = labels[:, None] == torch.arange(first, first + logits.shape[1])
        return logits.masked_fill(own, -torch.inf).logsumexp(1)

    blocks = enumerate(proxies.split(BLOCK * CENTRES))
    sums = [checkpoint(block, points, some, i * BLOCK, use_reentrant=False) for i, some in blocks]
    others = torch.stack(sums).logsumexp(0)  # ty: ignore[invalid-argument-type]
    return softplus(others - loss._own(points, labels, proxies)).mean() + loss._merging(proxies)


def _soft(loss: SoftTriple, points: Tensor, proxies: Tensor) -> Tensor:
    s = 1 - 2 / loss.diameter * loss.space.pairwise(points, proxies).view(len(points), -1, CENTRES)
    return ((s / loss.gamma).softmax(2) * s).sum(2)


#: What is measured: its name, how it is called, and centres a class.
CALLS: dict[str, tuple[Callable[..., Tensor], int]] = {
    "SoftTriple": (lambda loss, points, labels: loss(points, labels), CENTRES),
    "Proxy-Anchor": (lambda loss, points, labels: loss(points, labels), 1),
    "SoftTriple, plain autograd": (plain, CENTRES),
    "SoftTriple, checkpointed": (checkpointed, CENTRES),
}


def _problem(name: str, what: str) -> Callable[[int], float]:
    """Forward and backward over some images: a function of how many."""
    torch.manual_seed(0)
    space, (call, centres) = SPACES[name](), CALLS[what]
    loss = SoftTriple(space, CLASSES, centres, DIM) if centres > 1 else ProxyAnchor(space, CLASSES, DIM)
    points, labels = space(torch.randn(IMAGES, DIM) * 0.15), torch.randint(CLASSES, (IMAGES,))

    def step(images: int) -> float:
        loss.zero_grad()
        leaf = points[:images].clone().requires_grad_()
        value = call(loss, leaf, labels[:images])
        value.backward()
        return value.item()

    return step


def _peak(name: str, what: str, threads: int) -> float:
    torch.set_num_threads(threads)
    step = _problem(name, what)
    step(4)
    before = peak()
    step(IMAGES)
    return peak() - before


def megabytes(name: str, what: str, threads: int) -> float:
    """Peak memory that one step adds, measured in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (name, what, threads))


def floor() -> Callable[[], None]:
    x, y, gradient = torch.randn(IMAGES, DIM), torch.randn(CLASSES * CENTRES, DIM), torch.randn(IMAGES, CLASSES * CENTRES)

    def products() -> None:
        _ = x @ y.mT
        _ = gradient @ y
        _ = gradient.mT @ x

    return products


def run(threads: int = 2) -> list[dict]:
    """One row a measurement: `name`, `seconds`, `ratio` to its floor, `megabytes` where measured."""
    torch.set_num_threads(threads)
    size = f"{IMAGES} × {CLASSES:,} × {CENTRES}"
    calls: dict[tuple[str, str], Callable[[], object]] = {("", f"three products, {size} (floor)"): floor()}
    for name in SPACES:
        values = {}
        for what in CALLS:
            step = _problem(name, what)
            calls[name, what] = lambda step=step: step(IMAGES)
            values[what] = step(IMAGES)
        plainly = values["SoftTriple, plain autograd"]
        if any(abs(values[what] - plainly) > 1e-4 * plainly for what in values if "SoftTriple" in what):
            raise RuntimeError(f"the programs disagree: {values}")
    took = dict.fromkeys(calls, float("inf"))
    # In turns, so that a busy spell of the machine falls on all of them.
    for _ in range(ROUNDS):
        for key, call in calls.items():
            took[key] = min(took[key], seconds(call))
    lowest, rows = next(iter(took.values())), []
    for (name, what), least in took.items():
        floored = lowest / 2 if what == "Proxy-Anchor" else lowest
        row = {"name": f"{what}, {name}" if name else what, "seconds": least, "ratio": least / floored}
        rows.append(row | ({"megabytes": megabytes(name, what, threads)} if name else {}))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print(f"losses with proxies, forward and backward, D = {DIM}, {options.threads} threads, one run")
    for row in run(options.threads):
        memory = f"{row['megabytes']:8.0f} MB more" if "megabytes" in row else ""
        print(f"{row['name']:<52}{1e3 * row['seconds']:12.2f} ms{row['ratio']:10.2f} ×{memory}")


if __name__ == "__main__":
    main()
