"""Images and cached features with their classes and splits, decoded, augmented and batched.

Everything exported here may be imported from here. Imports `config` and no other room; `models` and `training` read what
this room yields.
"""

from ..config import SceneCrops
from .dataset import RetrievalData
from .decoded import DecodedImages, decode_once
from .decoding import Picture, UnreadableImage, decode
from .features import labels_and_classes, load_arrays, save_arrays
from .layouts import LAYOUTS, load_data, load_images
from .loading import Batch, EmbeddingBatch, Failures, embedding_batches, training_batches
from .sampler import ClassBalancedSampler
from .scenes import SceneBatch, SceneData, load_scenes, scene_batches
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
    "Picture",
    "Preprocessing",
    "RetrievalData",
    "SceneBatch",
    "SceneCrops",
    "SceneData",
    "UnreadableImage",
    "ZipImages",
    "decode",
    "decode_once",
    "embedding_batches",
    "evaluation_view",
    "labels_and_classes",
    "load_arrays",
    "load_data",
    "load_images",
    "load_scenes",
    "normalise",
    "save_arrays",
    "scene_batches",
    "training_batches",
    "training_view",
]
