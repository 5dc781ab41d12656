"""The folder of a study: one process works in it at a time, and what is in it stays true."""

import json
from pathlib import Path

from filelock import FileLock, Timeout

from ..config import flat
from ..errors import InputError
from .workers import Job


class StudyFolder:
    """A study's folder, held by this process. Use as a context manager.

    Raises InputError where another process holds it, or it holds something else than this kind of study.
    """

    def __init__(self, folder: str | Path, kind: str):
        self.folder, self._kind = Path(folder).resolve(), kind
        self._lock = FileLock(self.folder / ".lock")

    @property
    def result_path(self) -> Path:
        return self.folder / "study.json"

    def __enter__(self) -> "StudyFolder":
        if self.folder.exists():
            if not self.folder.is_dir():
                raise InputError(f"the study's folder {self.folder} is a file; give --study another name")
            if self.result_path.is_file():
                kind = json.loads(self.result_path.read_text(encoding="utf-8")).get("study")
                if kind != self._kind:
                    raise InputError(f"{self.folder} holds the study {kind!r}; give --study another folder")
            elif any(not path.name.startswith(".") for path in self.folder.iterdir()):
                raise InputError(f"the study's folder {self.folder} holds other files; give --study another folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"another process works on the study {self.folder}; wait for it, or stop it first") from None
        return self

    def __exit__(self, *_) -> None:
        self._lock.release()


def same_run(job: Job) -> None:
    """Raise InputError where the job's folder holds a run of another config."""
    if not job.run.config_path.is_file() or job.run.config == job.config:
        return
    there, asked = flat(job.run.config), flat(job.config)
    apart = [
        f"{name} {there.get(name)} there, {asked.get(name)} asked for"
        for name in dict.fromkeys([*there, *asked])
        if there.get(name) != asked.get(name)
    ]
    raise InputError(
        f"{job.folder} was trained with other options: {'; '.join(apart)}. Give --study another folder, or remove that run"
    )
