"""A searchable collection of images is a folder: an index, the model that made its points, and thumbnails.

Imports `index`, `models`, `data`, `evaluation` and `spaces`. The commands `index` and `search`, and the page, stand on it.
"""

from .build import Outcome, build
from .collection import Collection
from .confidence import Radii
from .confusions import Confusions, confusions
from .search import Answer, about_text, search
from .thumbnails import Thumbnails

__all__ = [
    "Answer",
    "Collection",
    "Confusions",
    "Outcome",
    "Radii",
    "Thumbnails",
    "about_text",
    "build",
    "confusions",
    "search",
]
