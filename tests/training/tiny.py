"""The smallest real runs: digits through a timm ViT that trains in seconds."""

import dataclasses

from horosphere import recipes
from horosphere.config import Config, ModelConfig, PairwiseConfig, PartConfig, SpaceConfig


def config(steps: int = 6, **changes) -> Config:
    """The demo in miniature, with dropout and two workers' worth of chance; `changes` are Config fields by section."""
    demo = recipes.get("demo").config()
    options = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2, "proj_drop_rate": 0.2}
    demo = dataclasses.replace(
        demo,
        model=ModelConfig("vit_tiny_patch16_224", options, freeze="none", dim=8, heads="split"),
        space=SpaceConfig((PartConfig("sphere"), PartConfig("hyperbolic"))),
        loss=PairwiseConfig(negatives="batch"),
        batch=dataclasses.replace(demo.batch, classes=4, images=4),
        training=dataclasses.replace(demo.training, steps=steps, log_every=2, checkpoint_every=2, accelerator="cpu"),
        evaluation=dataclasses.replace(demo.evaluation, bootstrap=50),
    )
    for section, values in changes.items():
        demo = dataclasses.replace(demo, **{section: dataclasses.replace(getattr(demo, section), **values)})
    return demo
