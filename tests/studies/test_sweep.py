"""Sweeps: grids whole, ranges by Optuna, judged on validation, the same after a kill; what fails is recorded."""

import json
import signal
import sys

import pytest

import horosphere as hs
from horosphere.errors import InputError
from horosphere.files import write_text
from horosphere.studies import sweep, sweep_document, workers
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


@pytest.fixture
def pretend(monkeypatch):
    """Runs that are not trained: their reports are made of temperature and seed. Gives the folders in order, and those
    that fail with their failures."""
    done, failing = [], {}

    def do(job, data):
        done.append(job.folder.name)
        if failure := failing.get(job.folder.name):
            return failure
        job.run.begin(job.config)
        recall = 1 / (1 + job.config.loss.temperature) + 0.01 * job.config.seed
        row = {"recall@1": recall, "map_at_r": recall / 2}
        write_text(job.run.report_path, json.dumps({"headline": "r", "judged_on": "validation", "rows": {"r": row}}))
        return None

    monkeypatch.setattr(workers, "_do", do)
    return done, failing


def test_more_seeds_extend_a_sweep_and_their_mean_counts(tmp_path, pretend):
    name, folder, (done, _) = ball(tmp_path), tmp_path / "study", pretend
    one = sweep(name, folder, {"temperature": "0.25 1"}, progress=False)
    assert [trial["intervals"] for trial in one["variants"]["recipe"]["trials"]] == [{"recall": None, "map_at_r": None}] * 2
    assert "±" not in (folder / "sweep.md").read_text() and "no bands" in (folder / "sweep.md").read_text()
    result = sweep(name, folder, {"temperature": "0.25 1 3"}, seeds=3, progress=False)
    assert done == [
        *("temperature 0.25", "temperature 1"),
        *(f"temperature {each}, seed {seed}" for each in ("0.25", "1") for seed in (1, 2)),
        *("temperature 3", "temperature 3, seed 1", "temperature 3, seed 2"),
    ]
    assert hs.Run.open(folder / "recipe" / "temperature 1, seed 2").config.seed == 2 and result["complete"]
    trial = result["variants"]["recipe"]["trials"][0]
    assert trial["by_seed"]["recall"] == pytest.approx([0.8, 0.81, 0.82]) and trial["recall"] == pytest.approx(0.81)
    half = 4.302652729911275 * 0.01 / 3**0.5  # Student's quantile for three
    assert trial["intervals"]["recall"] == pytest.approx([0.81 - half, 0.81 + half])
    assert f"81.0 ± {100 * half:.1f}" in (folder / "sweep.md").read_text()
    assert sweep(name, folder, {"temperature": "0.25 1 3"}, seeds=3, progress=False) == result and len(done) == 9


def test_a_search_proposes_after_all_seeds_of_a_setting(tmp_path, pretend):
    done, _ = pretend
    result = sweep(ball(tmp_path), tmp_path / "study", {"temperature": "0.1:1"}, trials=3, seeds=2, progress=False)
    settings = [f"temperature {trial['setting']['temperature']:.6g}" for trial in result["variants"]["recipe"]["trials"]]
    assert len(settings) == 3 and result["complete"]
    assert done == [f"{setting}{seed}" for setting in settings for seed in ("", ", seed 1")]


def test_one_seed_that_fails_fails_its_setting_and_a_killed_one_is_tried_again(tmp_path, pretend):
    name, folder, (done, failing) = ball(tmp_path), tmp_path / "study", pretend
    failing["temperature 0.1"] = workers.Failure("the loss is not finite")
    failing["temperature 0.2, seed 1"] = workers.Failure("killed", again=True)
    axes = {"temperature": "0.1 0.2"}
    result = sweep(name, folder, axes, seeds=2, progress=False)
    trials = result["variants"]["recipe"]["trials"]
    assert [trial["failed"] for trial in trials] == ["the loss is not finite", "killed"] and not result["complete"]
    failing.clear()
    result = sweep(name, folder, axes, seeds=2, progress=False)
    assert [trial["failed"] for trial in result["variants"]["recipe"]["trials"]] == ["the loss is not finite", None]
    assert result["complete"] and done[4:] == ["temperature 0.2, seed 1"]
    # Of a sweep that is extended, the further seed that fails is told, and what there is still counts.
    failing["temperature 0.2, seed 2"] = workers.Failure("killed", again=True)
    result = sweep(name, folder, axes, seeds=3, progress=False)
    assert not result["complete"] and len(result["variants"]["recipe"]["trials"][1]["by_seed"]["recall"]) == 2


