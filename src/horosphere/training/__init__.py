"""From a config to a trained and judged run: the loop, its checkpoints, and the gather across processes.

Imports every room below it; the command line calls `train` and `resume`.
"""

from .loop import resume, train

__all__ = ["resume", "train"]
