"""The training step: batches in chunks, and the loop's own time: python -m benchmarks.training [--threads T].

* one step (forward, loss, backward) of ViT-tiny on 96 images of 112 px, all at once and in chunks of 8: best time, ratio to
  all at once, and the growth of a fresh process's peak memory over its peak before (one step of 8 images done). A second
  forward pass for every chunk makes 4/3 of the time;
* the loop's own time, median of a step of a whole run, from the profile of `horosphere train --profile`: everything but
  data, model, loss, optimiser, logs and checkpoints; ratio to the step. Once with 450 cached features and a head, once with
  the demo's ViT;
* what a logged step tells of its points, 900 of 128 columns a part, on a sphere, in a ball, and in the mixture of both; best
  time, ratio to the loss of the same points and its gradient. Other steps tell nothing;
* ViT-S at 224 px on a GPU in bf16: 900 images at once and 9,000 in chunks of 300, with the GPU's peak memory; ratio to 900
  at once, an image.
"""

import argparse
import dataclasses
import json
import multiprocessing
import tempfile
from pathlib import Path

import numpy as np
import torch

import horosphere as hs
from horosphere import recipes
from horosphere.config import DataConfig
from horosphere.training.chunks import Chunked
from horosphere.training.telemetry import negatives_telemetry, points_telemetry

from .retrieval import peak, seconds

BATCH, CHUNK, SIZE = 96, 8, 112
NO_GPU = "not run: no CUDA device"


