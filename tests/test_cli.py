"""The command line as a person would use it."""

import csv
import json
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
import torch
from PIL import Image

import horosphere as hs
from horosphere import config as configs
from horosphere import recipes
from horosphere.cli import COMMANDS, main

from .training import tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return hs.train(tiny.config(), tmp_path_factory.mktemp("cli") / "run", progress=False)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(5):
        (folder / f"album{i % 2}").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (24, 30, 3), dtype=np.uint8)).save(folder / f"album{i % 2}" / f"{i}.png")
    (folder / "album0" / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    (folder / "notes.txt").write_text("no image")
    return folder


def call(capsys, *arguments):
    """Exit status, standard output and standard error of a command."""
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        status = stop.code
    out = capsys.readouterr()
    return status, out.out, out.err


def test_help_names_every_command(capsys):
    status, out, _ = call(capsys, "--help")
    assert status == 0 and all(f"  {command} " in out for command in COMMANDS)
    for command in COMMANDS:
        status, out, _ = call(capsys, command, "--help")
        assert status == 0 and f"horosphere {command}" in out


def test_help_loads_no_torch():
    program = (
        "import sys; from horosphere.cli import main; main(['--help']); main(['recipes']); main(['show', 'demo']);"
        "sys.exit(bool({'torch', 'numpy', 'timm', 'matplotlib', 'PIL', 'sklearn'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL).returncode == 0


def test_version(capsys):
    assert call(capsys, "--version")[1].strip() == version("horosphere")


def test_every_recipe_is_listed_and_shown_as_a_config(capsys, tmp_path):
    _, out, _ = call(capsys, "recipes")
    assert [line.split()[0] for line in out.splitlines()] == recipes.names()
    for name in ("demo", "hyp-dino-cub"):
        _, out, _ = call(capsys, "show", name)
        (tmp_path / "c.yaml").write_text(out)
        assert configs.read(tmp_path / "c.yaml") == recipes.get(name).config()
    assert "# deviation: " in out and "# status: " in out


def test_the_flags_of_a_recipe_change_its_config(capsys, monkeypatch):
    import horosphere.training

    seen = {}

    def fake_train(config, folder):
        seen.update(config=config, folder=folder)
        raise hs.InputError("seen enough")

    monkeypatch.setattr(horosphere.training, "train", fake_train)
    flags = [
        "--seed",
        "7",
        "--space.parts.1.curvature",
        "0.3",
        "--optimiser.clip-norm",
        "None",
        "--devices",
        "3",
        "--profile",
    ]
    assert call(capsys, "train", "demo", "--run", "r", *flags)[0] == 2
    config = seen["config"]
    assert (config.seed, config.space.parts[1].curvature, config.optimiser.clip_norm) == (7, 0.3, None)
    assert config.training.devices == 3 and config.training.profile and str(seen["folder"]) == "r"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], "no command 'trian'"),
        (["train", "dmo"], "did you mean demo"),
        (["train", "--resume"], "needs a path"),
        (["train", "--resume", "nowhere"], "no run"),
        (["train", "--resume", "r", "--seed", "1"], "keeps its own config"),
        (["train", "--seed", "1", "demo"], "start with a recipe"),
        (["train", "hyp-dino-cub", "--data.root", "nowhere"], "nowhere does not exist"),
        (["evaluate"], "give one thing to judge"),
        (["evaluate", "nowhere"], "no run"),
        (["evaluate", "nowhere.npz"], "nowhere.npz"),
        (["evaluate", "--encoder", "resnet8", "--layout", "digits"], "no encoder 'resnet8'"),
        (["embed", "nowhere", "x", "-o", "points.csv"], "npz or .safetensors"),
        (["report", "nowhere"], "no run"),
        (["show", "hyp-dino"], "did you mean"),
    ],
)
def test_mistakes_end_with_one_clear_line(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    status, _, error = call(capsys, *arguments)
    assert status == 2 and error.splitlines()[-1].startswith("error: ") and words in error
    assert not list(tmp_path.iterdir())


def test_an_unknown_flag_names_the_nearest(capsys):
    status, out, error = call(capsys, "train", "demo", "--optimizer.lr", "1")
    assert status == 2 and "--optimiser.lr" in out + error


def test_evaluate_a_run_gives_its_report_again_and_a_line_a_query(capsys, run, tmp_path):
    status, out, _ = call(capsys, "evaluate", run.folder, "--per-query", tmp_path / "q.csv", "--json", tmp_path / "n.json")
    assert status == 0 and "mixture *" in out
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert numbers["rows"]["mixture"]["recall@1"] == run.report["rows"]["mixture"]["recall@1"]
    with open(tmp_path / "q.csv") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == numbers["rows"]["mixture"]["queries"]
    hits = np.mean([int(line["rank"]) == 0 for line in lines])
    assert hits == pytest.approx(numbers["rows"]["mixture"]["recall@1"])
    assert {line["class"] for line in lines} == set("56789")


def test_evaluate_refuses_to_call_training_classes_held_out(capsys, run):
    status, _, error = call(capsys, "evaluate", run.folder, "--split", "validation")
    assert status == 2 and "none is held out" in error


@pytest.mark.parametrize("flags", [["--space", "sphere"], ["--size", "8"], ["--pretrained"], ["--layout", "cub"]])
def test_an_option_that_would_do_nothing_is_refused(capsys, run, flags):
    status, _, error = call(capsys, "evaluate", run.folder, *flags)
    assert status == 2 and "would do nothing" in error


def test_embed_then_evaluate_the_points(capsys, run, tmp_path):
    rows = run.report["rows"]["mixture"]
    digits = hs.load_data("digits").select("test")
    data = tmp_path / "digits"
    for i in range(0, len(digits), 4):
        folder = data / "test" / digits.classes[digits.labels[i]]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits.images.read(i)).save(folder / f"{i}.png")
    for name in ("points.npz", "points.safetensors"):
        status, out, _ = call(capsys, "embed", run.folder, data, "--layout", "folder", "-o", tmp_path / name)
        assert status == 0 and "224 images embedded, 0 skipped" in out
        status, out, _ = call(capsys, "evaluate", tmp_path / name, "--ks", "1", "5", "--json", tmp_path / "n.json")
        assert status == 0
        found = json.loads((tmp_path / "n.json").read_text())["rows"]["mixture"]
        assert found["recall@1"] == pytest.approx(rows["recall@1"], abs=0.15)
        assert "recall@5" in found


