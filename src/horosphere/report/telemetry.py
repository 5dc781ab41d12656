"""The telemetry of a run: its curves, and what it warns of."""

import math
from typing import TYPE_CHECKING

from ..config import ChestConfig, Config, LibraryConfig, SceneConfig
from ..runs import Run
from ..spaces import Space
from .document import Picture

if TYPE_CHECKING:  # with it comes matplotlib, which takes long to import
    from ..insight import TrainingWarning


def training_picture(run: Run, space: Space) -> Picture:
    """The curves of a run whose model lives in `space`."""
    from ..insight import training_curves

    scenes = isinstance(run.config, SceneConfig)
    caption = (
        "At the steps that were logged, each of one batch. Directions have collapsed where the effective rank nears 1. "
        "Points to the left cover the sphere more evenly; farther down, those of a class are closer"
        + (": the views of one object. Losses rise while the queues fill." if scenes else ".")
    )
    clip_norm = run.config.optimiser.clip_norm
    return Picture("training", caption, training_curves(run.metrics(), space, clip_norm=clip_norm))


def warnings_of(run: Run, space: Space) -> "list[TrainingWarning]":
    """What the telemetry of a run whose model lives in `space` warns of."""
    from ..insight import training_warnings

    config = run.config
    on_scenes = isinstance(config, SceneConfig)
    return training_warnings(
        run.metrics(),
        space,
        width=config.model.dim,
        classes=config.batch.images if on_scenes else config.batch.classes,
        clip_norm=config.optimiser.clip_norm,
        held_out=not on_scenes and config.evaluation.judge == "validation",
        settled=0 if on_scenes else _settled(config),
    )


def _settled(config: Config) -> int:
    """The step from which on the loss is measured against as much at every step."""
    loss = config.loss
    if isinstance(loss, LibraryConfig) and loss.memory:
        return loss.memory_start + math.ceil(loss.memory / (config.batch.classes * config.batch.images))
    return loss.anneal_steps if isinstance(loss, ChestConfig) else 0
