"""The index in a folder, whatever its engine."""

from pathlib import Path

from .embedded import Index
from .interface import SearchIndex


def open_index(folder: str | Path) -> SearchIndex:
    """The index that `folder` holds. Raises InputError where there is none that can be read."""
    return Index.load(folder)
