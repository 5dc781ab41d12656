"""Studies, which train several models: compare methods over seeds, and sweep what a method can be set to.

Imports `training` and all below it; the command line calls `compare`.
"""

from .compare import compare
from .outcome import comparison_document

__all__ = ["compare", "comparison_document"]
