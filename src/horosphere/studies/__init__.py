"""Studies, which train several models: compare methods over seeds, and sweep what a method can be set to.

Imports `training` and all below it; the command line calls `compare` and `sweep`.
"""

from .compare import compare
from .curves import sweep_document
from .outcome import comparison_document
from .sweep import sweep

__all__ = ["compare", "comparison_document", "sweep", "sweep_document"]
