"""The Poincaré disk: laying points out in it, how far to trust that, and drawing it.

A place in the disk is a complex number of modulus below 1, whatever the curvature (`unit_disk`).
"""

from . import unit_disk
from .drawing import DiskPanel, draw_disks, draw_shepard, draw_thumbnails
from .hyperboloid_umap import umap_layout
from .layout import DiskLayout, flat_layout, stress_layout
from .quality import LayoutQuality, layout_quality
from .tree import DiskTree, disk_tree

__all__ = [
    "DiskLayout",
    "DiskPanel",
    "DiskTree",
    "LayoutQuality",
    "disk_tree",
    "draw_disks",
    "draw_shepard",
    "draw_thumbnails",
    "flat_layout",
    "layout_quality",
    "stress_layout",
    "umap_layout",
    "unit_disk",
]
