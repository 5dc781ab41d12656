"""Sweeps: grids whole, ranges by Optuna, judged on validation, the same after a kill; what fails is recorded."""

import json
import signal
import sys

import pytest

import horosphere as hs
from horosphere.errors import InputError
from horosphere.studies import sweep
from horosphere.studies.axes import axis

from ..test_cli import call
from . import small
from .test_compare import command, wait_for


def ball(folder, **changes):
    (name,) = small.files(folder, ball=small.config("hyperbolic", **changes))
    return name


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """Temperature by curvature, with the sphere's curve and a learned curvature: the folder and the result."""
    folder = tmp_path_factory.mktemp("sweep")
    axes = {"temperature": "0.1 0.4", "curvature": ("0.1", "1")}
    return folder / "study", sweep(ball(folder), folder / "study", axes, sphere=True, learn=["curvature"], progress=False)


def test_a_grid_is_trained_whole_and_judged_on_validation(grid):
    folder, result = grid
    assert result == json.loads((folder / "study.json").read_text()) and result["complete"]
    trials = {name: each["trials"] for name, each in result["variants"].items()}
    assert [trial["setting"] for trial in trials["recipe"]] == [
        {"temperature": temperature, "curvature": curvature} for temperature in (0.1, 0.4) for curvature in (0.1, 1)
    ]
    for name in ("sphere", "learned"):
        assert [trial["setting"] for trial in trials[name]] == [{"temperature": 0.1}, {"temperature": 0.4}]
    run = hs.Run.open(folder / "recipe" / "temperature 0.4, curvature 1")
    assert (run.config.loss.temperature, run.config.space.parts[0].curvature) == (0.4, 1.0)
    assert trials["recipe"][3]["recall"] == run.report["rows"]["hyperbolic"]["recall@1"]
    for place in folder.glob("*/*/report.json"):
        assert json.loads(place.read_text())["judged_on"] == "validation"
    assert hs.Run.open(folder / "sphere" / "temperature 0.1").report["headline"] == "sphere"
    for trial in trials["learned"]:
        (learned,) = trial["learned"]["curvature"]
        assert learned != 0.1 and learned == pytest.approx(0.1, rel=0.5)


def test_the_page_has_the_curves_and_every_trial(grid):
    folder, _ = grid
    page, text = (folder / "sweep.html").read_text(), (folder / "sweep.md").read_text()
    assert "<img" in page and "learned curvature" in text and "one sphere in its place" in text
    assert sum(line.startswith("| 0.") for line in text.splitlines()) == 8
    assert (folder / "sweep.png").stat().st_size > 1000 and (folder / "sweep.svg").exists()


def test_more_values_extend_a_grid(grid):
    folder, before = grid
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("*/*/report.json")}
    axes = {"temperature": "0.1 0.4 0.9", "curvature": "1 0.1"}
    after = sweep(folder.parent / "ball.yaml", folder, axes, progress=False)
    assert len(after["variants"]["recipe"]["trials"]) == 6 and after["complete"]
    assert after["variants"]["recipe"]["trials"][:4] == before["variants"]["recipe"]["trials"]
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    with pytest.raises(InputError, match=r"trained with other options: training.steps 6 there, 7 asked for"):
        sweep(folder.parent / "ball.yaml", folder, axes, settings={"training.steps": 7})
    with pytest.raises(InputError, match="holds a sweep of temperature, curvature"):
        sweep(folder.parent / "ball.yaml", folder, {"temperature": "0.1 0.4"})


def test_more_words_extend_a_grid_and_a_search_refuses_them(tmp_path):
    name, folder = ball(tmp_path), tmp_path / "study"
    sweep(name, folder, {"optimiser.schedule": "constant"}, progress=False)
    result = sweep(name, folder, {"optimiser.schedule": "constant cosine"}, progress=False)
    assert [trial["setting"] for trial in result["variants"]["recipe"]["trials"]] == [
        {"optimiser.schedule": "constant"},
        {"optimiser.schedule": "cosine"},
    ]
    assert result["complete"]
    axes = {"temperature": "0.1:1", "optimiser.schedule": "constant"}
    sweep(name, tmp_path / "search", axes, trials=1, progress=False)
    with pytest.raises(InputError, match=r"other values of optimiser\.schedule"):
        sweep(name, tmp_path / "search", axes | {"optimiser.schedule": "constant cosine"}, trials=2, progress=False)


