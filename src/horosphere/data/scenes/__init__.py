"""Scenes: images with boxes around their objects."""

from .dataset import SceneData
from .layouts import LAYOUTS, load_scenes

__all__ = ["LAYOUTS", "SceneData", "load_scenes"]
