"""From a config to a trained and judged run: the loops, their checkpoints, and the gather across processes.

Imports every room below it; the command line calls `train` and `resume`.
"""

from .loop import check, rooted
from .start import resume, train

__all__ = ["check", "resume", "rooted", "train"]
