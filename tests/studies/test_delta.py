"""Table 1's procedure: training images, un-normalised outputs, and the paper's number only where it is the paper's row."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from horosphere import build
from horosphere.config import DeltaConfig, ModelConfig, PointsConfig
from horosphere.data import RetrievalData
from horosphere.errors import InputError
from horosphere.insight import relative_delta
from horosphere.studies import delta as table
from horosphere.studies import delta_table, measure_deltas

TINY = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 2}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three training classes and a test class of noise, and a file that is no image."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for split, name in (("train", "a"), ("train", "b"), ("train", "c"), ("test", "d")):
        place = folder / split / name
        place.mkdir(parents=True)
        for i in range(5):
            Image.fromarray(rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(place / f"{i}.png")
    (folder / "train" / "a" / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    return str(folder)


def test_an_encoder_is_measured_on_its_training_images(photos):
    torch.manual_seed(0)
    config = DeltaConfig(encoder=("vit_tiny_patch16_224",), encoder_options=TINY, data=photos, draws=3, samples=8, workers=0)
    (row,) = measure_deltas(config, progress=False)
    assert (row.delta.points, len(row.failures), row.published) == (15, 1, None) and "random weights" in row.rows
    assert row.to_dict()["failures"]["count"] == 1
    assert delta_table([row]).rows[0][2:4] == ["15", "3 × 8"]


def test_the_default_is_the_papers_encoders_with_their_weights(photos, monkeypatch):
    made, real = [], build.embedder

    def tiny(config, data):
        made.append(config.model)
        return real(table.Config(model=ModelConfig("vit_tiny_patch16_224", TINY), data=config.data), data)

    monkeypatch.setattr(build, "embedder", tiny)
    rows = measure_deltas(DeltaConfig(data=photos, draws=1, workers=0), progress=False)
    assert all(model.pretrained for model in made) and [model.encoder for model in made] == [row.rows for row in rows]
    assert made[0].encoder == "vit_small_patch16_224.augreg_in21k" and len(rows) == 3


@pytest.mark.parametrize(
    ("encoder", "pretrained", "count", "expected"),
    [
        ("vit_small_patch16_224.dino", True, 5864, 0.315),
        ("deit_small_patch16_224.fb_in1k", True, 5864, 0.294),
        ("vit_small_patch16_224.dino", False, 5864, None),
        ("vit_small_patch16_224.dino", True, 2969, None),
        ("vit_tiny_patch16_224", True, 5864, None),
    ],
)
def test_the_papers_number_is_for_its_own_weights_and_images(encoder, pretrained, count, expected):
    rows = np.zeros((count, 1))
    labels, split = np.zeros(count, int), np.full(count, "train")
    data = RetrievalData("CUB-200-2011", None, rows, labels, ("bird",), None, split)
    assert table._published(ModelConfig(encoder, pretrained=pretrained), data) == expected
    report = relative_delta(np.eye(5), draws=1)
    cells = delta_table([table.DeltaRow("CUB-200-2011", encoder, report, published=expected)])
    assert ("paper" in cells.header) == (expected is not None) and len(cells.rows[0]) == len(cells.header)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give something to measure"),
        ({"encoder": ("resnet18",)}, "needs images"),
        ({"encoder": ("resnet18", "resnet34"), "data": "x.zip", "checkpoint": "w.pth"}, "one encoder's"),
        ({"data": "x.zip", "checkpoint": "w.pth"}, "--checkpoint would do nothing here, without --encoder"),
        ({"targets": (Path("x.npz"),), "data": "x.zip"}, "--data would do nothing here, for files"),
        ({"targets": (Path("run"),), "size": 8}, "--size would do nothing here, without an encoder"),
        ({"targets": (Path("run"),), "points": PointsConfig("sphere")}, "without a file of points"),
        ({"targets": (Path("run"),), "layout": "cub"}, "without --data"),
        ({"targets": (Path("run"),), "draws": 0}, "delta.draws is 0"),
    ],
)
def test_options_that_nothing_reads_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        DeltaConfig(**options)
