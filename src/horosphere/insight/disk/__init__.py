"""The Poincaré disk: laying points out in it, how far to trust that, and drawing it.

A place in the disk is a complex number of modulus below 1, whatever the curvature (`unit_disk`).
"""

from . import unit_disk
from .drawing import DiskPanel, draw_disks, draw_thumbnails
from .hyperboloid_umap import umap_layout
from .layout import DiskLayout, coincide, flat_layout, own_curvature, stress_layout
from .neighbour_layout import NeighbourPlacement, neighbour_layout
from .parts import hyperbolic_parts
from .placement import Placement, landmarks_of
from .quality import LayoutQuality, layout_quality
from .shepard import draw_shepard
from .styles import group_styles
from .tree import DiskTree, disk_tree

__all__ = [
    "DiskLayout",
    "DiskPanel",
    "DiskTree",
    "LayoutQuality",
    "NeighbourPlacement",
    "Placement",
    "coincide",
    "disk_tree",
    "draw_disks",
    "draw_shepard",
    "draw_thumbnails",
    "flat_layout",
    "group_styles",
    "hyperbolic_parts",
    "landmarks_of",
    "layout_quality",
    "neighbour_layout",
    "own_curvature",
    "stress_layout",
    "umap_layout",
    "unit_disk",
]
