"""What the geometry does, as pictures: each function takes numbers or points and returns a matplotlib figure.

Imports `spaces` only; `report` puts the figures on a page.
"""

from .figures import contrast_curves, label_counts, radii, radii_of, recalls, scatter_against_cosine, training_curve
from .scenes import scene_sheet
from .sheets import BoxMark, box_sheet, image_sheet, retrieval_sheet

__all__ = [
    "BoxMark",
    "box_sheet",
    "contrast_curves",
    "image_sheet",
    "label_counts",
    "radii",
    "radii_of",
    "recalls",
    "retrieval_sheet",
    "scatter_against_cosine",
    "scene_sheet",
    "training_curve",
]
