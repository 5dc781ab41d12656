"""The published rows: complete configs, with every part that they name made and used once."""

import dataclasses
import re
from functools import cache

import numpy as np
import pytest
import torch

from horosphere import build
from horosphere import config as configs
from horosphere.data import ArrayImages, ClassBalancedSampler, RetrievalData, training_batches
from horosphere.losses import hypmix
from horosphere.recipes import get, names
from horosphere.recipes.hyp_mix import WEIGHTS
from horosphere.report.judge import ways_to_rank

HYP_VIT = [f"{g}-{e}-{d}" for g in ("sph", "hyp") for e in ("vit", "deit", "dino") for d in ("cub", "cars", "sop", "inshop")]
MIX = [f"{v}-{e}-{d}" for v in ("mix", "mix-paper", "mix-radial") for e in ("vit", "dino") for d in ("cub", "cars", "sop")]
ROWS = [*HYP_VIT, "hyp-dino8-cars", *MIX]
WHOLE = {"hyp-vit-cub", "hyp-dino8-cars"}  # a row for each size of the patches

# Training classes and images (Hyp-ViT §3.1), and the images of a batch.
TRAINING = {"cub": (100, 5_864), "cars": (98, 8_054), "sop": (11_318, 59_551), "inshop": (3_997, 25_882)}
BATCH = {"cub": (100, 9), "cars": (98, 9), "sop": (450, 2), "inshop": (450, 2)}


def data_of(name: str) -> str:
    return name.rsplit("-", 1)[1]


def points_of(space, heads: str, features: torch.Tensor) -> torch.Tensor:
    """Points of random features, through one head or one a part."""
    return space(features if heads == "shared" else [features, torch.randn_like(features)])


def test_every_row_is_a_recipe():
    assert [name for name in names() if name.startswith(("sph-", "hyp-", "mix-"))] == ROWS


@pytest.mark.parametrize("name", ROWS)
def test_a_row_says_where_it_comes_from_and_where_it_differs(name):
    row = get(name)
    assert "\n" not in row.summary and len(row.summary) <= 110
    assert row.status == "not run: the images are not at hand"
    assert row.deviations and all(len(line) > 30 and "\n" not in line for line in row.deviations)
    if name.startswith("mix-radial"):
        assert row.source.startswith("ours") and "published Recall" not in row.summary
    else:
        assert re.search(r"(Hyp-ViT \(CVPR 2022\)|HypMix \(WACV 2024\)).*Table", row.source)
        assert re.search(r"published Recall@1: \d\d\.\d / \d\d\.\d \(head / encoder\)", row.summary)


def test_the_figures_are_those_of_their_cells():
    """Read off the papers, one a method and one a data set."""
    figures = {name: re.search(r"\d\d\.\d / \d\d\.\d", get(name).summary).group() for name in [*HYP_VIT, *MIX[:12]]}
    assert figures["sph-deit-cub"] == "73.3 / 76.2" and figures["sph-dino-cars"] == "81.9 / 86.6"
    assert figures["sph-vit-inshop"] == "90.8 / 90.4" and figures["hyp-deit-sop"] == "83.0 / 83.3"
    assert figures["hyp-dino-inshop"] == "92.6 / 92.4" and figures["hyp-vit-cub"] == "84.0 / 85.6"
    assert figures["mix-vit-cars"] == "81.3 / 84.4" and figures["mix-dino-sop"] == "84.9 / 85.1"
    assert figures["mix-paper-dino-cub"] == "78.5 / 80.4"


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_a_complete_config(name, tmp_path):
    """It survives its YAML, and holds what both papers' implementation sections say."""
    config, data = get(name).config(), data_of(name)
    configs.write(config, tmp_path / "config.yaml")
    assert configs.read(tmp_path / "config.yaml") == config and config.recipe == name
    assert (config.data.layout, config.data.size, config.data.resize) == (data, 224, 256 if data == "cub" else 224)
    assert config.data.augmentation == configs.Augmentation(scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip=True)
    assert config.model.pretrained and config.model.freeze == "patch" and config.model.dim == 128
    optimiser = configs.OptimiserConfig(lr=1e-5 if "dino" in name else 3e-5, weight_decay=0.01, clip_norm=3.0)
    assert config.optimiser == optimiser and optimiser.schedule == "constant" and optimiser.warmup == 0
    assert config.training.precision == "16-mixed"
    assert config.training.steps == {"cub": 200, "cars": 600, "sop": 25_000, "inshop": 2_200}[data]
    assert config.evaluation.judge == "test"
    ks = {"sop": (1, 10, 100, 1000), "inshop": (1, 10, 20, 30)}
    assert config.evaluation.ks == ks.get(data, (1, 2, 4, 8))
    assert config.loss.reduction == "published" and config.loss.negatives == "subsets"


@pytest.mark.parametrize("name", HYP_VIT)
def test_hyp_vit_is_one_geometry_at_temperature_0_2(name):
    config = get(name).config()
    space = build.space(config.space).describe()
    if name.startswith("sph"):
        assert space == {"kind": "sphere"}
    else:
        assert (space["kind"], space["curvature"], space["clip"], space["radius"]) == ("hyperbolic", 0.1, 2.3, None)
        assert space["clipping"] == "hard" and not space["learnable_curvature"]
    assert build.loss(config, build.space(config.space), classes=100).temperature == 0.2
    assert config.model.heads == "shared" and config.model.normalise_encoding == "none"


