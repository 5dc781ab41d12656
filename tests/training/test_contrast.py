import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import horosphere as hs
from horosphere import build
from horosphere import config as configs
from horosphere.cli import main
from horosphere.config import (
    ContrastConfig,
    LoopConfig,
    SceneBatchConfig,
    SceneConfig,
    SceneCrops,
    SceneDataConfig,
    SceneModelConfig,
    SceneOptimiserConfig,
)
from horosphere.data import scene_batches
from horosphere.errors import InputError
from horosphere.spaces import Sphere
from horosphere.training import contrast

VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Twenty-four images in COCO's layout: coloured rectangles, three to six each, the last six for validation."""
    root = tmp_path_factory.mktemp("scenes")
    rng = np.random.default_rng(0)
    for split, count in (("train", 18), ("val", 6)):
        images, annotations = [], []
        (root / split).mkdir()
        for i in range(count):
            pixels = rng.integers(0, 60, (64, 80, 3), dtype=np.uint8)
            images.append({"id": i, "file_name": f"{i}.png", "width": 80, "height": 64})
            for _ in range(rng.integers(3, 7)):
                left, top = int(rng.integers(0, 50)), int(rng.integers(0, 40))
                width, height = int(rng.integers(12, 28)), int(rng.integers(12, 22))
                category = int(rng.integers(0, 3))
                pixels[top : top + height, left : left + width, category] = rng.integers(120, 255)
                annotations.append({"image_id": i, "category_id": category, "bbox": [left, top, width, height]})
            Image.fromarray(pixels).save(root / split / f"{i}.png")
        categories = [{"id": i, "name": name} for i, name in enumerate(("red", "green", "blue"))]
        (root / "annotations").mkdir(exist_ok=True)
        content = {"images": images, "annotations": annotations, "categories": categories}
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root


def tiny(root, steps=6, **changes) -> SceneConfig:
    """A ViT that trains in seconds, with dropout; `changes` are fields by section."""
    config = SceneConfig(
        recipe="tiny",
        data=SceneDataConfig(layout="coco", root=str(root), crops=SceneCrops(least=8, window=32), size=32, resize=32),
        model=SceneModelConfig("vit_tiny_patch16_224", VIT | {"proj_drop_rate": 0.2}, dim=8),
        contrast=ContrastConfig(queue=13, momentum=0.9),
        batch=SceneBatchConfig(images=6, norm_groups=2),
        optimiser=SceneOptimiserConfig(lr=0.05),
        training=LoopConfig(steps=steps, accelerator="cpu", workers=0, log_every=2, checkpoint_every=2),
    )
    for section, values in changes.items():
        config = dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **values)})
    return config


#: With batch norms that train.
RESNET = {"encoder": "test_resnet", "encoder_options": {}}


def weights(run):
    return load_file(run.model_path / "model.safetensors")


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_run_leaves_what_it_promises(tmp_path, scenes):
    config = tiny(scenes, model=RESNET, contrast={"dense_share": 0.5})
    run = hs.train(config, tmp_path / "run", progress=False)
    assert run.finished and not run.checkpoint_path.exists()
    assert configs.read(run.config_path) == config
    metrics = run.metrics()
    assert [entry["step"] for entry in metrics] == [2, 4, 6]
    assert [entry["queue_fill"] for entry in metrics] == pytest.approx([12 / 13, 1, 1])
    assert {"loss", "lr", "images_per_second", "radius/scenes", "radius/objects"} <= set(metrics[-1])
    assert {"gradient/encoder", "gradient/head", "gradient/dense"} <= set(metrics[-1])
    assert {"effective_rank", "alignment", "uniformity", "cosine_correlation", "curvature"} <= set(metrics[-1])
    for term in ("euclidean", "dense", "hyperbolic"):
        assert metrics[-1][f"{term}/loss"] > 0 and 0 <= metrics[-1][f"{term}/accuracy"] <= 1
    report = run.report
    assert set(report["terms"]) == {"euclidean", "dense", "hyperbolic"}
    assert report["judged_on"] == "validation" and report["found"]["scenes"] == 6
    assert report["found"]["radius"]["objects"]["0.5"] > 0
    page = run.page_path.read_text()
    assert "<img" in page and "http" not in page.split("</style>")[1].split("<pre>")[0]
    model = hs.Embedder.load(run.model_path)
    assert model.encode(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape == (2, 8)
    assert run.training["scenes"] == 18


def test_mixed_precision_has_all_terms_near_those_of_whole_precision(tmp_path, scenes):
    losses = []
    for precision in ("32-true", "bf16-mixed"):
        config = tiny(
            scenes,
            steps=2,
            model=RESNET,
            contrast={"dense_share": 0.5},
            optimiser={"lr": 1e-4},
            training={"precision": precision},
        )
        (entry,) = hs.train(config, tmp_path / precision, progress=False).metrics()
        losses.append([entry[f"{term}/loss"] for term in ("euclidean", "dense", "hyperbolic")])
    assert losses[1] == pytest.approx(losses[0], rel=0.05) and losses[1] != losses[0]


def test_a_run_embeds_is_judged_on_labelled_images_and_is_reported_again(tmp_path, scenes, capsys):
    run = hs.train(tiny(scenes), tmp_path / "run", progress=False)
    assert main(["embed", str(run.folder), str(scenes / "val"), "-o", str(tmp_path / "points.npz")]) == 0
    assert np.load(tmp_path / "points.npz")["points"].shape == (6, 8)
    assert main(["evaluate", str(run.folder)]) == 2
    assert "--data" in capsys.readouterr().err
    rng = np.random.default_rng(0)
    for name in "abcd":
        (tmp_path / "labelled" / name).mkdir(parents=True)
        for i in range(3):
            image = Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8))
            image.save(tmp_path / "labelled" / name / f"{i}.png")
    options = ["--data", str(tmp_path / "labelled"), "--layout", "folder", "--bootstrap", "0", "--workers", "0"]
    assert main(["evaluate", str(run.folder), *options]) == 0
    assert "hyperbolic by cosine" in capsys.readouterr().out
    before = run.report
    run.report_path.unlink()
    assert main(["report", str(run.folder), "--workers", "0"]) == 0
    assert run.report == before


