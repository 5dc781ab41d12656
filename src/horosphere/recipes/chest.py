"""CHEST (Saeki et al., arXiv 2510.05643), reconstructed, on the four usual data sets; and small, with each space alone.

Only the paper's abstract was at hand. The losses are built from the works that it builds on (docs/methods.md); encoder,
batch and budget are Hyp-ViT's (`hyp_vit`), so that the rows can be held against its own.
"""

from dataclasses import replace
from functools import partial

from ..config import ChestConfig, Config, LossConfig, PartConfig, SoftTripleConfig, SpaceConfig
from . import cub_features, omniglot
from .hyp_vit import AMP, BALL, CARS_BATCH, DATA, ENCODERS, NO_GPU, NOT_RUN, SPHERE, VIEWS
from .hyp_vit import experiment as hyp_vit
from .registry import recipe

#: Steps of an epoch, in which the encoder stands still, and centres a class.
EPOCHS = {"cub": (7, 10), "cars": (10, 10), "sop": (67, 2), "inshop": (29, 2)}

RECONSTRUCTED = (
    "reconstructed from the abstract and the works that it builds on: the similarity in the ball, the constants, the "
    "hierarchy's triples and all weights are not the paper's own words (docs/methods.md)"
)
HYP_VITS = "encoder, views, batch, rate and steps are Hyp-ViT's, because the abstract names none"


def by_shares(ball: PartConfig) -> tuple[PartConfig, PartConfig]:
    """A sphere and a ball that count alike in the mixture: its distance falls as the sum of their similarities grows."""
    assert ball.clip is not None
    return SPHERE, replace(ball, weight=1 / ball.clip)


def published(data: str) -> Config:
    frozen, centres = EPOCHS[data]
    config = hyp_vit(ENCODERS["vit"], data, SpaceConfig(by_shares(BALL)), ChestConfig(centres=centres), heads="split")
    return replace(config, optimiser=replace(config.optimiser, frozen_steps=frozen))


for _data in EPOCHS:
    recipe(
        f"chest-vit-{_data}",
        f"CHEST, reconstructed, with ViT-S on {DATA[_data].title}; its published figures were not at hand",
        source="CHEST (arXiv 2510.05643), abstract",
        deviations=(RECONSTRUCTED, HYP_VITS, *((CARS_BATCH,) if _data == "cars" else ()), AMP, NO_GPU, VIEWS),
        status=NOT_RUN,
        choices={"loss.scale": (10.0, 20.0, 40.0, 80.0)},
    )(partial(published, _data))


#: What a comparison tries.
OMNIGLOT_SCALES = {"loss.scale": (10.0, 20.0, 40.0, 80.0)}
BIRDS_SCALES = {"loss.scale": (5.0, 10.0, 20.0, 40.0)}
STATUS = "run, five seeds: docs/results.md"


def on_omniglot(loss: LossConfig, *parts: PartConfig) -> Config:
    """Omniglot's shared budget, its encoding normalised so that the ball's radius is alive."""
    return omniglot.experiment(loss, *parts, normalise_encoding="l2", heads="split" if len(parts) > 1 else "shared")


# Trained from nothing the encoder itself has a high rate, 5e-3: on the sphere, in 150 steps, 5 times it gave more than 1
# and 2 times.
@recipe(
    "omniglot-chest",
    "Omniglot, unseen alphabets: CHEST, reconstructed, on a small ResNet trained from nothing; minutes on two cores",
    source="ours, after CHEST (arXiv 2510.05643), abstract",
    deviations=(RECONSTRUCTED,),
    status=STATUS,
    choices=OMNIGLOT_SCALES,
)
def omniglot_chest() -> Config:
    return on_omniglot(ChestConfig(centres=2, rate=5.0), *by_shares(omniglot.BALL))


@recipe(
    "omniglot-soft-triple",
    "Omniglot, unseen alphabets: the sphere's half of CHEST alone; minutes on two cores",
    status=STATUS,
    choices=OMNIGLOT_SCALES,
)
def omniglot_soft_triple() -> Config:
    return on_omniglot(SoftTripleConfig(centres=2, rate=5.0), SPHERE)


@recipe(
    "omniglot-soft-triple-ball",
    "Omniglot, unseen alphabets: the ball's half of CHEST alone; minutes on two cores",
    status=STATUS,
    choices=OMNIGLOT_SCALES,
)
def omniglot_soft_triple_ball() -> Config:
    return on_omniglot(SoftTripleConfig(centres=2, rate=5.0), omniglot.BALL)


# Of the birds' heads 10 times their rate did as well as 100 times, and a scale of 10 better than 20.
@recipe(
    "cub-features-chest",
    "birds: CHEST, reconstructed, with two heads on frozen MobileNetV2 features; seconds",
    source="ours, after CHEST (arXiv 2510.05643), abstract",
    deviations=(RECONSTRUCTED,),
    status=STATUS,
    choices=BIRDS_SCALES,
)
def cub_features_chest() -> Config:
    return cub_features.experiment(ChestConfig(scale=10.0, rate=10.0), *by_shares(BALL), heads="split")


@recipe(
    "cub-features-soft-triple",
    "birds: the sphere's half of CHEST alone on frozen MobileNetV2 features; seconds",
    status=STATUS,
    choices=BIRDS_SCALES,
)
def cub_features_soft_triple() -> Config:
    return cub_features.experiment(SoftTripleConfig(scale=10.0, rate=10.0), SPHERE)


@recipe(
    "cub-features-soft-triple-ball",
    "birds: the ball's half of CHEST alone on frozen MobileNetV2 features; seconds",
    status=STATUS,
    choices=BIRDS_SCALES,
)
def cub_features_soft_triple_ball() -> Config:
    return cub_features.experiment(SoftTripleConfig(scale=10.0, rate=10.0), BALL)
