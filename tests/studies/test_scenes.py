"""Scenes: the numbers of a tiny model on tiny scenes, and the page that shows them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from horosphere.cli import main
from horosphere.config import ScenesConfig
from horosphere.errors import InputError
from horosphere.evaluation import rank_correlation
from horosphere.models import Embedder
from horosphere.spaces import Hyperbolic, Mixed, Sphere
from horosphere.studies import scenes
from horosphere.studies.scenes import _batches, _overlap
from tests.data.helpers import encoded, photograph
from tests.data.scenes.helpers import box, coco

ENCODER = "vit_tiny_patch16_224"
OPTIONS = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 1, "num_heads": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What `scenes` needs of a run: its folder, a config and a model with a mixed space."""
    folder = tmp_path_factory.mktemp("scenes") / "run"
    torch.manual_seed(0)
    space = Mixed([Sphere(), Hyperbolic(curvature=0.05, clip=None)])
    Embedder(ENCODER, space, 8, encoder_options=OPTIONS).save(folder / "model")
    (folder / "config.yaml").write_text("recipe: test\n")
    return folder


@pytest.fixture(scope="module")
def boxed(tmp_path_factory):
    """Eight photographs with two to four boxes of two classes each, in COCO's layout; one cannot be read."""
    root, rng = tmp_path_factory.mktemp("boxed"), np.random.default_rng(0)
    (root / "train2017").mkdir()
    images, annotations = [], []
    for i in range(9):
        (root / "train2017" / f"{i}.jpg").write_bytes(encoded(photograph(80, 60, i)) if i < 8 else b"\xff\xd8")
        images.append((i, f"{i}.jpg", 80, 60))
        for _ in range(2 + i % 3):
            left, top = rng.integers(0, 40), rng.integers(0, 25)
            annotations.append(
                box(i, int(left), int(top), int(rng.integers(20, 40)), int(rng.integers(20, 35)), 3 if i % 2 else 7)
            )
    (root / "instances_train2017.json").write_text(coco(images, annotations))
    return root


def test_a_run_is_studied_beside_its_controls(run, boxed, capsys):
    table = boxed.parent / "flags"
    if not table.exists():
        table.mkdir()
        for i in range(4):
            (table / f"{i}.jpg").write_bytes((boxed / "train2017" / f"{i}.jpg").read_bytes())
        lines = [f"{i}.jpg,{5 * k},5,{30 + 5 * k},40,{int(k == 1)}" for i in range(4) for k in range(3)]
        (table / "flags.csv").write_text("\n".join(["image,left,top,right,bottom,out_of_context", *lines]))
    arguments = ["--data", str(boxed), "--least", "20", "--bootstrap", "50", "--workers", "0", "--device", "cpu"]
    assert main(["scenes", str(run), *arguments, "--context", str(table)]) == 0
    out = capsys.readouterr().out
    numbers = json.loads((run / "scenes" / "scenes.json").read_text())
    assert numbers["images"] == 8 and numbers["failures"]["count"] == 1
    rows = {(row["labels"], row["norm"]): row for row in numbers["label_uncertainty"] if row["labels"] == "boxes"}
    assert set(rows) == {("boxes", "hyperbolic radius"), ("boxes", "encoder norm")}
    # The same by hand: whole images, resized to the square, their norm before the head.
    model = Embedder.load(run / "model")
    pictures = [Image.open(boxed / "train2017" / f"{i}.jpg").convert("RGB") for i in range(8)]
    views = torch.stack(
        [torch.from_numpy(np.array(p.resize((32, 32), Image.Resampling.BICUBIC))).permute(2, 0, 1) for p in pictures]
    )
    norms = model.encode(views, head=False).norm(dim=1).numpy()
    counts = np.array([2 + i % 3 for i in range(8)])
    assert rows["boxes", "encoder norm"]["correlation"] == pytest.approx(rank_correlation(norms, counts), abs=0.1)
    pasted = numbers["pasted"]
    assert next(iter(pasted["auroc"])) == "hyperbolic" and "hyperbolic by cosine" in pasted["differences"]
    assert pasted["objects"] == 2 * pasted["out_of_context"] and set(pasted["right_pairs"]) == set(pasted["auroc"])
    assert numbers["marked"]["out_of_context"] == 4 and "control: a small box" in numbers["marked"]["auroc"]
    html = (run / "scenes" / "scenes.html").read_text()
    assert html.count("data:image/png") == 4 and "Out of context: pasted objects" in out and "8.jpg" in out


