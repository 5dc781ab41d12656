"""Birds on frozen features: only the heads train, so a run takes seconds on a laptop.

100 species of CUB-200-2011 as 128 px crops, the first 50 to train on and the last 50 to judge on. The encoder is a
MobileNetV2 trained on ImageNet. Each version had twelve settings to choose from, on held-out training species:
docs/results.md. It also says what the heads are worth: at Recall@1 none beats the frozen features that it is given.

The temperature-matched cosine is the sphere itself, at the temperature that `horosphere compare` chooses for it.
"""

from dataclasses import replace
from typing import Literal

from ..config import (
    BatchConfig,
    Config,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimiserConfig,
    PairwiseConfig,
    PartConfig,
    SpaceConfig,
    TrainingConfig,
)
from .registry import recipe

STATUS = "run, five seeds: docs/results.md"


@recipe("cub-features-sphere", "birds: a head on frozen MobileNetV2 features, sphere; seconds", status=STATUS)
def cub_features_sphere() -> Config:
    return experiment(PairwiseConfig(temperature=0.2), PartConfig("sphere"))


@recipe("cub-features-hyperbolic", "birds: a head on frozen MobileNetV2 features, hyperbolic; seconds", status=STATUS)
def cub_features_hyperbolic() -> Config:
    # A head's output has a norm near 11, so with Hyp-ViT's clip every point is at the clip and the ball ranks as cosine.
    # It was chosen all the same: with a clip of 23 at c = 0.01 the radius lived, and retrieval fell by six points.
    return experiment(PairwiseConfig(temperature=0.36), PartConfig("hyperbolic", curvature=0.1, clip=2.3))


@recipe("cub-features-mixed", "birds: two heads on frozen MobileNetV2 features, sphere + hyperbolic; seconds", status=STATUS)
def cub_features_mixed() -> Config:
    # A clip just below the norms' mean at a curvature to match. 0.05 brings the ball's distances, up to 40, to the sphere's.
    ball = PartConfig("hyperbolic", weight=0.05, curvature=0.01, clip=10.0)
    return experiment(PairwiseConfig(temperature=0.2), PartConfig("sphere"), ball, heads="split")


@recipe(
    "cub-features-spheres",
    "control: two heads on frozen MobileNetV2 features, sphere + sphere; seconds",
    status=STATUS,
)
def cub_features_spheres() -> Config:
    # What of the mixture's gain is a second head, and what a second geometry?
    return experiment(PairwiseConfig(temperature=0.4), PartConfig("sphere"), PartConfig("sphere"), heads="split")


@recipe(
    "cub-features-frozen",
    "control: a head on frozen MobileNetV2 features, hyperbolic with every norm 2.3, a function of cosine; seconds",
    status=STATUS,
)
def cub_features_frozen() -> Config:
    ball = PartConfig("hyperbolic", curvature=0.1, radius=2.3)
    return experiment(PairwiseConfig(temperature=0.36), ball)


@recipe(
    "cub-features-mix-code",
    "birds: HypMix's mixture as its code has it, on frozen MobileNetV2 features: one head, ranked by cosine; seconds",
    status=STATUS,
)
def cub_features_mix_code() -> Config:
    # λ = 3, HypMix's on CUB: the logit is cosine/0.05 − λ D_hyp/0.2.
    parts = PartConfig("sphere", weight=10.0), PartConfig("hyperbolic", weight=15.0, curvature=0.1, radius=1.0)
    config = experiment(PairwiseConfig(temperature=1.0), *parts)
    return replace(config, evaluation=replace(config.evaluation, rank_by="sphere"))


@recipe(
    "cub-features-mix-paper",
    "birds: HypMix's mixture as its Eq. 10 has it, on frozen MobileNetV2 features: two heads, c 0.1, clip 2.3, λ 3; seconds",
    status=STATUS,
)
def cub_features_mix_paper() -> Config:
    ball = PartConfig("hyperbolic", weight=3.0, curvature=0.1, clip=2.3)
    return experiment(PairwiseConfig(temperature=0.2), PartConfig("sphere"), ball, heads="split", normalise_encoding="l2")


def experiment(
    loss: LossConfig,
    *parts: PartConfig,
    heads: Literal["shared", "split"] = "shared",
    # Frozen, the features retrieve better so.
    normalise_encoding: Literal["none", "l2", "layer"] = "layer",
) -> Config:
    """A loss in a space, with the data, the encoder and the budget that all versions share."""
    return Config(
        data=DataConfig(
            layout="cub",
            root="data/cub100_crops_128.zip",
            size=128,
            resize=128,
            # These weights take [-1, 1].
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            cache_encodings=True,
        ),
        model=ModelConfig(
            encoder="mobilenetv2_100",
            # The weights were trained with TensorFlow's padding.
            encoder_options={"pad_type": "same"},
            checkpoint="data/weights/mobilenetv2_100.safetensors",
            freeze="all",
            dim=128,
            heads=heads,
            normalise_encoding=normalise_encoding,
        ),
        space=SpaceConfig(parts=parts),
        loss=loss,
        batch=BatchConfig(classes=25, images=8),
        # 1e-3 forgets more of the features, 3e-5 learns too little in 200 steps.
        optimiser=OptimiserConfig(lr=1e-4, weight_decay=0.01, schedule="cosine", warmup=20),
        training=TrainingConfig(steps=200, workers=0, log_every=50),
    )
