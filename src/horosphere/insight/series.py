"""One number of metrics.jsonl over steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Series:
    """Values at steps, both (n,); a line of metrics that lacks the number, or has none, is left out."""

    steps: np.ndarray
    values: np.ndarray

    @classmethod
    def read(cls, metrics: Sequence[dict], name: str) -> "Series":
        """The number `name` of the lines of metrics.jsonl. Runs of earlier versions lack some, so it may be empty."""
        found = [(entry["step"], entry[name]) for entry in metrics if entry.get(name) is not None]
        steps, values = zip(*found, strict=True) if found else ((), ())
        return cls(np.asarray(steps, np.int64), np.asarray(values, np.float64))

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def first(self) -> float:
        """Median of the first quarter of the lines, at least one: a batch alone is noisy."""
        return float(np.median(self.values[: max(1, len(self) // 4)]))

    @property
    def last(self) -> float:
        """Median of the last quarter of the lines, at least one."""
        return float(np.median(self.values[-max(1, len(self) // 4) :]))

    def when(self, holds: Callable[[np.ndarray], np.ndarray]) -> str:
        """In words, the lines of which `last` is the median, and from which step on the condition holds at every line."""
        end = f"at step {self.steps[-1]:,}" if len(self) < 8 else f"in the last quarter, to step {self.steps[-1]:,}"
        false = np.flatnonzero(~holds(self.values))
        since = int(false[-1]) + 1 if len(false) else 0
        return end if since >= len(self) - 1 else f"{end}, and at every line from step {self.steps[since]:,} on"