def test_killed_twice_and_gone_on_with_a_search_ends_the_same(tmp_path):
    name, folder = ball(tmp_path, steps=30), tmp_path / "study"
    options = ["--temperature", "0.05:1", "log", "--set", "model.dim=4:16", "--trials", "3"]
    for pattern in ("*/*/config.yaml", "*/*/report.json"):  # a run is under way, or one is done
        process = command("sweep", folder, [name], *options)
        wait_for(lambda p=pattern: any(folder.glob(p)), process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    process = command("sweep", folder, [name], *options)
    out, error = process.communicate(timeout=600)
    assert process.returncode == 0 and "sweep.html" in out, error
    axes = {"temperature": "0.05:1,log", "model.dim": "4:16"}
    whole = sweep(name, tmp_path / "whole", axes, trials=3, progress=False)
    result = json.loads((folder / "study.json").read_text())
    assert result == whole and result["complete"]
    settings = [trial["setting"] for trial in result["variants"]["recipe"]["trials"]]
    assert len(settings) == 3 and all(0.05 <= each["temperature"] <= 1 for each in settings)
    assert all(type(each["model.dim"]) is int and 4 <= each["model.dim"] <= 16 for each in settings)


def test_settings_that_cannot_be_are_recorded_and_the_others_go_on(tmp_path):
    settings = {"optimiser.clip_norm": None}
    axes = {"dim": "8 0", "optimiser.lr": "1e-3 1e30"}
    name = ball(tmp_path)
    result = sweep(name, tmp_path / "study", axes, settings=settings, one_at_a_time=True, progress=False)
    failed = {
        (t["setting"]["dim"], t["setting"]["optimiser.lr"]): t["failed"] for t in result["variants"]["recipe"]["trials"]
    }
    assert failed.pop((8, 1e-3)) is None and result["complete"]
    assert "model.dim is 0" in failed.pop((0, 1e-3)) and "loss" in failed.pop((8, 1e30)) and not failed
    assert "failed: model.dim is 0" in (tmp_path / "study" / "sweep.md").read_text()
    again = sweep(name, tmp_path / "study", axes, settings=settings, one_at_a_time=True, progress=False)
    assert again == result


def test_a_killed_worker_is_tried_again(tmp_path, monkeypatch):
    from horosphere.studies import workers

    name, axes = ball(tmp_path), {"temperature": "0.1 0.2"}
    real = workers._do
    monkeypatch.setattr(
        workers,
        "_do",
        lambda job, data: workers.Failure("killed", again=True) if "0.2" in job.folder.name else real(job, data),
    )
    result = sweep(name, tmp_path / "study", axes, progress=False)
    assert [trial["failed"] for trial in result["variants"]["recipe"]["trials"]] == [None, "killed"] and not result[
        "complete"
    ]
    monkeypatch.undo()
    result = sweep(name, tmp_path / "study", axes, progress=False)
    assert [trial["failed"] for trial in result["variants"]["recipe"]["trials"]] == [None, None] and result["complete"]


@pytest.mark.parametrize(
    ("axes", "options", "words"),
    [
        ({}, {}, "nothing to sweep"),
        ({"temperature": "0.1:1"}, {}, "is a range: give --trials"),
        ({"temperature": "0.1 1"}, {"trials": 3}, "--trials is for ranges"),
        ({"temperature": "1:0.1"}, {"trials": 3}, "LOW below HIGH"),
        ({"temperature": "0:1 log"}, {"trials": 3}, "above 0 for log"),
        ({"temperature": "0.1:x"}, {"trials": 3}, "'x' is no number"),
        ({"temperature": "0.1 0.1"}, {}, "each value once"),
        ({"weight": "1 2"}, {}, "one part"),
        ({"loss.temprature": "1 2"}, {}, "did you mean 'loss.temperature'"),
        ({"temperature": "0.1 1"}, {"learn": ["weights"]}, "no weights to learn"),
        ({"temperature": "0.1 1"}, {"settings": {"batch.classes": 40}}, "classes"),
        ({"temperature": "0.1 1"}, {"processes": 0}, "processes is 0"),
    ],
)
def test_bad_input_is_told_before_anything_is_trained(tmp_path, axes, options, words):
    with pytest.raises(InputError, match=words):
        sweep(ball(tmp_path), tmp_path / "study", axes, progress=False, **options)
    assert not (tmp_path / "study").exists()


def test_axes_set_what_they_name():
    config = small.config("sphere", "hyperbolic", "hyperbolic")
    curvature = axis("curvature", ("0.5", "1e-1"), config)
    assert curvature.values == (0.5, 0.1) and curvature.own == 0.1
    assert curvature.settings(0.5, config) == {"space.parts.1.curvature": 0.5, "space.parts.2.curvature": 0.5}
    assert axis("weight", "1,2", config).settings(2, config) == {"space.parts.2.weight": 2}
    batch = axis("batch", "8 9", config)
    assert batch.own == 8 and batch.settings(8, config) == {"batch.classes": 2}
    with pytest.raises(InputError, match="a batch of 9 images"):
        batch.settings(9, config)
    searched = axis("optimiser.lr", "1e-4:1e-2,log", config)
    assert (searched.values, searched.low, searched.high, searched.log) == (None, 1e-4, 1e-2, True)
    with pytest.raises(InputError, match="no hyperbolic part"):
        axis("curvature", "1", small.config("sphere"))


def test_without_optuna_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'horosphere\[sweep\]'"):
        sweep(ball(tmp_path), tmp_path / "study", {"temperature": "0.1 0.2"}, progress=False)


def test_the_command_reads_axes_and_settings(capsys, monkeypatch):
    from horosphere import studies

    seen = {}

    def fake(recipe, folder, axes, **options):
        seen.update(options, recipe=recipe, axes=axes)
        raise InputError("seen enough")

    monkeypatch.setattr(studies, "sweep", fake)
    flags = (
        "--temperature 0.05:1 log --batch 60 90 --set model.dim=1:16 training.steps=9 data.root=a,b.zip data.mean=[0.5,0.5]"
    )
    options = ["--learn", "weights", "--trials", "4"]
    assert call(capsys, "sweep", "demo", "--study", "s", *flags.split(), *options)[0] == 2
    assert seen["axes"] == {"temperature": ("0.05:1", "log"), "batch": ("60", "90"), "model.dim": "1:16"}
    assert seen["settings"] == {"training.steps": 9, "data.root": "a,b.zip", "data.mean": [0.5, 0.5]}
    assert seen["learn"] == ("weights",) and seen["trials"] == 4
