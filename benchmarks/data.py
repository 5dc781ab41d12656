"""Images per second from JPEG files to batches: python -m benchmarks.data [--batches B] [--repeats R].

64 JPEGs of 500 × 375 and of 1024 × 768 (quality 90, 4:2:0): mosaics of photographs at their own resolution, never enlarged,
from the 320-pixel scenes of ../shared/data/coco_scenes_320.zip, or else of scikit-learn's two sample photographs. They are
sharper than a camera's picture of that size, so their files are larger (rows say how large), and more of the time is entropy
decoding. Files are in the page cache.

Training views are random crops of 224 × 224 (scale 0.2 to 1, bicubic, antialiased) and a flip in one of two; evaluation
views resize the shorter side to 256 and cut the centre. Batches of 64, collated, from one worker process and from as many as
there are cores; worker processes start before the clock does. Pipelines take turns, and each counts its best turn. `ratio`
is the speed over that of "timm, uint8" on the same files with the same workers, `ratio_default` over that of "timm".

* ours: `training_batches` and `embedding_batches`, as training and embedding use them, with simplejpeg;
* ours, without simplejpeg: Pillow decodes;
* ours, decoded once: from the file that `data.decoded=disk` makes; making it is not counted;
* timm, uint8: Pillow's decoding and `timm.data.create_transform` with color_jitter=None (no jitter, no auto-augment, no
  erasing: the same work as ours) and use_prefetcher=True, whose uint8 output is normalised on the device, as ours is;
* timm: the same without use_prefetcher, the function's default: the workers normalise to float32;
* torchvision v2: `torchvision.io.decode_jpeg` and v2 transforms of uint8 tensors;
* entropy decoding: simplejpeg's decoding at 1/8 of the sides, which skips nearly all but the Huffman codes, into an empty
  view. Nothing that decodes with libjpeg-turbo is faster.

Fidelity: PSNR in dB of a training view against Pillow's whole decode, crop and bicubic resize of the same box, two boxes an
image: median, 5 % quantile and worst. At 224 pixels these files are never decoded at a reduced scale; views of 64 pixels
show what that costs.
"""

import argparse
import io
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from time import perf_counter
from unittest.mock import patch

import numpy as np
import simplejpeg
import timm.data
import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import RandomResizedCrop, v2

from horosphere.data import (
    Augmentation,
    ClassBalancedSampler,
    Picture,
    Preprocessing,
    RetrievalData,
    decode_once,
    decoding,
    embedding_batches,
    load_data,
    training_batches,
)
from horosphere.data.transforms import crop

SIZES = ((500, 375), (1024, 768))
CLASSES, EACH = 16, 4
BATCH = CLASSES * EACH
SCENES = Path(__file__).parents[2] / "shared" / "data" / "coco_scenes_320.zip"
PREPROCESSING, AUGMENTATION = Preprocessing(224, 256), Augmentation(scale=(0.2, 1), flip=True)


def photographs() -> list[Image.Image]:
    """The photographs that mosaics are made of."""
    if not SCENES.is_file():
        return [Image.fromarray(array) for array in load_sample_images().images]
    with zipfile.ZipFile(SCENES) as scenes:
        names = sorted(name for name in scenes.namelist() if name.endswith(".jpg"))
        return [Image.open(io.BytesIO(scenes.read(name))).convert("RGB") for name in names]


def mosaic(tiles: list[Image.Image], width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """Rows of photographs side by side, cut where they end; the first one loses a random corner."""
    canvas = Image.new("RGB", (width, height))
    top = -int(rng.integers(100))
    while top < height:
        left, row = -int(rng.integers(100)), []
        while left < width:
            row.append(tiles[rng.integers(len(tiles))])
            canvas.paste(row[-1], (left, top))
            left += row[-1].width
        top += min(tile.height for tile in row)
    return canvas


def write_images(root: Path, width: int, height: int) -> RetrievalData:
    """A class folder for each of 16 classes, with 4 JPEGs each."""
    tiles, rng = photographs(), np.random.default_rng(0)
    for i in range(BATCH):
        path = root / f"{i % CLASSES:02}" / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        mosaic(tiles, width, height, rng).save(path, quality=90, subsampling="4:2:0")
    return load_data("folder", root, train_classes=CLASSES)


class Files(Dataset):
    """The files over and over, through a function of a path: what a torch DataLoader of others' transforms reads."""

    def __init__(self, paths: list[str], view: Callable):
        self.paths, self.view = paths, view

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, index):
        return self.view(self.paths[index % len(self.paths)])


