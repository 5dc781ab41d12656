"""Comparisons: choices on validation alone, on equal terms, the same after a kill and with several processes."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import horosphere as hs
from horosphere import config as configs
from horosphere.config import changed
from horosphere.errors import InputError
from horosphere.studies import compare
from horosphere.studies.contenders import contender

from ..test_cli import call
from . import small


def pair(folder):
    return small.files(folder, sphere=small.config("sphere"), ball=small.config("hyperbolic"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An unbroken comparison by two processes: its arguments, its folder and its result."""
    folder = tmp_path_factory.mktemp("whole")
    return folder / "study", compare(pair(folder), folder / "study", seeds=2, factors=(1, 2), processes=2, progress=False)


def outcome(result):
    """What must not depend on how the runs came about."""
    return {key: result[key] for key in ("recipes", "comparisons", "complete")}


def test_a_comparison_says_what_was_found(whole):
    folder, result = whole
    assert result == json.loads((folder / "study.json").read_text())
    assert result["complete"] and result["reference"] == "sphere" and result["metrics"] == ["recall@1", "map_at_r"]
    ball = result["recipes"]["ball"]
    assert [choice["options"] for choice in ball["choices"]] == [{"loss.temperature": 0.2}, {"loss.temperature": 0.4}]
    assert list(ball["rows"]) == ["hyperbolic", "hyperbolic by cosine", "encoder"]
    best = max(ball["choices"], key=lambda choice: (choice["recall"], choice["map_at_r"]))
    assert ball["chosen"] == best["options"]
    for seed in (0, 1):
        run = hs.Run.open(folder / "ball" / f"seed {seed}")
        assert run.config.seed == seed and run.config.evaluation.judge == "test"
        assert run.config.loss.temperature == ball["chosen"]["loss.temperature"]
        assert run.report["rows"]["hyperbolic"]["recall@1"] == ball["rows"]["hyperbolic"]["recall@1"][seed]
        assert not run.page_path.exists()
    (headline,) = [each for each in result["comparisons"] if (each["row"], each["metric"]) == ("headline", "recall@1")]
    sphere = result["recipes"]["sphere"]["rows"]["sphere"]["recall@1"]
    assert headline["mean"] == pytest.approx(np.mean(np.subtract(ball["rows"]["hyperbolic"]["recall@1"], sphere)))
    assert headline["p_holm"] == headline["p"]
    assert ball["differs"] == {"space.parts.0.kind": "hyperbolic"}


def test_the_page_and_the_table_say_it_in_words(whole):
    folder, result = whole
    page, text = (folder / "compare.html").read_text(), (folder / "compare.md").read_text()
    assert "<img" in page and "http" not in page.split("</style>")[1]
    verdicts = {each["verdict"] for each in result["comparisons"]}
    assert all(verdict in text and verdict in page for verdict in verdicts)
    assert "cosine in disguise" in text or "the radius takes part" in text
    assert (folder / "compare.png").stat().st_size > 1000 and (folder / "differences.svg").exists()


def test_choices_are_trained_and_judged_on_training_classes_alone(whole):
    folder, _ = whole
    for place in ("choose temperature 0.2, seed 0", "choose temperature 0.4, seed 0"):
        run = hs.Run.open(folder / "sphere" / place)
        assert run.config.evaluation.judge == run.report["judged_on"] == "validation"


