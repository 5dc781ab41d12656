"""Transfer: a tiny detector trains, is scored, is stopped and resumed to the same bits."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from horosphere.cli import main
from horosphere.config import TransferConfig
from horosphere.errors import InputError
from horosphere.models import Embedder
from horosphere.spaces import Sphere
from horosphere.studies import load_detector, make_detector, resume_transfer, transfer, transfer_table
from horosphere.training.metrics import Metrics
from tests.data.scenes.helpers import box, coco

pytest.importorskip("pycocotools", reason="needs the extra detection")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Discs and squares on grey, with their masks, as COCO's files."""
    root, rng = tmp_path_factory.mktemp("shapes"), np.random.default_rng(0)
    (root / "annotations").mkdir()
    for split, count in (("train", 6), ("val", 3)):
        (root / split).mkdir()
        images, annotations = [], []
        for i in range(count):
            image = Image.new("RGB", (64, 64), (120, 120, 120))
            draw = ImageDraw.Draw(image)
            for side in (0, 32):
                left, top, size = side + int(rng.integers(0, 8)), int(rng.integers(0, 36)), 24
                category = int(rng.choice([3, 7]))
                (draw.ellipse if category == 3 else draw.rectangle)(
                    (left, top, left + size, top + size), fill=(250, 200, 30)
                )
                edges = [left, top, left + size, top, left + size, top + size, left, top + size]
                annotations.append(box(i, left, top, size, size, category, segmentation=[edges]))
            image.save(root / split / f"{i}.png")
            images.append((i, f"{i}.png", 64, 64))
        (root / "annotations" / f"instances_{split}.json").write_text(coco(images, annotations))
    return root


def config(shapes, **options):
    options = {
        "encoder": "mobilenetv3_small_050",
        "steps": 4,
        "batch_size": 2,
        "side": 64,
        "channels": 16,
        "regions": 8,
    } | options
    return TransferConfig(
        data=str(shapes), anchor=4, warmup=1, checkpoint_every=2, log_every=1, workers=0, device="cpu", **options
    )