def test_weight_zero_is_momentum_contrast_to_the_bit(tmp_path, scenes):
    """The loop restated without any of the hyperbolic branch: the crops, the pass, the queue."""
    config = tiny(scenes, steps=4, contrast={"weight": 0.0}, optimiser={"schedule": "constant"})
    run = hs.train(config, tmp_path / "run", progress=False)
    torch.manual_seed(0)
    data = build.scenes(config)
    projector = build.projector(config)
    model, sphere = projector.model, Sphere()
    key = build.projector(config)
    key.load_state_dict(projector.state_dict())
    queues: list[list[torch.Tensor]] = [[], []]
    torch.manual_seed(0)
    build.projector(config)  # as many random numbers as the run has drawn for its weights
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    batches = scene_batches(
        build.training_scenes(config, data), model.preprocessing, config.data.crops, batch_size=6, stop=4, scenes=False
    )
    for batch in batches:
        assert batch.scene is None and batch.object is None
        with torch.no_grad():
            if batch.step:
                for mine, theirs in zip(key.parameters(), projector.parameters(), strict=True):
                    mine.lerp_(theirs, 1 - 0.9)
        views = [batch.first, batch.second]
        queries = [sphere(model(model.normalise(view))) for view in views]
        with torch.no_grad():
            keys = [sphere(key.model(key.model.normalise(view))) for view in views]
        losses = []
        for query, other in ((0, 1), (1, 0)):
            negatives = torch.cat([torch.zeros(0, 8), *queues[other]])[-13:]
            logits = torch.cat([(queries[query] * keys[other]).sum(1, keepdim=True), queries[query] @ negatives.T], 1) / 0.2
            losses.append(torch.nn.functional.cross_entropy(logits, torch.zeros(6, dtype=torch.long)))
        optimiser.zero_grad()
        (sum(losses) / 2).backward()
        optimiser.step()
        for queue, new in zip(queues, keys, strict=True):
            queue.append(new)
    # Its arithmetic is another, to the rounding.
    for name, value in weights(run).items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=1e-3, atol=1e-5)
    # What the hyperbolic branch is made of changes nothing, not a bit.
    other = tiny(
        scenes,
        steps=4,
        contrast={"weight": 0.0, "curvature": 1.0, "hyperbolic_temperature": 0.5, "gradient": "decoupled"},
        optimiser={"schedule": "constant"},
    )
    assert equal(weights(run), weights(hs.train(other, tmp_path / "other", progress=False)))
    third = tiny(scenes, steps=4, optimiser={"schedule": "constant"})
    assert not equal(weights(run), weights(hs.train(third, tmp_path / "third", progress=False)))


def test_without_weight_no_scene_is_seen(tmp_path, scenes, monkeypatch):
    passes = []
    monkeypatch.setattr(
        contrast, "_on", lambda device, batch, on=contrast._on: passes.append(on(device, batch)) or passes[-1]
    )
    hs.train(tiny(scenes, steps=2, contrast={"weight": 0.0}), tmp_path / "run", progress=False)
    assert passes and all(views[2] is views[3] is None for views in passes)


