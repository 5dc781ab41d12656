"""Runs with untrained models, and folders of images."""

import numpy as np
import pytest
import torch
from PIL import Image

from horosphere import build
from horosphere.config import Config, DataConfig, ModelConfig
from horosphere.data import save_arrays
from horosphere.runs import Run

from ..training import tiny


def begun(folder, config: Config) -> Run:
    """A run as far as searching needs it: a config and a model."""
    run = Run(folder)
    run.begin(config)
    build.embedder(config, build.data(config.data)).save(run.model_path)
    return run


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Run:
    torch.manual_seed(0)
    return begun(tmp_path_factory.mktemp("runs") / "digits", tiny.config())


@pytest.fixture(scope="session")
def other_run(tmp_path_factory) -> Run:
    torch.manual_seed(1)
    return begun(tmp_path_factory.mktemp("runs") / "other", tiny.config())


@pytest.fixture(scope="session")
def features_run(tmp_path_factory) -> Run:
    folder, rng = tmp_path_factory.mktemp("runs"), np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 5)
    save_arrays(
        folder / "f.npz",
        features=rng.normal(size=(30, 12)).astype(np.float32) + labels[:, None],
        labels=labels,
        classes=[f"kind{i}" for i in range(6)],
        superclasses=[("living", "animal" if i % 2 else "plant") for i in range(6)],
        split=np.where(labels < 3, "train", "test"),
        ids=[f"item{i}" for i in range(30)],
    )
    config = tiny.config()
    return begun(
        folder / "features",
        Config(data=DataConfig("features", str(folder / "f.npz")), model=ModelConfig(None, dim=8), space=config.space),
    )


def paint(path, seed: int, side: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def paint_photos(folder):
    """Twelve images in the folders cat and dog, and one at the top."""
    for i in range(12):
        paint(folder / ("cat" if i % 2 else "dog") / f"{i:02}.png", i)
    paint(folder / "top.png", 99)
    return folder


@pytest.fixture
def photos(tmp_path):
    return paint_photos(tmp_path / "photos")
