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
from horosphere import config as configs
from horosphere.config import OptimiserConfig
from horosphere.errors import InputError
from horosphere.models import embed_data
from horosphere.report import judge_model, rewrite_report
from horosphere.training.optimiser import rate

from . import tiny


def weights(run):
    return load_file(run.model_path / "model.safetensors")


def test_a_run_leaves_what_it_promises(tmp_path):
    run = hs.train(tiny.config(), tmp_path / "run", progress=False)
    assert run.finished and not run.checkpoint_path.exists()
    assert configs.read(run.config_path) == tiny.config()
    steps = [entry["step"] for entry in run.metrics()]
    assert steps == [2, 4, 6]
    assert {"loss", "lr", "gradient_norm", "images_per_second", "hyperbolic/clip_fraction"} <= set(run.metrics()[-1])
    assert list((run.folder / "tensorboard").iterdir())
    report = run.report
    assert set(report["rows"]) == {"mixture", "sphere", "hyperbolic", "hyperbolic by cosine", "encoder"}
    assert all(0 <= row["recall@1"] <= 1 for row in report["rows"].values())
    assert report["cosine_agreement"]["hyperbolic"]["verdict"]
    page = run.page_path.read_text()
    assert "<img" in page and "http" not in page.split("</style>")[1].split("<pre>")[0]
    model = hs.Embedder.load(run.model_path)
    points = model.encode(torch.zeros(2, 1, 16, 16, dtype=torch.uint8))
    assert points.shape == (2, 16)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path):
    first, second = (hs.train(tiny.config(), tmp_path / name, progress=False) for name in "ab")
    assert all(torch.equal(value, weights(second)[name]) for name, value in weights(first).items())
    other = hs.train(dataclasses.replace(tiny.config(), seed=1), tmp_path / "c", progress=False)
    assert any(not torch.equal(value, weights(other)[name]) for name, value in weights(first).items())