def test_whole_images_need_no_boxes(tmp_path, scenes):
    config = tiny(scenes / "train", steps=2, contrast={"weight": 0.0}, data={"layout": "images", "regions": "image"})
    report = hs.train(config, tmp_path / "run", progress=False).report
    assert report["found"] is None and report["training"]["objects"] == 18


def start(cwd, *arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "horosphere", "train", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=cwd)


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.01)


def test_killed_and_resumed_ends_with_the_same_weights(tmp_path, scenes):
    """With all that has a state: momentum, queues that wrap, dropout, batch norms in groups, a dense head."""
    config = tiny(scenes, steps=24, model=RESNET, contrast={"dense_share": 0.5}, training={"workers": 1})
    file = tmp_path / "config.yaml"
    configs.write(config, file)
    expected = hs.train(config, tmp_path / "whole", progress=False)
    killed = start(tmp_path, "--config", str(file), "--run", str(tmp_path / "killed"))
    run = hs.Run(tmp_path / "killed")
    wait_for(run.checkpoint_path.exists, killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not run.finished
    hs.resume(run.folder, progress=False)
    assert equal(weights(run), weights(expected))
    assert [entry["step"] for entry in run.metrics()] == list(range(2, 25, 2))
    loss = [entry["loss"] for entry in run.metrics()]
    assert loss == [entry["loss"] for entry in expected.metrics()]


def test_ctrl_c_leaves_a_run_that_resumes(tmp_path, scenes):
    config = tiny(scenes, steps=2000, training={"checkpoint_every": 10_000, "log_every": 1})
    configs.write(config, tmp_path / "config.yaml")
    run = hs.Run(tmp_path / "run")
    process = start(tmp_path, "--config", str(tmp_path / "config.yaml"), "--run", str(run.folder))
    wait_for(lambda: len(run.metrics()) > 3, process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and f"horosphere train --resume {run.folder}" in error
    state = torch.load(run.checkpoint_path, weights_only=True)
    assert state["step"] == run.metrics()[-1]["step"]
    assert state["modules"]["loss"]["queues.objects._extra_state"] == 6 * state["step"]


@pytest.mark.parametrize("model", [{"encoder_options": VIT}, RESNET], ids=["without norms", "with norms"])
def test_two_processes_train_the_weights_of_one(tmp_path, scenes, model):
    config = tiny(scenes, steps=3, model=model, training={"log_every": 1})
    configs.write(config, tmp_path / "config.yaml")
    one = hs.train(config, tmp_path / "one", progress=False)
    two = start(tmp_path, "--config", str(tmp_path / "config.yaml"), "--run", str(tmp_path / "two"), "--devices", "2")
    out, error = two.communicate(timeout=300)
    assert two.returncode == 0, error
    assert out.count("report.html") == 1
    found = weights(hs.Run(tmp_path / "two"))
    for name, value in weights(one).items():
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):  # of the first process's groups alone
            torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4)
    first, second = (hs.Run(tmp_path / name).metrics()[-1] for name in ("one", "two"))
    assert first.keys() == second.keys()
    told = ("radius/scenes", "gradient/encoder", "gradient/head", "effective_rank", "alignment", "uniformity")
    for name in ("loss", "euclidean/loss", "hyperbolic/loss", "hyperbolic/accuracy", "queue_fill", *told):
        assert second[name] == pytest.approx(first[name], rel=1e-3), name


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"root": None}}, "data.root"),
        ({"data": {"crops": SceneCrops(least=60)}}, "none of"),
        ({"contrast": {"queue": 64}, "batch": {"images": 20, "norm_groups": 1}}, "1 to 18"),
        ({"contrast": {"dense_share": 0.5}}, "convolutional"),
        ({"data": {"mean": (0.5, 0.5, 0.5)}}, "data.std"),
        ({"model": {"encoder": "vit_tiny"}}, "no encoder"),
    ],
)
def test_what_cannot_be_is_said_before_a_run_is_made(tmp_path, scenes, changes, words):
    with pytest.raises(InputError, match=words):
        hs.train(tiny(scenes, **changes), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_scenes_without_boxes_are_refused(tmp_path, scenes):
    with pytest.raises(InputError, match="none of 18 images has 2 boxes"):
        hs.train(tiny(scenes / "train", data={"layout": "images"}), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_diverged_run_says_so(tmp_path, scenes):
    with pytest.raises(InputError, match=r"the loss is nan .* lower optimiser\.lr"):
        hs.train(tiny(scenes, steps=20, optimiser={"lr": 1e30}, training={"log_every": 1}), tmp_path / "run", progress=False)