def test_real_labels_and_classes(run, boxed, tmp_path, capsys):
    root = tmp_path / "val"
    root.mkdir()
    for i in range(8):
        (root / f"ILSVRC2012_val_0000000{i + 1}.jpg").write_bytes((boxed / "train2017" / f"{i}.jpg").read_bytes())
    (tmp_path / "real.json").write_text(json.dumps([[1], [1, 2], [], [3], [1, 2, 3], [4, 5], [6], [1, 2]]))
    config = ScenesConfig(
        run=str(run), data=str(root), real=str(tmp_path / "real.json"), bootstrap=20, workers=0, device="cpu"
    )
    document, folder = scenes(config, tmp_path / "out", progress=False)
    numbers = json.loads((folder / "scenes.json").read_text())
    assert numbers["images"] == 7 and numbers["without_label"] == 1 and "1 images without a label" in document.text()
    assert [row["labels"] for row in numbers["label_uncertainty"][0]["by_count"]] == [1, 2, 3]
    with pytest.raises(InputError, match="are not in"):
        scenes(replace(config, data=str(boxed)), tmp_path / "none", progress=False)
    # Labelled images: a row a class.
    for i in range(8):
        (tmp_path / "photos" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / "ab"[i % 2] / f"{i}.jpg").write_bytes((boxed / "train2017" / f"{i}.jpg").read_bytes())
    config = replace(config, data=str(tmp_path / "photos"), real=None, layout="folder")
    document, folder = scenes(config, tmp_path / "classes", progress=False)
    assert [section.heading for section in document.sections] == ["Least and largest norms"]
    assert (folder / "extremes.png").stat().st_size > 5000


def test_an_encoder_alone_is_judged_by_its_own_output(boxed, tmp_path):
    config = ScenesConfig(
        encoder=ENCODER, encoder_options=OPTIONS, data=str(boxed), least=20, bootstrap=20, workers=0, device="cpu"
    )
    _, folder = scenes(config, tmp_path / "e", progress=False)
    numbers = json.loads((folder / "scenes.json").read_text())
    assert list(numbers["pasted"]["auroc"]) == ["encoder, cosine", "encoder, Euclidean"]
    assert {row["norm"] for row in numbers["label_uncertainty"]} == {"encoder norm"}


def test_batches_keep_rows_and_order():
    rows = [torch.arange(start, start + size) for start, size in ((0, 3), (3, 1), (4, 7), (11, 2))]
    batches = list(_batches(rows, 4))
    assert [len(batch) for batch in batches] == [4, 4, 4, 1] and torch.cat(batches).tolist() == list(range(13))


def test_overlap_is_a_share_of_the_first_box():
    assert _overlap(np.array([0, 0, 10, 10]), (5, 0, 20, 10)) == 0.5 and _overlap(np.array([0, 0, 1, 1]), (2, 2, 3, 3)) == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "give the images"),
        ({"data": "nowhere"}, "does not exist"),
        ({"data": "BOXED", "least": 70.0}, "none of 9 images has 2 boxes"),
        ({"data": "BOXED", "split": "test"}, "no split"),
        ({"data": "BOXED", "least": 0.0}, "least is 0"),
        ({"data": "BOXED", "real": "x", "layout": "coco"}, "auto with --real"),
    ],
)
def test_bad_input(run, boxed, options, says, tmp_path):
    options = {name: str(boxed) if value == "BOXED" else value for name, value in options.items()}
    with pytest.raises(InputError, match=says):
        scenes(ScenesConfig(run=str(run), bootstrap=5, workers=0, device="cpu", **options), tmp_path / "bad", progress=False)