@pytest.mark.parametrize("name", MIX)
def test_mixtures_are_the_variants_of_losses(name):
    config = get(name).config()
    family = name.rsplit("-", 2)[0]
    make = {"mix": hypmix.code, "mix-paper": hypmix.paper, "mix-radial": hypmix.radial}[family]
    variant = make(WEIGHTS[data_of(name)])
    space = build.space(config.space)
    loss = build.loss(config, space, classes=100)
    assert space.describe() == variant.space.describe()
    assert (config.model.heads, config.model.normalise_encoding) == (variant.heads, variant.normalise_encoding)
    for option in ("temperature", "reduction", "negatives"):
        assert getattr(loss, option) == getattr(variant.loss, option)
    # What the headline ranks by is the variant's search space, up to scale.
    points = points_of(space, config.model.heads, torch.randn(6, 8))
    ways = ways_to_rank(space, points, None)
    _, searched, own = ways[next(iter(ways)) if config.evaluation.rank_by == "mixture" else config.evaluation.rank_by]
    torch.testing.assert_close(searched.pairwise(own), variant.search.pairwise(points))


ENCODERS = {  # timm's weights, their mean and standard deviation, blocks of patches
    "vit": ("vit_small_patch16_224.augreg_in21k", 0.5, 0.5, 196),
    "deit": ("deit_small_patch16_224.fb_in1k", 0.485, 0.229, 196),
    "dino": ("vit_small_patch16_224.dino", 0.485, 0.229, 196),
    "dino8": ("vit_small_patch8_224.dino", 0.485, 0.229, 784),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_names_its_own_weights(name):
    assert get(name).config().model.encoder == ENCODERS[name.split("-")[-2]][0]


@pytest.mark.parametrize("name", ROWS)
def test_one_step(name):
    """Every row at full resolution: images to loss to a step, with the weights not fetched.

    Two rows with all twelve blocks, the others, whose encoders differ in nothing else, with two.
    """
    torch.manual_seed(0)
    config = get(name).config()
    options = {} if name in WHOLE else {"depth": 2}
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, pretrained=False, encoder_options=options))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 240, 260, 3), dtype=np.uint8)
    data = RetrievalData("random", ArrayImages(pixels), None, np.array([0, 0, 1, 1]), ("a", "b"), None, ["train"] * 4)

    model = build.embedder(config, data)
    _, mean, std, patches = ENCODERS[name.split("-")[-2]]
    preprocessing = model.preprocessing
    assert (preprocessing.mean[0], preprocessing.std[0], preprocessing.interpolation) == (mean, std, "bicubic")
    assert (preprocessing.size, preprocessing.resize) == (224, config.data.resize)
    assert model.width == 384 and model.encoder.patch_embed.num_patches == patches
    frozen = {key for key, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {"encoder.patch_embed.proj.weight", "encoder.patch_embed.proj.bias"}

    sampler = ClassBalancedSampler(data.labels, classes=2, images=2)
    batch = next(training_batches(data, sampler, preprocessing, config.data.augmentation, stop=1))
    assert batch.images.shape == (4, 3, 224, 224) and not batch.failures
    loss = build.loss(config, model.space, classes=100)
    groups = model.parameter_groups(config.optimiser.weight_decay)
    heads = ["head"] if model.heads.shared else [f"head/{part}" for part in model.space.names]
    assert [(group["name"], group["weight_decay"]) for group in groups] == [(name, 0.01) for name in ("encoder", *heads)]
    optimiser = torch.optim.AdamW(groups, lr=config.optimiser.lr)
    before = {key: parameter.detach().clone() for key, parameter in model.named_parameters()}
    value = loss(model(model.normalise(batch.images)), batch.labels)
    value.backward()
    norm = torch.nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], config.optimiser.clip_norm)
    optimiser.step()
    assert value.isfinite() and 0 < norm < torch.inf
    still = {key for key, parameter in model.named_parameters() if torch.equal(parameter, before[key])}
    assert still == frozen


@cache
def training_labels(data: str) -> np.ndarray:
    """Labels with the real set's numbers of classes and images; In-Shop's classes may have a single one."""
    classes, images = TRAINING[data]
    least = 1 if data == "inshop" else 2
    rest = np.random.default_rng(0).integers(classes, size=images - least * classes)
    return np.concatenate([np.repeat(np.arange(classes), least), rest])


@pytest.mark.parametrize("name", ROWS)
def test_the_loss_takes_a_whole_batch_of_the_real_set(name):
    torch.manual_seed(0)
    config, data = get(name).config(), data_of(name)
    labels = training_labels(data)
    assert (len(np.unique(labels)), len(labels)) == TRAINING[data]
    classes, images = (60, 2) if name == "hyp-dino8-cars" else BATCH[data]
    sampler = ClassBalancedSampler(labels, classes=config.batch.classes, images=config.batch.images)
    assert sampler.batch_size == classes * images == {"hyp-dino8-cars": 120}.get(name, 882 if data == "cars" else 900)
    drawn = labels[sampler.batch(config.training.steps - 1)]
    _, counts = np.unique(drawn, return_counts=True)
    assert counts.tolist() == [images] * classes

    space = build.space(config.space)
    features = torch.randn(len(drawn), config.model.dim, requires_grad=True)
    value = build.loss(config, space, classes=100)(points_of(space, config.model.heads, features), torch.from_numpy(drawn))
    value.backward()
    assert value.isfinite() and features.grad.isfinite().all() and features.grad.any()
    # Random points: each of the d(d − 1) pairs of subsets costs about the logarithm of its 2N − 1 terms, or more.
    assert value > 0.9 * images * (images - 1) * np.log(2 * classes - 1)
