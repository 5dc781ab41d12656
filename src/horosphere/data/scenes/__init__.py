"""Scenes: images with boxes around their objects."""

from .dataset import SceneData
from .layouts import LAYOUTS, load_scenes
from .loading import SceneBatch, scene_batches, steps_per_epoch
from .proposals import with_proposals

__all__ = ["LAYOUTS", "SceneBatch", "SceneData", "load_scenes", "scene_batches", "steps_per_epoch", "with_proposals"]