def test_evaluate_a_run_in_another_precision(capsys, run, tmp_path):
    numbers = []
    for options in ([], ["--precision", "bf16-mixed"]):
        assert call(capsys, "evaluate", run.folder, *options, "--json", tmp_path / "n.json")[0] == 0
        numbers.append(json.loads((tmp_path / "n.json").read_text())["rows"]["mixture"]["map_at_r"])
    assert numbers[0] == run.report["rows"]["mixture"]["map_at_r"] != numbers[1]
    assert numbers[1] == pytest.approx(numbers[0], abs=0.01)


def test_embed_photos_skips_the_broken_one(capsys, run, photos, tmp_path):
    status, out, error = call(capsys, "embed", run.folder, photos, "-o", tmp_path / "p.npz", "--workers", "0")
    assert status == 0 and "5 images embedded, 1 skipped" in out and "cut.jpg" in error
    arrays = np.load(tmp_path / "p.npz")
    assert arrays["points"].shape == (5, 16) and "album1/3.png" in arrays["ids"] and "labels" not in arrays
    status, _, error = call(capsys, "evaluate", tmp_path / "p.npz")
    assert status == 2 and "labels" in error
    status, _, _ = call(capsys, "embed", run.folder, photos, "-o", tmp_path / "e.npz", "--encoding", "--workers", "0")
    assert np.load(tmp_path / "e.npz")["features"].shape == (5, 24)
    options = ["--precision", "bf16-mixed", "--workers", "0"]
    assert call(capsys, "embed", run.folder, photos, "-o", tmp_path / "h.npz", *options)[0] == 0
    half = np.load(tmp_path / "h.npz")["points"]
    assert not np.array_equal(half, arrays["points"]) and np.allclose(half, arrays["points"], atol=0.1)


def test_evaluate_foreign_points_in_a_space_that_is_told(capsys, tmp_path):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 5)
    points = (rng.normal(size=(10, 4))[labels] + 0.01 * rng.normal(size=(50, 4))).astype(np.float32)
    np.savez(tmp_path / "p.npz", points=points, labels=labels)
    status, _, error = call(capsys, "evaluate", tmp_path / "p.npz")
    assert status == 2 and "--space" in error
    status, out, _ = call(capsys, "evaluate", tmp_path / "p.npz", "--space", "hyperbolic", "--clip", "None")
    assert status == 0 and "100.0" in out
    status, _, error = call(capsys, "evaluate", tmp_path / "p.npz", "--space", "sphere")
    assert status == 2 and "place them first" in error


def test_evaluate_an_untrained_encoder(capsys, tmp_path):
    options = "--encoder-options img_size 16 patch_size 8 embed_dim 24 depth 1 num_heads 2 in_chans 1"
    status, out, _ = call(
        capsys,
        *["evaluate", "--encoder", "vit_tiny_patch16_224", "--layout", "digits", "--workers", "0", "--resize", "16"],
        *options.split(),
    )
    assert status == 0 and "encoder *" in out


def test_delta_of_a_run_and_of_files(capsys, run, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "f.npz", features=rng.normal(size=(30, 3)))
    ball = hs.Hyperbolic(curvature=0.5, clip=1.0)
    points = ball(torch.from_numpy(rng.normal(size=(30, 3))))
    split = np.repeat(["train", "test"], 15)
    np.savez(tmp_path / "p.npz", points=points.numpy(), split=split)
    space = ["--space", "hyperbolic", "--curvature", 0.5, "--clip", 1]
    options = ["--samples", 20, "--draws", 3, "--workers", 0, "--json", tmp_path / "n.json"]
    status, out, _ = call(capsys, "delta", run.folder, tmp_path / "f.npz", *options)
    rows = json.loads((tmp_path / "n.json").read_text())["rows"]
    assert status == 0 and len(rows) == 3 and "encoder's output" in out and "suggested c" in out and "paper" not in out
    for row in rows:
        assert 0 < row["value"] < 1 and len(row["per_draw"]) == 3
        assert row["curvature"] == pytest.approx((0.144 / row["value"]) ** 2)
    assert rows[0]["points"] == (hs.load_data("digits").split == "train").sum() and rows[2]["points"] == 30
    assert call(capsys, "delta", tmp_path / "p.npz", *options, *space)[0] == 0
    (row,) = json.loads((tmp_path / "n.json").read_text())["rows"]
    assert row["points"] == 15 and row["value"] == pytest.approx(hs.relative_delta(points[:15], space=ball).value)


def test_report_is_written_again(capsys, run):
    before = run.report
    run.page_path.unlink()
    status, out, _ = call(capsys, "report", run.folder, "--workers", "0")
    assert status == 0 and str(run.page_path) in out
    assert run.page_path.exists()
    assert run.report["rows"] == before["rows"]


def test_a_reader_that_stops_early_is_no_error():
    program = [sys.executable, "-m", "horosphere", "recipes"]
    reader = subprocess.run(f"{' '.join(program)} | head -1", shell=True, capture_output=True, text=True)
    assert reader.stdout.startswith("demo") and "Traceback" not in reader.stderr