def pillow(path: str) -> Image.Image:
    return Image.open(path).convert("RGB")


def tensor(path: str) -> torch.Tensor:
    return torchvision.io.decode_jpeg(torchvision.io.read_file(path), torchvision.io.ImageReadMode.RGB)


def entropy(path: str) -> torch.Tensor:
    content = Path(path).read_bytes()
    height, width, *_ = simplejpeg.decode_jpeg_header(content)
    simplejpeg.decode_jpeg(content, min_width=-(-width // 8), min_height=-(-height // 8))
    return torch.empty(3, PREPROCESSING.size, PREPROCESSING.size, dtype=torch.uint8)


def others(training: bool) -> dict[str, Callable]:
    """View functions of the other pipelines, by name."""
    size, resize = PREPROCESSING.size, PREPROCESSING.resize
    options = {"scale": AUGMENTATION.scale, "color_jitter": None} if training else {"crop_pct": size / resize}
    bytes_view, float_view = (
        timm.data.create_transform(size, training, interpolation="bicubic", use_prefetcher=prefetcher, **options)
        for prefetcher in (True, False)
    )
    bicubic = v2.InterpolationMode.BICUBIC
    tensor_view = v2.Compose(
        [v2.RandomResizedCrop(size, AUGMENTATION.scale, interpolation=bicubic), v2.RandomHorizontalFlip()]
        if training
        else [v2.Resize(resize, bicubic), v2.CenterCrop(size)]
    )
    return {
        "timm, uint8": lambda path: bytes_view(pillow(path)),
        "timm": lambda path: float_view(pillow(path)),
        "torchvision v2": lambda path: tensor_view(tensor(path)),
        "entropy decoding": entropy,
    }


def our_batches(data: RetrievalData, preprocessing: Preprocessing, training: bool, workers: int) -> Iterator[torch.Tensor]:
    if training:
        sampler = ClassBalancedSampler(data.labels, classes=CLASSES, images=EACH)
        batches = training_batches(data, sampler, preprocessing, AUGMENTATION, workers=workers)
    else:
        batches = embedding_batches(
            data.take(np.tile(np.arange(BATCH), 1000)), preprocessing, batch_size=BATCH, workers=workers
        )
    with closing(batches):
        yield from (batch.images for batch in batches)


@contextmanager
def without_simplejpeg() -> Iterator[None]:
    """Worker processes are forked, and take this with them."""
    with patch.object(decoding, "_simplejpeg", lambda: None):
        yield


def pillow_batches(*arguments) -> Iterator[torch.Tensor]:
    with without_simplejpeg():
        yield from our_batches(*arguments)


def images_per_second(batches: Iterator[torch.Tensor], count: int) -> float:
    """Over `count` batches after the first."""
    next(batches)
    start = perf_counter()
    images = sum(len(batch) for batch in islice(batches, count))
    return images / (perf_counter() - start)


def speeds(data: RetrievalData, training: bool, workers: int, batches: int, repeats: int) -> dict[str, float]:
    """Images per second by pipeline."""
    paths = [str(Path(data.images.root, path)) for path in data.images.paths]
    pipelines = {
        "ours": lambda: our_batches(data, PREPROCESSING, training, workers),
        "ours, without simplejpeg": lambda: pillow_batches(data, PREPROCESSING, training, workers),
    }
    if training:
        held, preprocessing, _ = decode_once(data, PREPROCESSING, AUGMENTATION, where="disk")
        pipelines["ours, decoded once"] = lambda: our_batches(held, preprocessing, training, workers)
    for name, view in others(training).items():
        loader = DataLoader(Files(paths, view), BATCH, num_workers=workers)
        pipelines[name] = lambda loader=loader: iter(loader)
    best = dict.fromkeys(pipelines, 0.0)
    # In turns, so that a busy spell of the machine falls on all of them.
    for _ in range(repeats):
        for name, start in pipelines.items():
            best[name] = max(best[name], images_per_second(start(), batches))
    return best


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """In dB, at most 99."""
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return 99.0 if error == 0 else min(99.0, 10 * np.log10(255**2 / error))


def fidelity(data: RetrievalData, size: int) -> dict[str, np.ndarray]:
    """PSNR of two views an image, by pipeline. Boxes lie on multiples of 8 pixels, so that no reduction has to move them."""
    preprocessing = Preprocessing(size, size)
    found = {"ours": [], "ours, without simplejpeg": [], "torchvision v2": []}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for i, path in enumerate(data.images.paths):
            content, file = data.images.read(i), str(Path(data.images.root, path))
            whole, decoded = pillow(file), tensor(file)
            for _ in range(2):
                drawn = RandomResizedCrop.get_params(decoded, AUGMENTATION.scale, AUGMENTATION.ratio)
                top, left, height, width = (edge // 8 * 8 for edge in drawn)
                box = left, top, left + width, top + height
                reference = np.asarray(whole.crop(box).resize((size, size), Image.Resampling.BICUBIC))
                views = {"ours": crop(Picture(content), box, preprocessing)}
                with without_simplejpeg():
                    views["ours, without simplejpeg"] = crop(Picture(content), box, preprocessing)
                views["torchvision v2"] = v2.functional.resized_crop(
                    decoded, top, left, height, width, [size, size], v2.InterpolationMode.BICUBIC
                )
                for name, view in views.items():
                    found[name].append(psnr(view.permute(1, 2, 0).numpy(), reference))
    return {name: np.array(values) for name, values in found.items()}


def run(batches: int = 4, repeats: int = 3) -> list[dict]:
    """One row a measurement.

    Speed: `name`, `seconds` (an image), `images_per_second`, `ratio` to "timm, uint8" and
    `ratio_default` to "timm". Fidelity: `name`, `psnr` (median, 5 %
    quantile, worst).
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, HOROSPHERE_CACHE=str(Path(folder, "cache"))):
        for width, height in SIZES:
            data = write_images(Path(folder, f"{width}"), width, height)
            kilobytes = np.mean([len(data.images.read(i)) for i in range(len(data))]) / 1000
            files = f"{width} × {height} ({kilobytes:.0f} kB)"
            everyone = os.cpu_count() or 1
            for training, workers in sorted({(True, 1), (True, everyone), (False, everyone)}, reverse=True):
                found = speeds(data, training, workers, batches, repeats)
                what = f"{files}, {'training' if training else 'evaluation'}, {workers} worker{'s' * (workers > 1)}"
                rows += [
                    {
                        "name": f"{what}: {name}",
                        "seconds": 1 / speed,
                        "images_per_second": speed,
                        "ratio": speed / found["timm, uint8"],
                        "ratio_default": speed / found["timm"],
                    }
                    for name, speed in found.items()
                ]
            for size in (PREPROCESSING.size, 64):
                rows += [
                    {"name": f"{files}, view of {size}: {name}", "psnr": np.quantile(values, [0.5, 0.05, 0]).tolist()}
                    for name, values in fidelity(data, size).items()
                ]
    return rows


def table(rows: list[dict]) -> str:
    """Rows as Markdown: speed, then fidelity."""
    lines = ["| what | images/s | × timm, uint8 | × timm |", "| --- | ---: | ---: | ---: |"]
    for row in rows:
        if "psnr" not in row:
            ratios = f"{row['ratio']:.2f} | {row['ratio_default']:.2f}"
            lines.append(f"| {row['name']} | {row['images_per_second']:,.0f} | {ratios} |")
    lines += ["", "| PSNR against Pillow, dB | median | 5 % | worst |", "| --- | ---: | ---: | ---: |"]
    for row in rows:
        if "psnr" in row:
            lines.append(f"| {row['name']} | " + " | ".join(f"{value:.1f}" for value in row["psnr"]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    print(table(run(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
