"""Negative weights p(x⁻) at the size of Stanford Online Products: python -m benchmarks.negatives [--images N] [--threads T].

The points of benchmarks.retrieval, 60,502 × 128 in 11,316 classes. Measured in one run on the same threads, at two
temperatures:

* floor: the float32 matrix product of 1,000 anchors with all points in blocks, its result thrown away; of a mixture one a
  part;
* the streamed analysis of these anchors, `insight.weigh_negatives`, on the sphere, in the ball, and in both mixed;
* with every point an anchor, in the ball; its floor is the product of all points with all.

Memory is the growth of a fresh process's peak over its peak before, points made and the library warm.
"""

import argparse
import multiprocessing
from collections.abc import Callable

import torch

from horosphere.insight import anchors_among, weigh_negatives
from horosphere.spaces import Hyperbolic, Mixed, Space, Sphere

from .retrieval import DIM, IMAGES, peak, points, product, seconds

ANCHORS = 1000


def _of_ball(images: int, anchors: int | None, threads: int) -> tuple[float, float]:
    torch.set_num_threads(threads)
    space = Hyperbolic(curvature=0.1, clip=2.3)
    x, labels = points(images)
    chosen = anchors_among(labels, anchors)
    weigh_negatives(space, x[:1000], labels[:1000] % 100)
    before = peak()
    took = seconds(lambda: weigh_negatives(space, x, labels, anchors=chosen))
    return took, peak() - before


def of_ball(images: int, anchors: int | None, threads: int) -> tuple[float, float]:
    """Time of an analysis and the peak memory in MB that it adds, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_of_ball, (images, anchors, threads))


def run(images: int = IMAGES, threads: int = 2, repeats: int = 3) -> list[dict]:
    """One row a measurement: `name`, `seconds`, `ratio` to its floor, and `megabytes` where measured."""
    torch.set_num_threads(threads)
    ball, sphere = Hyperbolic(curvature=0.1, clip=2.3), Sphere()
    x, labels = points(images)
    some, every = (anchors_among(labels, count) for count in (min(ANCHORS, images), None))
    unit = sphere(x)

    def weigh(space: Space, x: torch.Tensor, anchors) -> Callable[[], object]:
        return lambda: weigh_negatives(space, x, labels, anchors=anchors)

    few, all_ = f"{len(some):,} anchors", f"{len(every):,} anchors"
    calls = {
        f"{few}: matrix product (floor)": lambda: product(x[some], x),
        f"{few}: sphere": weigh(sphere, unit, some),
        f"{few}: ball": weigh(ball, x, some),
        f"{few}: mixture, two matrix products (floor)": lambda: [product(part[some], part) for part in (unit, x)],
        f"{few}: mixture": weigh(Mixed([sphere, ball]), torch.cat([unit, x], 1), some),
    }
    best = dict.fromkeys(calls, float("inf"))
    # In turns, so that a busy spell of the machine falls on all of them.
    for _ in range(repeats):
        for name, call in calls.items():
            best[name] = min(best[name], seconds(call))
    # A minute or two each: once.
    best[f"{all_}: matrix product (floor)"] = seconds(lambda: product(x[every], x))
    best[f"{all_}: ball"], grown = of_ball(images, None, threads)
    rows, floor = [], 0.0
    for name, took in best.items():
        if name.endswith("(floor)"):
            floor = took
        rows.append({"name": name, "seconds": took, "ratio": took / floor})
    rows[2]["megabytes"] = of_ball(images, ANCHORS, threads)[1]
    rows[-1]["megabytes"] = grown
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(f"{options.images:,} × {DIM} points, {options.threads} threads, best of {options.repeats}, one run")
    for row in run(**vars(options)):
        memory = f"{row['megabytes']:8.0f} MB more" if "megabytes" in row else ""
        print(f"{row['name']:<58}{row['seconds']:10.2f} s{row['ratio']:9.2f} ×{memory}")


if __name__ == "__main__":
    main()
