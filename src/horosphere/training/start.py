"""Training by the loop that a config is for."""

from pathlib import Path

from ..config import Config, SceneConfig
from ..data import RetrievalData
from ..errors import InputError
from ..runs import Run
from . import contrast, loop


def train(
    config: Config | SceneConfig,
    folder: str | Path | None = None,
    *,
    progress: bool = True,
    page: bool = True,
    data: RetrievalData | None = None,
) -> Run:
    """Train what a config says, judge it, and return the run with its report.

    Args:
        config: the whole run; `horosphere.recipes` has published and ready ones.
        folder: where the run is kept; by default the first free runs/RECIPE, runs/RECIPE-2, …
        progress: show bars.
        page: write report.html and its pictures; report.json is always written. Of labelled images alone.
        data: what `build.data(config.data)` returns, where it is there already. Of labelled images alone.

    Raises:
        InputError: for a config that cannot be, before anything is trained.
        KeyboardInterrupt: on Ctrl-C, after a checkpoint was written.
    """
    if isinstance(config, SceneConfig):
        _refuse(page, data)
        return contrast.train(config, folder, progress=progress)
    return loop.train(config, folder, progress=progress, page=page, data=data)


def resume(folder: str | Path, *, progress: bool = True, page: bool = True, data: RetrievalData | None = None) -> Run:
    """Go on with a run that was stopped or killed: its weights end as if it had never been, bit for bit on the CPU.

    A run without a checkpoint starts again; a finished run is returned as it is. The options are those of `train`.
    """
    run = Run.open(folder)
    if run.finished:
        return run
    if isinstance(run.config, SceneConfig):
        _refuse(page, data)
        return contrast.resume(run, progress=progress)
    return loop.resume(run, progress=progress, page=page, data=data)


def _refuse(page: bool, data: RetrievalData | None) -> None:
    if not page or data is not None:
        raise InputError("page and data are for runs on labelled images; leave them out for a run on scenes")