def made_grid(seeds):
    """A result over two axes with a sphere's row and one failure; scores are 10 · temperature + curvature, in per cent."""

    def trial(temperature, curvature=None):
        setting = {"temperature": temperature} | ({} if curvature is None else {"curvature": curvature})
        score = (10 * temperature + (curvature or 0)) / 100
        values = {"recall": score, "map_at_r": score / 2}
        intervals = {name: [each - 0.01, each + 0.01] if seeds > 1 else None for name, each in values.items()}
        by_seed = {name: [each] * seeds for name, each in values.items()}
        return {"setting": setting, "failed": None, "intervals": intervals, "by_seed": by_seed} | values

    recipe = [trial(temperature, curvature) for temperature in (1, 2) for curvature in (0.5, 3)]
    recipe[3] |= {"recall": None, "map_at_r": None, "failed": "the loss is not finite"}
    axes = [{"name": name, "own": 1, "range": False, "log": False} for name in ("temperature", "curvature")]
    variants = {
        "recipe": {"axes": axes, "trials": recipe},
        "sphere": {"axes": axes[:1], "trials": [trial(1), trial(2)]},
    }
    plan = {"recipe": "made", "horosphere": "0", "seeds": seeds, "complete": True, "metrics": ["recall@1", "map_at_r"]}
    return plan | {"variants": variants}


@pytest.mark.parametrize("seeds", [1, 3])
def test_curves_have_bands_over_seeds_and_the_map_every_score(seeds):
    pictures = [block for block in sweep_document(made_grid(seeds)).sections[0].blocks if not isinstance(block, str)]
    curves, grid = pictures
    left = curves.figure.axes[0]
    lines = {line.get_label(): line.get_ydata().tolist() for line in left.get_lines()}
    assert lines == {"curvature 0.5": [10.5, 20.5], "curvature 3": [13], "one sphere in its place": [10, 20]}
    bands = [collection.get_paths()[0].get_extents() for collection in left.collections]
    assert len(bands) == (3 if seeds > 1 else 0) and ("no bands" in curves.caption) == (seeds == 1)
    if bands:
        assert (bands[0].ymin, bands[0].ymax) == pytest.approx((9.5, 21.5))
    left = grid.figure.axes[0]
    assert [tick.get_text() for tick in left.get_yticklabels()] == ["3", "0.5", "sphere"]
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["1", "2"]
    spread = "\n± 1.0" if seeds > 1 else ""
    assert {text.get_position(): text.get_text() for text in left.texts} == {
        (0, 0): f"13.0{spread}",
        (1, 0): "×",
        (0, 1): f"10.5{spread}",
        (1, 1): f"20.5{spread}",
        (0, 2): f"10.0{spread}",
        (1, 2): f"20.0{spread}",
    }
    assert left.patches[0].get_xy() == pytest.approx((0.53, 0.53))  # the frame is around 20.5


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
        ({"temperature": "0.1 1"}, {"seeds": 0}, "seeds is 0"),
        ({"seed": "0 1"}, {"seeds": 2}, "the seed is swept"),
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
    options = ["--learn", "weights", "--trials", "4", "--seeds", "3"]
    assert call(capsys, "sweep", "demo", "--study", "s", *flags.split(), *options)[0] == 2
    assert seen["axes"] == {"temperature": ("0.05:1", "log"), "batch": ("60", "90"), "model.dim": "1:16"}
    assert seen["settings"] == {"training.steps": 9, "data.root": "a,b.zip", "data.mean": [0.5, 0.5]}
    assert seen["learn"] == ("weights",) and seen["trials"] == 4 and seen["seeds"] == 3