def start(run, *arguments):
    """The command line in a process of its own, as a user starts it."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-m", "horosphere", "train", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=run.parent,
    )


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_and_resumed_ends_with_the_same_weights(tmp_path, workers):
    config = tiny.config(steps=60, training={"workers": workers})
    file = tmp_path / "config.yaml"
    configs.write(config, file)
    whole = start(tmp_path / "whole", "--config", str(file), "--run", str(tmp_path / "whole"))
    killed = start(tmp_path / "killed", "--config", str(file), "--run", str(tmp_path / "killed"))
    run = hs.Run(tmp_path / "killed")
    for _ in range(2):
        before = run.checkpoint_path.stat().st_mtime_ns if run.checkpoint_path.exists() else 0
        wait_for(lambda b=before: run.checkpoint_path.exists() and run.checkpoint_path.stat().st_mtime_ns > b, killed)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        assert not run.finished
        killed = start(tmp_path / "killed", "--resume", str(run.folder))
    out, error = killed.communicate(timeout=240)
    assert killed.returncode == 0, error
    assert "report.html" in out
    assert whole.communicate(timeout=240) and whole.returncode == 0
    assert run.finished
    expected = weights(hs.Run(tmp_path / "whole"))
    assert all(torch.equal(value, expected[name]) for name, value in weights(run).items())
    steps = [entry["step"] for entry in run.metrics()]
    assert steps == sorted(set(steps)) == list(range(2, 61, 2))


def test_resume_before_the_first_checkpoint_and_after_the_end(tmp_path):
    config = tiny.config()
    expected = hs.train(config, tmp_path / "whole", progress=False)
    run = hs.Run(tmp_path / "run")
    run.begin(config)
    assert weights(hs.resume(run.folder, progress=False)).keys() == weights(expected).keys()
    assert all(torch.equal(value, weights(expected)[name]) for name, value in weights(run).items())
    stamp = run.report_path.stat().st_mtime_ns
    done = start(run.folder, "--resume", str(run.folder))
    out, _ = done.communicate(timeout=60)
    assert done.returncode == 0 and "finished" in out
    assert run.report_path.stat().st_mtime_ns == stamp


def test_ctrl_c_leaves_a_run_that_resumes(tmp_path):
    config = tiny.config(steps=2000, training={"checkpoint_every": 10_000, "log_every": 1})
    configs.write(config, tmp_path / "config.yaml")
    run = hs.Run(tmp_path / "run")
    process = start(run.folder, "--config", str(tmp_path / "config.yaml"), "--run", str(run.folder))
    wait_for(lambda: len(run.metrics()) > 3, process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"horosphere train --resume {run.folder}" in error
    state = torch.load(run.checkpoint_path, weights_only=True)
    assert state["step"] == run.metrics()[-1]["step"]


def test_training_learns(tmp_path):
    run = hs.train(tiny.config(steps=120, training={"log_every": 20}), tmp_path / "run", progress=False)
    losses = [entry["loss"] for entry in run.metrics()]
    assert losses[-1] < 0.8 * losses[0]


def test_validation_holds_classes_out_and_is_logged(tmp_path):
    config = tiny.config(evaluation={"judge": "validation"}, training={"validate_every": 3}, batch={"classes": 3})
    run = hs.train(config, tmp_path / "run", progress=False)
    logged = [entry for entry in run.metrics() if "validation/recall@1" in entry]
    assert [entry["step"] for entry in logged] == [3, 6]
    assert run.report["judged_on"] == "validation"
    assert run.report["rows"]["mixture"]["classes"] == 2


def test_a_run_is_judged_in_its_precision(tmp_path):
    whole, half = (
        hs.train(tiny.config(evaluation={"precision": precision}), tmp_path / precision, progress=False)
        for precision in ("32-true", "bf16-mixed")
    )
    assert all(torch.equal(value, weights(half)[name]) for name, value in weights(whole).items())
    # Thousands of distances: some images change places.
    assert whole.report["rows"]["mixture"]["map_at_r"] != half.report["rows"]["mixture"]["map_at_r"]
    with pytest.raises(InputError, match=r"evaluation\.precision"):
        hs.train(tiny.config(evaluation={"precision": "16-mixed"}), tmp_path / "16", progress=False)


def test_rounded_products_need_a_gpu(tmp_path):
    with pytest.raises(InputError, match=r"loss\.precision is tf32, which needs a GPU"):
        hs.train(tiny.config(loss={"precision": "tf32"}), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_validation_split_of_its_own_is_used(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 12)
    rows = rng.normal(size=(10, 6))[labels] + 0.3 * rng.normal(size=(120, 6))
    split = np.where(labels < 5, "train", np.where(labels < 8, "validation", "test"))
    np.savez(tmp_path / "f.npz", features=rows.astype(np.float32), labels=labels, split=split)
    data = {"layout": "features", "root": str(tmp_path / "f.npz"), "decoded": "no"}
    model = {"encoder": None, "encoder_options": {}}
    for judge, classes in (("validation", 3), ("test", 2)):
        config = tiny.config(data=data, model=model, evaluation={"judge": judge})
        assert hs.train(config, tmp_path / judge, progress=False).report["rows"]["mixture"]["classes"] == classes


def features(path, classes=8, images=12, width=10):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), images)
    rows = rng.normal(size=(classes, width))[labels] + 0.3 * rng.normal(size=(len(labels), width))
    np.savez(path, features=rows.astype(np.float32), labels=labels)


def test_cached_features_train_without_an_encoder(tmp_path):
    features(tmp_path / "f.npz")
    data = {"layout": "features", "root": str(tmp_path / "f.npz"), "decoded": "no"}
    run = hs.train(tiny.config(data=data, model={"encoder": None, "encoder_options": {}}), tmp_path / "run", progress=False)
    assert "encoder" not in run.report["rows"]
    assert not (run.folder / "pictures" / "neighbours.png").exists()


def test_a_frozen_encoder_is_run_once(tmp_path, monkeypatch):
    monkeypatch.setenv("HOROSPHERE_CACHE", str(tmp_path / "cache"))
    config = tiny.config(data={"cache_encodings": True, "decoded": "no"}, model={"freeze": "all"})
    first = hs.train(config, tmp_path / "a", progress=False)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert len(files) == 2
    second = hs.train(config, tmp_path / "b", progress=False)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == files
    assert first.report["rows"] == second.report["rows"]
    # The saved model is whole: it embeds images as the cached run did.
    model = hs.Embedder.load(first.model_path)
    data = hs.load_data("digits").select("test")
    embedded = embed_data(model, data)
    rows = judge_model(model, embedded, config.evaluation).to_dict()["rows"]
    assert rows["mixture"]["recall@1"] == pytest.approx(first.report["rows"]["mixture"]["recall@1"], abs=0.005)
    with pytest.raises(InputError, match=r"model\.freeze"):
        hs.train(tiny.config(data={"cache_encodings": True, "decoded": "no"}), tmp_path / "c", progress=False)


def test_decoded_images_train_the_same_model(tmp_path, monkeypatch):
    monkeypatch.setenv("HOROSPHERE_CACHE", str(tmp_path / "cache"))
    crops = configs.Augmentation(scale=(0.5, 1), rotation=5)
    runs = [
        hs.train(tiny.config(data={"decoded": where, "augmentation": crops}), tmp_path / where, progress=False)
        for where in ("no", "memory", "disk")
    ]
    for run in runs[1:]:
        assert all(torch.equal(value, weights(run)[name]) for name, value in weights(runs[0]).items())
        assert run.report["rows"] == runs[0].report["rows"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training": {"validate_every": 2}}, "judge=validation"),
        ({"data": {"cache_encodings": True}}, "decoded"),
        ({"model": {"encoder": None, "encoder_options": {}}}, "holds images"),
        ({"batch": {"classes": 50}}, "lower the classes"),
        ({"loss": {"mixing": "losses", "part_temperatures": (0.1,)}}, "2 parts but 1"),
        (
            {"space": {"parts": (configs.PartConfig("hyperbolic", curvature=-1.0),)}, "model": {"heads": "shared"}},
            "positive",
        ),
        ({"evaluation": {"rank_by": "torus"}}, "rank_by"),
        ({"data": {"size": 24, "resize": 24}}, "img_size"),
        ({"loss": {"mixing": "losses"}, "space": {"learnable_weights": True}}, "learnable_weights"),
    ],
)
def test_bad_configs_teach(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        hs.train(tiny.config(**changes), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_diverged_run_says_so(tmp_path):
    config = tiny.config(steps=50, optimiser={"lr": 1e30, "clip_norm": None}, training={"log_every": 1})
    with pytest.raises((InputError, ValueError), match=r"loss is|NaN"):
        hs.train(config, tmp_path / "run", progress=False)


def test_a_used_folder_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        hs.train(tiny.config(), tmp_path, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_damaged_checkpoint_says_what_to_do(tmp_path):
    run = hs.Run(tmp_path / "run")
    run.begin(tiny.config())
    run.checkpoint_path.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="remove it"):
        hs.resume(run.folder, progress=False)


def test_unreadable_images_are_counted_and_do_not_end_a_run(tmp_path):
    rng = np.random.default_rng(0)
    for split, names in (("train", "abcd"), ("test", "ef")):
        for name in names:
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(6):
                Image.fromarray(rng.integers(0, 255, (20, 20), dtype=np.uint8)).save(folder / f"{i}.png")
            (folder / "broken.png").write_bytes(b"\x89PNG broken")
    data = {"layout": "folder", "root": str(tmp_path / "data"), "decoded": "no"}
    run = hs.train(tiny.config(steps=20, data=data), tmp_path / "run", progress=False)
    assert run.report["failures"]["count"] >= 3
    assert run.report["images"] == 12
    assert "could not be read" in run.page_path.read_text()
    assert run.training["failures"] and run.training["classes"] == 4
    count = run.report["failures"]["count"]
    rewrite_report(run, progress=False)
    assert run.report["failures"]["count"] == count
    assert json.loads(run.report_path.read_text())["failures"]["first"]


def test_schedule():
    cosine = OptimiserConfig(schedule="cosine", warmup=4)
    assert [rate(cosine, step, 100) for step in (0, 3, 4)] == [0.2, 0.8, 1.0]
    assert rate(cosine, 52, 100) == pytest.approx(0.5)
    assert rate(cosine, 99, 100) < 0.01
    assert rate(OptimiserConfig(), 99, 100) == 1.0
