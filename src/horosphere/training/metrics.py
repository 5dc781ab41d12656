"""What a run writes down while it trains: metrics.jsonl and TensorBoard."""

import json
import math

from torch.utils.tensorboard import SummaryWriter

from ..files import write_text
from ..runs import Run


class Metrics:
    """Appends lines to metrics.jsonl and mirrors their numbers in TensorBoard. Use as a context manager."""

    def __init__(self, run: Run, step: int = 0, *, writes: bool = True):
        """Open for appending; what was written after `step`, by a run that was killed, is dropped.

        With `writes=False`, as on all processes but the first, nothing is opened or written.
        """
        self._writes = writes
        if not writes:
            return
        kept = [entry for entry in run.metrics() if entry["step"] <= step]
        write_text(run.metrics_path, "".join(json.dumps(entry) + "\n" for entry in kept))
        self._file = open(run.metrics_path, "a", encoding="utf-8")  # noqa: SIM115, closed on exit
        self._board = SummaryWriter(str(run.folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, values: dict[str, float]) -> None:
        """One line, with the system before this returns."""
        if not self._writes:
            return
        # JSON knows neither infinity nor NaN.
        known = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps({"step": step, **known}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *_) -> None:
        if self._writes:
            self._file.close()
            self._board.close()
