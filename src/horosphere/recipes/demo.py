"""The demo: real images, a real network and a whole report in under three minutes."""

from ..config import (
    Augmentation,
    BatchConfig,
    Config,
    DataConfig,
    ModelConfig,
    OptimiserConfig,
    PairwiseConfig,
    PartConfig,
    SpaceConfig,
    TrainingConfig,
)
from .registry import recipe


@recipe(
    "demo",
    "scikit-learn's digits: train on 0-4, judge on the unseen 5-9; a small ViT, sphere + hyperbolic, minutes on a laptop",
    status="run: docs/results.md",
)
def demo() -> Config:
    return Config(
        data=DataConfig(
            layout="digits",
            size=16,
            resize=16,
            grey=True,
            decoded="memory",
            mean=(0.3,),
            std=(0.35,),
            augmentation=Augmentation(scale=(1, 1), flip=False, rotation=12, translation=0.1, shear=8, fill="black"),
        ),
        model=ModelConfig(
            encoder="vit_tiny_patch16_224",
            encoder_options={"img_size": 16, "patch_size": 4, "embed_dim": 96, "depth": 4, "num_heads": 4},
            freeze="none",
            dim=32,
            heads="split",
            # With c = 1 this keeps every point well inside the clip, so that the report shows a radius that takes part.
            normalise_encoding="l2",
        ),
        space=SpaceConfig(parts=(PartConfig("sphere"), PartConfig("hyperbolic", curvature=1.0))),
        loss=PairwiseConfig(temperature=0.2, negatives="batch"),
        # Four of the five classes a batch, which two processes can share.
        batch=BatchConfig(classes=4, images=20),
        optimiser=OptimiserConfig(lr=1e-3, weight_decay=0.05, schedule="cosine", warmup=20),
        training=TrainingConfig(steps=400, workers=0, log_every=20),
    )
