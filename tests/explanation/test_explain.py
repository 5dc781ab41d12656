"""`horosphere explain` as a person would use it: a run, points of another library, and what goes wrong."""

import json
import re

import numpy as np
import pytest
import torch

from horosphere import Hyperbolic, Run
from horosphere.cli import main
from horosphere.explanation import SECTIONS


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """The demo, a few steps of it."""
    folder = tmp_path_factory.mktemp("explain") / "run"
    options = ["--training.steps", "30", "--training.log-every", "5", "--evaluation.bootstrap", "0"]
    assert main(["train", "demo", "--run", str(folder), *options]) == 0
    return Run.open(folder)


@pytest.fixture
def ball(tmp_path):
    """Ball coordinates of a two-level tree of classes, as another library keeps them."""
    rng = np.random.default_rng(0)
    branches = np.repeat(rng.normal(size=(3, 5)), 2, axis=0) + 0.4 * rng.normal(size=(6, 5))
    labels = np.arange(120) % 6
    tangent = torch.tensor(0.3 * (branches[labels] + 0.3 * rng.normal(size=(120, 5))))
    path = tmp_path / "theirs.npz"
    np.savez(
        path,
        points=Hyperbolic(1.0, clip=None).to_poincare(tangent).numpy(),
        labels=labels,
        classes=np.array(list("abcdef")),
        superclasses=np.array([[name] for name in "xxyyzz"]),
    )
    return path


def test_a_run_is_explained_on_one_page(run, capsys):
    status = main(["explain", str(run.folder), "--disk-points", "150", "--samples", "100", "--anchors", "50"])
    out = capsys.readouterr().out
    assert status == 0 and "explain/report.html" in out
    folder = run.folder / "explain"
    page, numbers = (folder / "report.html").read_text(), json.loads((folder / "explain.json").read_text())
    assert list(numbers["sections"]) == list(SECTIONS) and numbers["points"] == 896
    assert not any("not_here" in section for name, section in numbers["sections"].items())
    # Self-contained: nothing is fetched, and every picture stands beside the page as well, in two forms.
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    pictures = sorted(path.stem for path in folder.glob("*.png"))
    assert page.count("data:image/png;base64,") == len(pictures) >= len(SECTIONS)
    assert pictures == sorted(path.stem for path in folder.glob("*.svg"))
    # Again, less of it: the same folder is written anew.
    assert main(["explain", str(run.folder), "--sections", "delta", "--samples", "50"]) == 0
    assert list(json.loads((folder / "explain.json").read_text())["sections"]) == ["delta"]


def test_points_of_another_library(ball, capsys):
    assert main(["explain", str(ball), "--space", "poincare", "--curvature", "1", "--samples", "60"]) == 0
    out, folder = capsys.readouterr().out, ball.with_name("theirs-explain")
    sections = json.loads((folder / "explain.json").read_text())["sections"]
    # A file has no training to look back on.
    assert "not_here" in sections["telemetry"] and "Not here:" in out
    assert not any("not_here" in section for name, section in sections.items() if name != "telemetry")


def test_points_without_labels_have_a_disk_and_a_delta(ball, capsys):
    arrays = np.load(ball)
    np.savez(ball, points=arrays["points"])
    assert main(["explain", str(ball), "--space", "poincare", "--curvature", "1", "--samples", "60"]) == 0
    sections = json.loads((ball.with_name("theirs-explain") / "explain.json").read_text())["sections"]
    assert {name for name in SECTIONS if "not_here" not in sections[name]} >= {"disk", "delta"}


def test_a_stop_keeps_the_sections_before_it(ball, monkeypatch, capsys):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setitem(SECTIONS, "delta", stopped)
    arguments = ["explain", str(ball), "--space", "poincare", "--curvature", "1", "--sections", "negatives", "delta"]
    assert main(arguments) == 130
    folder = ball.with_name("theirs-explain")
    assert list(json.loads((folder / "explain.json").read_text())["sections"]) == ["negatives"]
    assert "data:image/png" in (folder / "report.html").read_text()


def test_a_stop_in_the_first_section_does_not_lock_the_folder(ball, monkeypatch, capsys):
    from horosphere.report.document import Picture

    def killed(self, folder):
        raise KeyboardInterrupt

    arguments = ["explain", str(ball), "--space", "poincare", "--curvature", "1", "--sections", "negatives"]
    with monkeypatch.context() as patch:
        patch.setattr(Picture, "write", killed)
        assert main(arguments) == 130
    assert main(arguments) == 0
    folder = ball.with_name("theirs-explain")
    assert (folder / "weights.png").exists()
    # Pictures of sections that are no longer asked for go.
    assert main([*arguments[:-1], "delta", "--samples", "50"]) == 0
    assert not (folder / "weights.png").exists() and (folder / "delta.svg").exists()


def test_other_data_are_judged_whole_and_none_of_them_trained(run, tmp_path, capsys):
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in "abcd":
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 255, (16, 16), np.uint8)).save(tmp_path / "photos" / name / f"{i}.png")
    options = ["--data", str(tmp_path / "photos"), "--data-layout", "folder", "--data-options", "train_classes", "0"]
    assert main(["explain", str(run.folder), *options, "-o", str(tmp_path / "other"), "--sections", "delta"]) == 0
    numbers = json.loads((tmp_path / "other" / "explain.json").read_text())
    assert numbers["points"] == 24 and numbers["sections"]["delta"]["of"] == "images that are judged"


def test_a_folder_of_something_else_is_left_alone(ball, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("mine")
    assert main(["explain", str(ball), "--space", "poincare", "--curvature", "1", "-o", str(other)]) == 2
    assert "-o" in capsys.readouterr().err and [path.name for path in other.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "no run"),
        (["{ball}"], "--space"),
        (["{ball}", "--space", "lorentz", "--curvature", "1"], "hyperboloid"),
        (["{ball}", "--space", "poincare", "--curvature", "1", "--data", "photos"], "--data"),
        (["{run}", "--space", "sphere"], "files of points"),
    ],
)
def test_bad_input_says_what_to_do(ball, run, capsys, arguments, said):
    assert main(["explain", *(argument.format(ball=ball, run=run.folder) for argument in arguments)]) == 2
    assert said in capsys.readouterr().err


def test_options_out_of_range_are_refused_as_the_command_line_words_it(ball, capsys):
    for arguments in (["--temperatures", "0"], ["--tree-names", "a", "b"], ["--data-layout", "cub"]):
        with pytest.raises(SystemExit) as stop:
            main(["explain", str(ball), *arguments])
        assert stop.value.code == 2 and arguments[0].strip("-").replace("-", "_") in capsys.readouterr().err