def test_no_test_image_is_read_before_all_have_chosen(tmp_path):
    """Test images that cannot be read show as failures of the runs that count, and of no other."""
    rng = np.random.default_rng(0)
    for split, names in (("train", "abcdefgh"), ("test", "ij")):
        for name in names:
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(6):
                Image.fromarray(rng.integers(0, 255, (20, 20), dtype=np.uint8)).save(folder / f"{i}.png")
            if split == "test":
                (folder / "broken.png").write_bytes(b"\x89PNG broken")
    data = {"layout": "folder", "root": str(tmp_path / "data"), "decoded": "no"}
    names = small.files(tmp_path, sphere=small.config("sphere", data=data), ball=small.config("hyperbolic", data=data))
    compare(names, tmp_path / "study", seeds=1, factors=(1, 2), progress=False)
    choosing = list((tmp_path / "study").glob("*/choose*"))
    testing = list((tmp_path / "study").glob("*/seed*"))
    assert len(choosing) == 4 and len(testing) == 2
    for folder in choosing:
        report = hs.Run.open(folder).report
        assert report["failures"]["count"] == 0 and report["images"] == 12
    for folder in testing:
        assert hs.Run.open(folder).report["failures"]["count"] == 2
    newest = max(hs.Run.open(folder).report_path.stat().st_mtime_ns for folder in choosing if "ball" in str(folder))
    assert all(hs.Run.open(folder).config_path.stat().st_mtime_ns > newest for folder in testing if "ball" in str(folder))


