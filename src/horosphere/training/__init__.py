"""From a config to a trained and judged run: the loop, its checkpoints, and the gather across processes.

Imports every room below it; the command line calls `train` and `resume`.
"""

from .distributed import is_first_process
from .loop import resume, train

__all__ = ["is_first_process", "resume", "train"]
