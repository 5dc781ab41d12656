"""From a config to a trained and judged run: the loop, its checkpoints, and the gather across processes.

Imports every room below it; the command line calls `train` and `resume`.
"""

from .loop import check, resume, rooted, train

__all__ = ["check", "resume", "rooted", "train"]
