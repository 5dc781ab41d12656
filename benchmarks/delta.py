"""δ-hyperbolicity: python -m benchmarks.delta.

δ at one base point of clusters in 384 columns (100 classes, like an encoder's output). Measured in one run, one thread:

* restatement: distances, Gromov products, and the n³ tensor of the min-max product in float32, 4 GB at n = 1,000;
* ours: the same from features, in float64, by the pruned search;
* ours on a circle, whose many nearly equal squares are the hardest for the pruning; the restatement takes on it what it
  takes on anything;
* ours at n = 2,000, where the tensor would have 32 GB: the draw of the paper's Table 1.

The ratio is to the restatement at n = 1,000. Memory is the growth of a fresh process's peak, points made and the library
warm.
"""

import multiprocessing
import time

import numpy as np
import torch

from horosphere.insight import relative_delta

from .retrieval import peak

SAMPLES, WIDTH, CLASSES = 1000, 384, 100


def clusters(count: int) -> torch.Tensor:
    """Classes as far apart as they are wide."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, WIDTH, generator=generator)
    return centres[torch.arange(count) % CLASSES] + torch.randn(count, WIDTH, generator=generator)


def circle(count: int) -> torch.Tensor:
    """Points on the unit circle."""
    angle = 2 * torch.pi * torch.rand(count, generator=torch.Generator().manual_seed(0))
    return torch.stack([angle.cos(), angle.sin()], 1)


def restatement(features: torch.Tensor) -> float:
    """Relative δ at the first point, as published: a tensor of n³ floats."""
    apart = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist").numpy()
    products = (apart[:1] + apart[:1].T - apart) / 2
    tensor = np.minimum(products[:, :, None], products[None])
    return float(2 * (tensor.max(1) - products).max() / apart.max())


def ours(features: torch.Tensor) -> float:
    return relative_delta(features, samples=len(features), draws=1, seed=0).value


def _growth(call, kind, count: int) -> float:
    torch.set_num_threads(1)
    features = kind(count)
    call(features[:200])
    before = peak()
    call(features)
    return peak() - before


def run(count: int = SAMPLES, repeats: int = 3) -> list[dict]:
    """One row a measurement: `name`, `seconds`, `ratio` to the restatement, `megabytes`."""
    torch.set_num_threads(1)
    calls = {
        f"n³ tensor, n = {count:,} (restatement)": (restatement, clusters, count),
        f"ours, n = {count:,}": (ours, clusters, count),
        f"ours, n = {count:,}, a circle": (ours, circle, count),
        f"ours, n = {2 * count:,}": (ours, clusters, 2 * count),
    }
    best = dict.fromkeys(calls, float("inf"))
    # In turns, so that a busy spell of the machine falls on all of them.
    for _ in range(repeats):
        for name, (call, kind, size) in calls.items():
            features = kind(size)
            began = time.perf_counter()
            call(features)
            best[name] = min(best[name], time.perf_counter() - began)
    floor = next(iter(best.values()))
    rows = []
    for name, arguments in calls.items():
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            megabytes = pool.apply(_growth, arguments)
        rows.append({"name": name, "seconds": best[name], "ratio": best[name] / floor, "megabytes": megabytes})
    return rows


def main() -> None:
    for row in run():
        print(f"{row['name']:<40}{row['seconds']:10.3f} s{row['ratio']:9.4f} ×{row['megabytes']:8.0f} MB more")


if __name__ == "__main__":
    main()
