"""Scenes: images with boxes around their objects."""

from .dataset import SceneData
from .detection import Scene, detection_batches, whole_scenes
from .layouts import LAYOUTS, load_scenes
from .loading import SceneBatch, scene_batches, steps_per_epoch
from .masks import decode_mask, encode_masks, run_lengths
from .proposals import with_proposals

__all__ = [
    "LAYOUTS",
    "Scene",
    "SceneBatch",
    "SceneData",
    "decode_mask",
    "detection_batches",
    "encode_masks",
    "load_scenes",
    "run_lengths",
    "scene_batches",
    "steps_per_epoch",
    "whole_scenes",
    "with_proposals",
]
