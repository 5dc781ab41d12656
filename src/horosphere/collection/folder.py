"""What lies in a collection's folder beside its index: the model, and what is to be known of the run."""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..errors import InputError
from ..files import replacing, write_text
from ..models.embedder import DESCRIPTION, WEIGHTS

ABOUT, MODEL = "collection.json", "model"
_FORMAT = 1


@dataclass(frozen=True)
class About:
    """What collection.json says.

    Attributes:
        name: for people.
        run: the run's name, whose model makes the points.
        takes_images: False for runs on cached features.
        temperatures: of the run's loss, by the geometry whose distance it divides; "" for any other.
    """

    name: str
    run: str
    takes_images: bool
    temperatures: dict[str, float] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write collection.json."""
        write_text(folder / ABOUT, json.dumps({"format": _FORMAT} | asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "About":
        """What collection.json says. Raises InputError where there is none, or it is of another version or damaged."""
        path = folder / ABOUT
        if not path.is_file():
            raise InputError(f"{folder} is no collection: expected {ABOUT} in it; `horosphere index RUN` makes one")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values.pop("format") != _FORMAT:
                raise InputError(f"{path} is of another version than this one reads: make the collection anew")
            return cls(**values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} is damaged ({error!r}): make the collection anew") from error


def fingerprint(model: Path) -> str:
    """A short text that changes when the model in this folder does. Raises InputError where there is none."""
    path = model / WEIGHTS
    if not path.is_file():
        raise InputError(f"no model in {model}: expected {WEIGHTS} in it")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def copy_model(source: Path, target: Path) -> None:
    """Copy a model, whole or not at all; the weights, which alone are the model, come last."""
    for name in (DESCRIPTION, WEIGHTS):
        if (source / name).is_file():
            with replacing(target / name) as path:
                shutil.copyfile(source / name, path)
