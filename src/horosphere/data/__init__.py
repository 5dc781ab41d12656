"""Images, scenes with boxes and cached features, with their classes and splits, decoded, augmented and batched.

Everything exported here may be imported from here. Imports `config` and no other room; `models` and `training` read what
this room yields.
"""

from ..config import SceneCrops
from .crops import SceneBoxes, SceneViews, scene_boxes, scene_views
from .dataset import RetrievalData
from .decoded import DecodedImages, decode_once
from .decoding import Picture, UnreadableImage, decode
from .features import labels_and_classes, load_arrays, save_arrays
from .layouts import LAYOUTS, load_data, load_images
from .loading import Batch, EmbeddingBatch, Failures, embedding_batches, training_batches
from .out_of_context import OutOfContext, PastedScene, load_out_of_context
from .sampler import ClassBalancedSampler
from .scenes import (
    Scene,
    SceneBatch,
    SceneData,
    as_tensor,
    detection_batches,
    encode_masks,
    load_scenes,
    mapped,
    read_scene,
    run_lengths,
    scene_and_objects,
    scene_batches,
    steps_per_epoch,
    usable_boxes,
    usable_images,
    with_proposals,
)
from .sources import ArrayImages, FileImages, ImageSource, ZipImages
from .transforms import Augmentation, Preprocessing, evaluation_view, normalise, training_view

__all__ = [
    "LAYOUTS",
    "ArrayImages",
    "Augmentation",
    "Batch",
    "ClassBalancedSampler",
    "DecodedImages",
    "EmbeddingBatch",
    "Failures",
    "FileImages",
    "ImageSource",
    "OutOfContext",
    "PastedScene",
    "Picture",
    "Preprocessing",
    "RetrievalData",
    "Scene",
    "SceneBatch",
    "SceneBoxes",
    "SceneCrops",
    "SceneData",
    "SceneViews",
    "UnreadableImage",
    "ZipImages",
    "as_tensor",
    "decode",
    "decode_once",
    "detection_batches",
    "embedding_batches",
    "encode_masks",
    "evaluation_view",
    "labels_and_classes",
    "load_arrays",
    "load_data",
    "load_images",
    "load_out_of_context",
    "load_scenes",
    "mapped",
    "normalise",
    "read_scene",
    "run_lengths",
    "save_arrays",
    "scene_and_objects",
    "scene_batches",
    "scene_boxes",
    "scene_views",
    "steps_per_epoch",
    "training_batches",
    "training_view",
    "usable_boxes",
    "usable_images",
    "with_proposals",
]