class Step:
    """Forward, loss and backward of `batch` random images."""

    def __init__(self, encoder: str, size: int, batch: int, chunk: int | None, device: str = "cpu"):
        torch.manual_seed(0)
        options = {"img_size": size}
        model = hs.Embedder(encoder, hs.Hyperbolic(), dim=128, freeze="patch", encoder_options=options)
        self.model = Chunked(model, chunk).to(device)
        self.images = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8).to(device)
        self.labels = torch.arange(batch // 2).repeat_interleave(2)
        self.loss = hs.PairwiseCrossEntropy(model.space)

    def __call__(self, images: int | None = None) -> None:
        batch, labels = self.images[:images], self.labels[:images]
        with torch.autocast(batch.device.type, torch.bfloat16, enabled=batch.is_cuda):
            points = self.model(batch)
        self.loss(points.float(), labels).backward()
        self.model.zero_grad()
        if batch.is_cuda:
            torch.cuda.synchronize()


def _peak_growth(chunk: int | None, threads: int) -> float:
    torch.set_num_threads(threads)
    step = Step("vit_tiny_patch16_224", SIZE, BATCH, chunk)
    step(CHUNK)
    before = peak()
    step()
    return peak() - before


def steps_in_chunks(threads: int, repeats: int) -> list[dict]:
    """All at once against chunks."""
    names = {None: f"ViT-tiny, {BATCH} images at once", CHUNK: f"ViT-tiny, {BATCH} images in chunks of {CHUNK}"}
    steps = {chunk: Step("vit_tiny_patch16_224", SIZE, BATCH, chunk) for chunk in names}
    for step in steps.values():
        step(2 * CHUNK)
    best = dict.fromkeys(names, float("inf"))
    # In turns, so that a busy spell of the machine falls on both.
    for _ in range(repeats):
        for chunk, step in steps.items():
            best[chunk] = min(best[chunk], seconds(step))
    rows = [{"name": names[chunk], "seconds": took, "ratio": took / best[None]} for chunk, took in best.items()]
    for row, chunk in zip(rows, names, strict=True):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            row["megabytes"] = pool.apply(_peak_growth, (chunk, threads))
    return rows


def profile(config) -> dict:
    """The profile of a run, which is thrown away."""
    training = dataclasses.replace(config.training, profile=True, checkpoint_every=10_000)
    evaluation = dataclasses.replace(config.evaluation, bootstrap=0)
    with tempfile.TemporaryDirectory() as folder:
        config = dataclasses.replace(config, training=training, evaluation=evaluation)
        run = hs.train(config, Path(folder) / "run", progress=False)
        return json.loads(run.profile_path.read_text())


def loops_own_time(steps: int = 40) -> list[dict]:
    """What the loop adds to a step, with features and with the demo's ViT."""
    rng = np.random.default_rng(0)
    demo = recipes.get("demo").config()
    demo = dataclasses.replace(demo, training=dataclasses.replace(demo.training, steps=steps))
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/features.npz"
        rows = rng.normal(size=(4000, 384)).astype(np.float32)
        np.savez(file, features=rows, labels=np.repeat(np.arange(200), 20))
        features = dataclasses.replace(
            demo,
            data=DataConfig(layout="features", root=file),
            model=dataclasses.replace(demo.model, encoder=None, encoder_options={}),
            batch=dataclasses.replace(demo.batch, classes=90, images=5),
        )
        summaries = {"features and a head": profile(features), "the demo's ViT": profile(demo)}
    return [
        {
            "name": f"the loop's own time, {name}",
            "seconds": summary["parts"]["loop"]["median_seconds"],
            "ratio": summary["parts"]["loop"]["median_seconds"] / summary["median_seconds"],
        }
        for name, summary in summaries.items()
    ]


def logged_steps(repeats: int) -> list[dict]:
    """The telemetry of a batch of the published size, beside its loss."""
    parts = {"a sphere": hs.Sphere(), "a ball": hs.Hyperbolic(), "both": hs.Mixed([hs.Sphere(), hs.Hyperbolic()])}
    labels, rows = torch.arange(100).repeat_interleave(9), []
    for name, space in parts.items():
        features = 0.2 * torch.randn(900, 128, generator=torch.Generator().manual_seed(0))
        loss, points = hs.PairwiseCrossEntropy(space), space(features).requires_grad_(True)

        def tell(space=space, loss=loss, points=points) -> None:
            points_telemetry(space, points, labels)
            negatives_telemetry(loss, points, labels)

        def learn(loss=loss, points=points) -> None:
            loss(points, labels).backward()

        calls = {call: float("inf") for call in (tell, learn)}
        # In turns, so that a busy spell of the machine falls on both.
        for _ in range(5 * repeats):
            for call, best in calls.items():
                calls[call] = min(best, seconds(call))
        rows.append(
            {
                "name": f"telemetry of a logged step, 900 points of {name}",
                "seconds": calls[tell],
                "ratio": calls[tell] / calls[learn],
            }
        )
    return rows


def large_batches(repeats: int) -> list[dict]:
    """Published and ten-fold published batches on a GPU."""
    batches = {(900, None): "ViT-S, 900 images at once, GPU", (9000, 300): "ViT-S, 9,000 images in chunks of 300, GPU"}
    if not torch.cuda.is_available():
        return [{"name": name, "note": NO_GPU} for name in batches.values()]
    rows, floor = [], 0.0
    for (batch, chunk), name in batches.items():
        step = Step("vit_small_patch16_224", 224, batch, chunk, "cuda")
        step(2 * CHUNK)
        torch.cuda.reset_peak_memory_stats()
        took = min(seconds(step) for _ in range(repeats))
        floor = floor or took / batch
        memory = torch.cuda.max_memory_allocated() / 2**20
        rows.append({"name": name, "seconds": took, "ratio": took / batch / floor, "megabytes": memory})
        del step
    return rows


def run(threads: int = 2, repeats: int = 3) -> list[dict]:
    """One row a measurement: `name`, `seconds`, `ratio`, and `megabytes` where measured; or `name` and `note`, why not."""
    torch.set_num_threads(threads)
    return [*steps_in_chunks(threads, repeats), *loops_own_time(), *logged_steps(repeats), *large_batches(repeats)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    for row in run(**vars(parser.parse_args())):
        if "note" in row:
            print(f"{row['name']:<48}{row['note']}")
            continue
        memory = f"{row['megabytes']:8.0f} MB more" if "megabytes" in row else ""
        print(f"{row['name']:<48}{1e3 * row['seconds']:10.2f} ms{row['ratio']:9.4f} ×{memory}")


if __name__ == "__main__":
    main()
