"""Where a step's time goes, and that the loop does not wait for the device."""

import json

import pytest
import torch

import horosphere as hs
from horosphere.data import training_batches
from horosphere.training import profile as profiles
from horosphere.training.profile import PARTS, Profile, table

from . import tiny


def test_a_profiled_run_tells_the_parts_of_its_steps(tmp_path, capsys):
    config = tiny.config(
        evaluation={"judge": "validation"}, training={"validate_every": 3, "profile": True}, batch={"classes": 3}
    )
    run = hs.train(config, tmp_path / "run", progress=False)
    summary = json.loads(run.profile_path.read_text())
    assert summary["steps"] == 5 and summary["device"] == "cpu"  # of 6; the first warms up
    parts = summary["parts"]
    assert list(parts) == list(PARTS)
    assert sum(part["mean_seconds"] for part in parts.values()) == pytest.approx(summary["mean_seconds"])
    assert sum(part["share"] for part in parts.values()) == pytest.approx(1)
    for name in ("data", "forward", "loss", "loss backward", "backward", "optimiser", "loop"):
        assert parts[name]["median_seconds"] > 0
    for name in ("logging", "validation", "checkpoint"):  # not at every step
        assert parts[name]["mean_seconds"] > 0
    assert parts["validation"]["median_seconds"] == 0
    assert summary["images_per_second"] == pytest.approx(12 / summary["median_seconds"])
    assert table(summary) in capsys.readouterr().err


def test_without_profile_nothing_is_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Profile, "_now", lambda self: pytest.fail("read the clock"))
    run = hs.train(tiny.config(steps=2), tmp_path / "run", progress=False)
    assert not run.profile_path.exists()
    assert "part of a step" not in capsys.readouterr().err


def test_marks_and_steps(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(profiles.time, "perf_counter", lambda: now[0])

    def spend(seconds):
        now[0] += seconds

    profile = Profile(torch.device("cpu"))
    profile.start()
    for forward in (90, 2, 3, 7):  # the first step warms up
        spend(1)
        profile.mark("data")
        x = torch.ones(2, requires_grad=True) * 2
        profile.mark_gradient(x, "loss backward")
        spend(forward)
        profile.mark("forward")
        # The gradient of x is there after the square's backward, which takes 5, and before that of what made x.
        y = (x**2).sum()
        y.register_hook(lambda _: spend(5))
        y.backward()
        spend(1)
        profile.mark("backward")
        spend(0.5)
        profile.mark("loop")
        spend(0.5)
        profile.mark("loop")
        profile.end_step()
    summary = profile.summary(images=24)
    medians = {name: part["median_seconds"] for name, part in summary["parts"].items() if part["share"]}
    assert medians == {"data": 1, "forward": 3, "loss backward": 5, "backward": 1, "loop": 1}
    assert summary["median_seconds"] == 11 and summary["mean_seconds"] == 12 and summary["steps"] == 3
    assert summary["images_per_second"] == pytest.approx(24 / 11)
    assert summary["parts"]["forward"]["share"] == pytest.approx(12 / 36)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("chunk", [None, 5])
def test_a_step_does_not_wait_for_the_device(tmp_path, monkeypatch, precision, chunk):
    def strict(*arguments, **options):
        # The first step checks its points, the last one logs: both wait, and may.
        for batch in training_batches(*arguments, **options):
            torch.cuda.set_sync_debug_mode("error" if 0 < batch.step < 5 else "default")
            yield batch

    monkeypatch.setattr("horosphere.training.loop.training_batches", strict)
    config = tiny.config(
        training={"accelerator": "cuda", "log_every": 100, "checkpoint_every": 100, "precision": precision, "profile": True},
        batch={"chunk": chunk},
    )
    try:
        run = hs.train(config, tmp_path / "run", progress=False)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert json.loads(run.profile_path.read_text())["device"] == "cuda"
