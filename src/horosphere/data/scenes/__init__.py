"""Scenes: images with boxes around their objects."""

from .dataset import SceneData
from .detection import Scene, as_tensor, detection_batches, usable_boxes, usable_images
from .layouts import LAYOUTS, load_scenes
from .loading import SceneBatch, scene_batches, steps_per_epoch
from .masks import decode_mask, encode_masks, run_lengths
from .proposals import with_proposals
from .views import mapped, read_scene, scene_and_objects

__all__ = [
    "LAYOUTS",
    "Scene",
    "SceneBatch",
    "SceneData",
    "as_tensor",
    "decode_mask",
    "detection_batches",
    "encode_masks",
    "load_scenes",
    "mapped",
    "read_scene",
    "run_lengths",
    "scene_and_objects",
    "scene_batches",
    "steps_per_epoch",
    "usable_boxes",
    "usable_images",
    "with_proposals",
]
