"""A searchable collection of images is a folder: an index, the model that made its points, and thumbnails.

Imports `index`, `models`, `data`, `evaluation` and `spaces`. The commands `index` and `search`, and the page, stand on it.
"""

from .build import Outcome, build
from .collection import Collection
from .confidence import Radii
from .confusions import Confusions, confusions
from .thumbnails import Thumbnails

__all__ = ["Collection", "Confusions", "Outcome", "Radii", "Thumbnails", "build", "confusions"]
