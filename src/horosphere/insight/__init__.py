"""What the geometry does, in numbers and pictures; a picture is a matplotlib figure, made of numbers or points.

Imports `spaces`, `evaluation` and `errors`; `report` and `explanation` put the figures on a page.
"""

from .confidence import accuracy_by_value, risk_curves
from .delta import DeltaReport, four_point_delta, gromov_products, relative_delta
from .delta_dots import delta_dots
from .disk import (
    DiskLayout,
    DiskPanel,
    DiskTree,
    LayoutQuality,
    disk_tree,
    draw_disks,
    draw_shepard,
    draw_thumbnails,
    flat_layout,
    layout_quality,
    stress_layout,
    umap_layout,
)
from .figures import label_counts, radii, radii_of, recalls, scatter_against_cosine
from .matching import matched_temperatures
from .negatives import Negatives, Weights, anchors_among, weigh_negatives
from .neighbours import Answers, answers
from .scenes import scene_sheet
from .sheets import BoxMark, box_sheet, image_sheet, negative_sheet, retrieval_sheet
from .telemetry import training_curves
from .trees import dendrogram, radius_at_depth
from .warnings import TrainingWarning, training_warnings
from .weight_curves import weights_by_rank
from .weights import negative_weights

__all__ = [
    "Answers",
    "BoxMark",
    "DeltaReport",
    "DiskLayout",
    "DiskPanel",
    "DiskTree",
    "LayoutQuality",
    "Negatives",
    "TrainingWarning",
    "Weights",
    "accuracy_by_value",
    "anchors_among",
    "answers",
    "box_sheet",
    "delta_dots",
    "dendrogram",
    "disk_tree",
    "draw_disks",
    "draw_shepard",
    "draw_thumbnails",
    "flat_layout",
    "four_point_delta",
    "gromov_products",
    "image_sheet",
    "label_counts",
    "layout_quality",
    "matched_temperatures",
    "negative_sheet",
    "negative_weights",
    "radii",
    "radii_of",
    "radius_at_depth",
    "recalls",
    "relative_delta",
    "retrieval_sheet",
    "risk_curves",
    "scatter_against_cosine",
    "scene_sheet",
    "stress_layout",
    "training_curves",
    "training_warnings",
    "umap_layout",
    "weigh_negatives",
    "weights_by_rank",
]
