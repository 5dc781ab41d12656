"""Contenders that train in a second: digits, as config files."""

import dataclasses
from pathlib import Path

from horosphere import config as configs
from horosphere.config import Config, PartConfig

from ..training import tiny


def config(*kinds: str, steps: int = 6, **changes) -> Config:
    """The tiny run in a space of these parts; two classes a batch, so that validation leaves enough."""
    parts = tuple(PartConfig(kind) for kind in kinds)
    model = {"heads": "split" if len(parts) > 1 else "shared"}
    sections = {"space": {"parts": parts}, "model": model, "batch": {"classes": 2}} | changes
    made = tiny.config(steps, **sections)
    return dataclasses.replace(made, evaluation=dataclasses.replace(made.evaluation, bootstrap=0))


def files(folder: Path, **named: Config) -> list[str]:
    """The configs as files in `folder`."""
    for name, each in named.items():
        configs.write(each, folder / f"{name}.yaml")
    return [str(folder / f"{name}.yaml") for name in named]
