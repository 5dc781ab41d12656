"""Probes: what a linear layer and neighbours can tell, on features whose answer is known."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from horosphere.cli import main
from horosphere.config import ProbeConfig
from horosphere.errors import InputError
from horosphere.studies import linear_probe, neighbour_votes, probe
from horosphere.studies.probe import probe_split

ENCODER = ("--encoder", "mobilenetv3_small_050", "--size", "32", "--workers", "0", "--device", "cpu")


def blobs(n=300, classes=3, dim=5, spread=1.0, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(0, 2, (classes, dim))
    labels = rng.integers(0, classes, n)
    features = centres[labels] + rng.normal(0, spread, (n, dim))
    return torch.from_numpy(features).float(), torch.from_numpy(labels)


def config(**options):
    return ProbeConfig(encoder="none", data="none", **options)


def test_linear_probe_ends_where_logistic_regression_does():
    (x, labels), (y, _) = blobs(), blobs(seed=1)
    found = linear_probe(x, labels, y, config(lr=0.5, epochs=60, schedule="cosine"), classes=3)
    oracle = LogisticRegression(C=np.inf, max_iter=2000).fit(x, labels)
    agreement = (found.logits.argmax(1).numpy() == oracle.predict(y)).mean()
    assert agreement > 0.97 and found.loss < found.first_loss
    assert found.train_top1 == pytest.approx(oracle.score(x, labels), abs=0.02)


def test_standardising_makes_the_scale_of_the_features_irrelevant():
    (x, labels), (y, _) = blobs(), blobs(seed=1)
    options = config(lr=0.5, epochs=3, standardise=True)
    one, other = (linear_probe(scale * x + 7, labels, scale * y + 7, options, classes=3) for scale in (1, 64))
    assert torch.allclose(one.logits, other.logits, atol=1e-3)


def test_the_same_seed_gives_the_same_probe_and_a_mad_rate_is_named():
    (x, labels), (y, _) = blobs(), blobs(seed=1)
    one, other = (linear_probe(x, labels, y, config(epochs=2), classes=3).logits for _ in range(2))
    assert torch.equal(one, other)
    with pytest.raises(InputError, match="lower --lr"):
        linear_probe(1e20 * x, labels, y, config(lr=1e30, epochs=2), classes=3)
    with pytest.raises(InputError, match="one class"):
        linear_probe(x, labels * 0, y, config(), classes=1)


def test_neighbour_votes_by_hand():
    train = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [-1.0, 0.0]])
    votes = neighbour_votes(train, torch.tensor([0, 1, 1, 2]), torch.tensor([[5.0, 0.0]]), k=3, temperature=0.5)
    # Cosines 1, 1 and 0, the votes relative to the first.
    assert torch.allclose(votes, torch.tensor([[1.0, 1.0 + np.exp(-2.0), 0.0]]).float())
    assert neighbour_votes(train, torch.tensor([0, 1, 1, 2]), train, k=200, temperature=1e-3).isfinite().all()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Grey levels as classes: two folders, train/ and test/ each in its own, and the same classes in one."""
    root, rng = tmp_path_factory.mktemp("probe"), np.random.default_rng(0)
    for place, count in (("a/train", 8), ("b/test", 3), ("one", 6)):
        for level in (20, 90, 160, 240):
            folder = root / place / f"grey{level}"
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = (level + rng.integers(-15, 15, (32, 32, 3))).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return root


def test_the_command_probes_two_folders_of_the_same_classes(pictures, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("HOROSPHERE_CACHE", str(tmp_path / "cache"))
    options = ("--lr", "1", "--epochs", "20", "--standardise", "--json", str(tmp_path / "p.json"))
    assert main(["probe", *ENCODER, "--data", str(pictures / "a"), "--test", str(pictures / "b"), *options]) == 0
    out = capsys.readouterr().out
    report = json.loads((tmp_path / "p.json").read_text())
    assert report["classes"] == 4 and (report["train_images"], report["test_images"]) == (32, 12)
    assert report["rows"]["linear"]["top1"] > 0.7 and "top5" not in report["rows"]["linear"]
    assert "lr 1, last training loss" in out and "linear probe" in out
    low, high = report["rows"]["neighbours"]["intervals"]["top1"]
    assert low <= report["rows"]["neighbours"]["top1"] <= high


def test_within_class_split_of_one_folder(pictures):
    train, test, protocol = probe_split(ProbeConfig(encoder="x", data=str(pictures / "one"), test_share=0.3))
    assert "cut in two" in protocol and not set(train.ids) & set(test.ids)
    # The classes of the test split: the last two of four, of six images each.
    assert np.bincount(train.labels).tolist()[-2:] == [4, 4] and np.bincount(test.labels).tolist()[-2:] == [2, 2]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "one model to study"),
        ({"encoder": "mobilenetv3_small_050"}, "give --data"),
        ({"run": "nowhere", "encoder": "x"}, "one model to study"),
        ({"run": "nowhere", "checkpoint": "x"}, "--checkpoint would do nothing"),
        ({"run": "nowhere"}, "is no run"),
        ({"run": "nowhere", "layout": "cub"}, "auto without --data"),
        ({"encoder": "x", "data": "x", "bootstrap": -1}, "bootstrap is -1"),
    ],
)
def test_bad_input(options, says):
    with pytest.raises(InputError, match=says):
        probe(ProbeConfig(**options), progress=False)


def test_other_classes_to_judge_on_are_refused(pictures, tmp_path):
    for name in ("red", "blue"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8), name).save(tmp_path / name / "0.png")
    with pytest.raises(InputError, match="2 classes that a does not train"):
        probe_split(ProbeConfig(encoder="x", data=str(pictures / "a"), test=str(tmp_path)))
