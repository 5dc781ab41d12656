"""One function a row of a table: each returns the complete config of a run.

Imports `config` alone, so that listing recipes loads no torch.
"""

from .registry import Recipe, get, names, recipe

__all__ = ["Recipe", "get", "names", "recipe"]
