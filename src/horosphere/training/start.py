"""Training by the loop that a config is for."""

from pathlib import Path

from ..config import Config, SceneConfig
from ..runs import Run
from . import contrast, loop


def train(config: Config | SceneConfig, folder: str | Path | None = None, *, progress: bool = True) -> Run:
    """Train what a config says, judge it, and return the run with its report.

    Args:
        config: the whole run; `horosphere.recipes` has published and ready ones.
        folder: where the run is kept; by default the first free runs/RECIPE, runs/RECIPE-2, …
        progress: show bars.

    Raises:
        InputError: for a config that cannot be, before anything is trained.
        KeyboardInterrupt: on Ctrl-C, after a checkpoint was written.
    """
    if isinstance(config, SceneConfig):
        return contrast.train(config, folder, progress=progress)
    return loop.train(config, folder, progress=progress)


def resume(folder: str | Path, *, progress: bool = True) -> Run:
    """Go on with a run that was stopped or killed: its weights end as if it had never been, bit for bit on the CPU.

    A run without a checkpoint starts again; a finished run is returned as it is.
    """
    run = Run.open(folder)
    if run.finished:
        return run
    return (contrast if isinstance(run.config, SceneConfig) else loop).resume(run, progress=progress)
