"""The folder of a run: what is in it, and how far it got."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from . import config as configs
from .config import Config, SceneConfig
from .errors import InputError


@dataclass(frozen=True)
class Run:
    """A run's folder.

    config.yaml reads back with `--config`; metrics.jsonl has a line every few steps; checkpoint.pt is there until the run is
    finished, and profile.json where the run was profiled; model/ is the trained model, loss.safetensors what its loss has
    learned, such as proxies, training.json what it was trained on; report.json and report.html judge it.
    """

    folder: Path

    @classmethod
    def at(cls, folder: str | Path | None, recipe: str = "") -> "Run":
        """Where a new run will be: `folder`, or else the first free runs/RECIPE, runs/RECIPE-2, … Writes nothing.

        Raises InputError where `folder` holds something already.
        """
        if folder is None:
            base = Path("runs") / (recipe or "run")
            folder, count = base, 1
            while folder.exists():
                count += 1
                folder = base.with_name(f"{base.name}-{count}")
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            hint = "continue it with --resume" if (folder / "config.yaml").exists() else "it holds other files"
            raise InputError(f"{folder} is not empty ({hint}); give another folder for a new run")
        return cls(folder)

    def begin(self, config: Config | SceneConfig) -> None:
        """Make the folder, with the config in it: from here on the run can be resumed."""
        configs.write(config, self.config_path)

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """An existing run. Raises InputError where there is none."""
        run = cls(Path(folder))
        if not run.config_path.is_file():
            raise InputError(f"{folder} is no run: expected config.yaml in it; runs are made by `horosphere train`")
        return run

    @property
    def config_path(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def metrics_path(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / "checkpoint.pt"

    @property
    def loss_path(self) -> Path:
        return self.folder / "loss.safetensors"

    @property
    def profile_path(self) -> Path:
        return self.folder / "profile.json"

    @property
    def training_path(self) -> Path:
        return self.folder / "training.json"

    @property
    def model_path(self) -> Path:
        return self.folder / "model"

    @property
    def report_path(self) -> Path:
        return self.folder / "report.json"

    @property
    def page_path(self) -> Path:
        return self.folder / "report.html"

    @property
    def finished(self) -> bool:
        """Whether the run is trained and judged."""
        return self.report_path.is_file()

    @cached_property
    def config(self) -> Config | SceneConfig:
        return configs.read(self.config_path)

    @property
    def retrieval(self) -> Config:
        """The config of a run on labelled images. Raises InputError for another kind of run."""
        if not isinstance(self.config, Config):
            raise InputError(
                f"{self.folder} is a run on scenes, which has no labelled images of its own: give it some with --data"
            )
        return self.config

    @property
    def training(self) -> dict:
        """What training.json says: images and classes trained on, classes drawn with replacement, unreadable images."""
        return json.loads(self.training_path.read_text(encoding="utf-8"))

    @property
    def report(self) -> dict:
        """What report.json says. Raises InputError where the run is not finished."""
        if not self.finished:
            raise InputError(f"{self.folder} has no report yet; finish it with `horosphere train --resume {self.folder}`")
        return json.loads(self.report_path.read_text(encoding="utf-8"))

    def metrics(self) -> list[dict]:
        """The lines of metrics.jsonl; a line cut short by a kill is left out."""
        lines = self.metrics_path.read_text(encoding="utf-8").splitlines() if self.metrics_path.is_file() else []
        entries = []
        for line in lines:
            try:
                entries.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return entries
