"""How far a study is: a line a run."""

import sys
from collections.abc import Sequence

from .workers import Failure, Job


class Progress:
    """Counts runs and tells the time left, taking it to go with the training steps."""

    def __init__(self, jobs: Sequence[Job], there: int, processes: int, *, more: int = 0, on: bool = True):
        """`jobs` are to be done, and `more` of their kind that are not known yet; `there` are done."""
        self._left = (
            sum(job.config.training.steps for job in jobs) + sum(job.config.training.steps for job in jobs[:1]) * more
        )
        self._total, self._count, self._processes, self._on = there + len(jobs) + more, there, processes, on
        self._steps = self._seconds = 0.0
        if there:
            self._print(f"{there} of {self._total} runs are there already")
        elif jobs:
            self._print(f"{self._total} runs, {processes} at a time")

    def show(self, job: Job, failure: Failure | None, seconds: float) -> None:
        """One more run is done."""
        self._count += 1
        self._left -= job.config.training.steps
        self._steps += job.config.training.steps
        self._seconds += seconds
        if failure is None:
            report = job.run.report
            row = report["rows"][report["headline"]]
            metric = next(name for name in row if name.startswith("recall@"))
            outcome = f"{report['judged_on']} {metric.replace('recall', 'Recall')} {100 * row[metric]:.1f}"
        else:
            outcome = f"failed: {failure.reason}"
        left = self._left * self._seconds / self._steps / self._processes
        self._print(
            f"[{self._count}/{self._total}] {job.folder.parent.name}, {job.folder.name}: {outcome}  "
            f"({seconds:.0f} s; {_duration(left)} left)"
        )

    def _print(self, line: str) -> None:
        if self._on:
            print(line, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