def test_a_run_that_was_killed_ends_with_the_same_bits(shapes, tmp_path, monkeypatch):
    whole = transfer(config(shapes), tmp_path / "whole", progress=False)
    write = Metrics.write

    def killed(self, step, values):
        if step == 3:
            raise RuntimeError("killed")
        write(self, step, values)

    monkeypatch.setattr(Metrics, "write", killed)
    with pytest.raises(RuntimeError, match="killed"):
        transfer(config(shapes), tmp_path / "cut", progress=False)
    monkeypatch.undo()
    cut = resume_transfer(tmp_path / "cut", progress=False)
    assert (cut / "detector.safetensors").read_bytes() == (whole / "detector.safetensors").read_bytes()
    assert (cut / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
    assert (cut / "transfer.json").read_text() == (whole / "transfer.json").read_text()
    assert not (cut / "checkpoint.pt").exists() and (cut / "detections.png").stat().st_size > 5000
    report = json.loads((whole / "transfer.json").read_text())
    assert (
        report["images"] == 3 and report["objects"] == 6 and report["judged_on"] == "validation" and report["mask"] is None
    )
    assert "boxes" in transfer_table(report) and "cat" in transfer_table(report)
    # Finished: comes back as it is. And the detector can be used.
    before = (whole / "transfer.json").stat().st_mtime_ns
    assert resume_transfer(whole) == whole and (whole / "transfer.json").stat().st_mtime_ns == before
    (result,) = load_detector(whole)([torch.rand(3, 50, 70)])
    assert set(result) == {"boxes", "labels", "scores"}


def test_segmentation_scores_masks_and_random_weights_train_their_batch_norms(shapes, tmp_path, capsys):
    arguments = [
        "--encoder",
        "mobilenetv3_small_050",
        "--data",
        str(shapes),
        "--task",
        "segmentation",
        "--initial",
        "random",
    ]
    arguments += [
        "--steps",
        "1",
        "--batch-size",
        "2",
        "--side",
        "64",
        "--channels",
        "16",
        "--regions",
        "8",
        "--workers",
        "0",
    ]
    assert main(["transfer", *arguments, "--device", "cpu", "-o", str(tmp_path / "s")]) == 0
    report = json.loads((tmp_path / "s" / "transfer.json").read_text())
    assert report["mask"]["AP"] is not None and report["initial"] == "random"
    assert "masks" in capsys.readouterr().out
    names = load_detector(tmp_path / "s").state_dict()
    assert any(name.endswith("num_batches_tracked") for name in names)


@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("resnet18", {}),
        ("mobilenetv2_100", {"pad_type": "same"}),
        ("vit_tiny_patch16_224", {"depth": 2, "embed_dim": 24, "num_heads": 2}),
    ],
)
def test_any_encoder_with_feature_maps_is_a_backbone(encoder, options):
    model = Embedder(encoder, Sphere(), 8, encoder_options=options)
    detector = make_detector(model, 3, side=64, channels=16, regions=8)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in detector.modules())
    losses = detector.train()(
        [torch.rand(3, 60, 90)], [{"boxes": torch.tensor([[5.0, 5, 40, 40]]), "labels": torch.tensor([1])}]
    )
    sum(losses.values()).backward()
    stem = next(parameter for parameter in detector.backbone.encoder.parameters() if parameter.ndim == 4)
    assert stem.grad is not None and stem.grad.abs().sum() > 0
    maps = detector.backbone(torch.zeros(1, 3, 64, 96))
    assert [tuple(each.shape[1:]) for each in maps.values()] == [(16, 64 // s, 96 // s) for s in (4, 8, 16, 32)] + [
        (16, 1, 2)
    ]


def test_the_encoder_starts_with_the_models_own_weights():
    model = Embedder("vit_tiny_patch16_224", Sphere(), 8, encoder_options={"depth": 1, "embed_dim": 24, "num_heads": 2})
    before = {name: tensor.clone() for name, tensor in model.encoder.state_dict().items()}
    after = make_detector(model, 2, side=64, channels=8).backbone.encoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_bad_input(shapes, tmp_path):
    data = tmp_path / "boxes"
    (data / "train").mkdir(parents=True)
    for split, name in (("train", "0.png"), ("val", "1.png")):
        Image.new("RGB", (64, 64)).save(data / "train" / name)
        text = coco([(0, f"train/{name}", 64, 64)], [box(0, 5, 5, 30, 30)])
        (data / f"instances_{split}.json").write_text(text)
    with pytest.raises(InputError, match="no masks"):
        transfer(config(data, task="segmentation"), tmp_path / "a", progress=False)
    with pytest.raises(InputError, match="does not exist"):
        transfer(config(tmp_path / "none"), tmp_path / "b", progress=False)
    polygon = [[5, 5, 35, 5, 35, 35, 5, 35]]
    (data / "instances_train.json").write_text(
        coco([(0, "train/0.png", 64, 64)], [box(0, 5, 5, 30, 30, segmentation=polygon)])
    )
    with pytest.raises(InputError, match="split validation has a box with a class and a mask"):
        transfer(config(data, task="segmentation"), tmp_path / "a", progress=False)
    (data / "instances_val.json").unlink()
    with pytest.raises(InputError, match="only training images"):
        transfer(config(data), tmp_path / "c", progress=False)
    with pytest.raises(InputError, match=r"transfer\.steps is 0"):
        config(shapes, steps=0)
    with pytest.raises(InputError, match="no encoder"):
        make_detector(Embedder(None, Sphere(), 8, width=4), 2)
    with pytest.raises(InputError, match="no finished transfer"):
        load_detector(tmp_path)
    assert not any((tmp_path / name).exists() for name in "abc")
    with pytest.raises(InputError, match="lower --lr"):
        transfer(replace(config(shapes), lr=1e30, clip_norm=None), tmp_path / "d", progress=False)