def command(folder, names, *options):
    """`horosphere compare` in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-m", "horosphere", "compare", *names, "--study", str(folder), "--seeds", "2", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(("stop", "processes"), [(signal.SIGKILL, "2"), (signal.SIGINT, "2"), (signal.SIGINT, "1")])
def test_stopped_and_gone_on_with_it_ends_the_same(tmp_path, whole, stop, processes):
    names, folder = pair(tmp_path), tmp_path / "study"
    options = ["--factors", "1", "2", "--processes", processes]
    for pattern in ("*/choose*/checkpoint.pt", "*/seed*/checkpoint.pt"):
        process = command(folder, names, *options)
        wait_for(lambda p=pattern: any(folder.glob(p)), process)
        process.send_signal(stop)
        _, error = process.communicate(timeout=60)
        if stop == signal.SIGINT:
            assert process.returncode == 130 and "the same command goes on" in error
    done = {path: path.stat().st_mtime_ns for path in folder.glob("*/*/report.json")}
    process = command(folder, names, *options)
    out, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    assert "compare.html" in out
    assert all(path.stat().st_mtime_ns == before for path, before in done.items())
    ours, theirs = (outcome(json.loads((each / "study.json").read_text())) for each in (folder, whole[0]))
    assert ours == theirs


def test_more_seeds_extend_a_study_and_other_options_are_refused(tmp_path, whole):
    names, folder = pair(tmp_path), tmp_path / "study"
    first = compare(names, folder, seeds=1, factors=(1,), progress=False)
    assert first["comparisons"][0]["verdict"] == "one seed: no interval"
    assert first["recipes"]["ball"]["chosen"] == {"loss.temperature": 0.2}
    before = (folder / "ball" / "seed 0" / "report.json").stat().st_mtime_ns
    assert compare(names, folder, seeds=2, factors=(1,), progress=False)["recipes"]["ball"]["seeds"] == [0, 1]
    assert (folder / "ball" / "seed 0" / "report.json").stat().st_mtime_ns == before
    with pytest.raises(InputError, match=r"training.steps 6 there, 7 asked for"):
        compare(names, folder, seeds=2, factors=(1,), settings={"training.steps": 7}, progress=False)


def test_a_choice_that_diverges_is_recorded_and_not_chosen(tmp_path):
    names = pair(tmp_path)
    options = {"optimiser.lr": [1e-3, 1e30]}
    result = compare(
        names, tmp_path / "study", seeds=1, choose=options, settings={"optimiser.clip_norm": None}, progress=False
    )
    for entry in result["recipes"].values():
        good, bad = entry["choices"]
        assert entry["chosen"] == {"optimiser.lr": 1e-3} and good["failed"] is None
        assert bad["recall"] is None and "loss" in bad["failed"]
    assert "failed: " in (tmp_path / "study" / "compare.md").read_text()


def test_unequal_terms_are_named_and_allowed_only_on_request(tmp_path):
    names = small.files(
        tmp_path,
        sphere=small.config("sphere"),
        ball=small.config("hyperbolic", steps=8, batch={"classes": 2, "images": 5}),
    )
    with pytest.raises(InputError, match=r"batch.images: sphere 4, ball 5\n  training.steps: sphere 6, ball 8"):
        compare(names, tmp_path / "study", factors=(1,), progress=False)
    assert not (tmp_path / "study").exists()
    result = compare(names, tmp_path / "study", seeds=1, factors=(1,), allow_differences=True, progress=False)
    assert result["unequal"]["training.steps"] == {"sphere": 6, "ball": 8}
    assert "Not on equal terms" in (tmp_path / "study" / "compare.md").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seeds": 0}, "seeds is 0"),
        ({"factors": (0.0, 1.0)}, "positive"),
        ({"reference": "torus"}, "'torus' is not compared"),
        ({"settings": {"loss.temprature": 0.1}}, "did you mean 'loss.temperature'"),
        ({"settings": {"training.devices": 2}}, "one process"),
        ({"choose": {"loss.temperature": [0.1, -1.0]}}, "positive number"),
        ({"choose": {"evaluation.rank_by": ["mixture", "torus"]}}, "ball|sphere: evaluation.rank_by"),
        ({"settings": {"batch.classes": 40}}, "classes"),
        ({"settings": {"data.root": "nowhere", "data.layout": "folder"}}, "nowhere"),
    ],
)
def test_bad_input_is_told_before_anything_is_trained(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        compare(pair(tmp_path), tmp_path / "study", progress=False, **options)
    assert not list((tmp_path / "study").glob("*/*"))


def test_what_cannot_be_compared(tmp_path):
    names = pair(tmp_path)
    with pytest.raises(InputError, match="two recipes or more, each once"):
        compare([names[0], names[0]], tmp_path / "study")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        compare(names, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_one_process_at_a_time_works_in_a_study(tmp_path):
    from filelock import FileLock

    (tmp_path / "study").mkdir()
    with FileLock(tmp_path / "study" / ".lock"), pytest.raises(InputError, match="another process works"):
        compare(pair(tmp_path), tmp_path / "study", progress=False)


def test_the_command_reads_options_and_grids(capsys, tmp_path, monkeypatch):
    from horosphere import studies

    seen = {}

    def fake(recipes, folder, **options):
        seen.update(options, recipes=recipes, folder=folder)
        raise InputError("seen enough")

    monkeypatch.setattr(studies, "compare", fake)
    flags = "--set training.steps=9 optimiser.lr=1e-3 data.root=a=b --choose loss.temperature=0.1,2e-1 --seeds 3"
    assert call(capsys, "compare", "demo", "omniglot-sphere", "--study", "s", *flags.split())[0] == 2
    assert seen["recipes"] == ("demo", "omniglot-sphere") and str(seen["folder"]) == "s" and seen["seeds"] == 3
    assert seen["settings"] == {"training.steps": 9, "optimiser.lr": 1e-3, "data.root": "a=b"}
    assert seen["choose"] == {"loss.temperature": [0.1, 0.2]}
    status, _, error = call(capsys, "compare", "demo", "omniglot-sphere", "--study", "s", "--set", "seed")
    assert status == 2 and "expected OPTION=VALUE" in error


def test_the_default_choices_go_around_a_recipes_own_temperature():
    chosen = contender("omniglot-sphere", {}, None, (0.5, 1, 2, 4)).choices
    assert [choice["loss.temperature"] for choice in chosen] == [0.025, 0.05, 0.1, 0.2]
    with pytest.raises(InputError, match="has no temperature"):
        contender("omniglot-sphere", {"loss": {"kind": "proxy-anchor"}}, None, (0.5, 1))


def test_a_run_without_a_page_has_the_same_numbers(tmp_path, whole):
    run = hs.Run.open(whole[0] / "sphere" / "seed 0")
    alone = hs.train(replace(run.config), tmp_path / "run", progress=False)
    assert alone.page_path.exists()
    assert alone.report == run.report
    assert changed(run.config, {}) == run.config == configs.read(run.config_path)
