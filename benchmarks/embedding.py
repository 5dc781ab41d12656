"""Embedding a decoded data set against bare timm: python -m benchmarks.embedding [--threads T].

Images of 224 px that are decoded already, through `embed_data` (views, normalisation, encoder, head and space; what
`horosphere embed` runs) in this process, in float32 and bf16-mixed. The floor of each row is the timm model alone, in eval
and inference mode, with random floats of the same batch size, precision and memory layout (the channels last): nothing but
the encoder. The rows of contiguous timm, as `timm.create_model` makes it, show what the layout is worth.

MobileNetV2 in batches of 64 and ViT-S in batches of 32, with random weights, which take the same time as trained ones.
Best of several repeats, in turns.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import timm
import torch

import horosphere as hs
from horosphere.data import ArrayImages, RetrievalData
from horosphere.models import embed_data
from horosphere.models.embedding import DTYPES

from .retrieval import seconds

ENCODERS = {"mobilenetv2_100": 64, "vit_small_patch16_224": 32}
SIZE, BATCHES = 224, 2


def bare(encoder: str, batch_size: int, precision: str, layout: torch.memory_format) -> Callable[[], None]:
    """timm alone, over as many batches of random floats."""
    model = timm.create_model(encoder, num_classes=0).eval().to(memory_format=layout)
    images = torch.randn(batch_size, 3, SIZE, SIZE)

    def call() -> None:
        with torch.inference_mode(), torch.autocast("cpu", DTYPES[precision], enabled=precision != "32-true"):
            for _ in range(BATCHES):
                model(images)

    return call


def ours(encoder: str, batch_size: int, precision) -> Callable[[], object]:
    """Everything from decoded images to points."""
    model = hs.Embedder(encoder, hs.Hyperbolic(), dim=128)
    assert model.preprocessing is not None  # an encoder has one
    model.set_preprocessing(replace(model.preprocessing, resize=SIZE))
    n = BATCHES * batch_size
    images = ArrayImages(np.random.default_rng(0).integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8))
    data = RetrievalData("images", images, None, np.zeros(n, np.int64), ("a",), None, np.full(n, "test"))
    return lambda: embed_data(model, data, batch_size=batch_size, precision=precision)


def run(threads: int = 2, repeats: int = 3) -> list[dict]:
    """One row a measurement: `name`, `seconds` for all batches, and `ratio` to the floor of its encoder and precision."""
    torch.set_num_threads(threads)
    rows = []
    for (encoder, batch_size), precision in product(ENCODERS.items(), ("32-true", "bf16-mixed")):
        floor, *_ = calls = {
            "timm (floor)": bare(encoder, batch_size, precision, torch.channels_last),
            "timm, contiguous": bare(encoder, batch_size, precision, torch.contiguous_format),
            "embed_data": ours(encoder, batch_size, precision),
        }
        best = dict.fromkeys(calls, float("inf"))
        # In turns, so that a busy spell of the machine falls on all of them.
        for _, (name, call) in product(range(repeats), calls.items()):
            best[name] = min(best[name], seconds(call))
        for name, took in best.items():
            rows.append({"name": f"{encoder}, {precision}: {name}", "seconds": took, "ratio": took / best[floor]})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    for row in run(**vars(parser.parse_args())):
        print(f"{row['name']:<56}{row['seconds']:10.3f} s{row['ratio']:8.3f} ×")


if __name__ == "__main__":
    main()
