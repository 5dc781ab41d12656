"""What the geometry does, as pictures: each function takes numbers or points and returns a matplotlib figure.

Imports `spaces` only; `report` puts the figures on a page.
"""

from .figures import BLUE, GREY, ORANGE, PURPLE, radii, recalls, scatter_against_cosine, training_curve
from .sheets import BoxMark, box_sheet, retrieval_sheet

__all__ = [
    "BLUE",
    "GREY",
    "ORANGE",
    "PURPLE",
    "BoxMark",
    "box_sheet",
    "radii",
    "recalls",
    "retrieval_sheet",
    "scatter_against_cosine",
    "training_curve",
]
