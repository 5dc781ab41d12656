"""Several methods on equal terms: each chooses on validation classes, then all are judged on test classes, by seeds."""

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import build
from ..errors import InputError
from ..files import write_text
from ..training import check
from . import contenders as methods
from .contenders import Contender
from .folder import StudyFolder, same_run
from .outcome import comparison_document, outcome
from .progress import Progress
from .workers import Failure, Job, work

#: Factors of a recipe's temperature, tried where the recipe names no choices of its own.
FACTORS = (0.5, 1.0, 2.0, 4.0)


def compare(
    recipes: Sequence[str | Path],
    folder: str | Path,
    *,
    seeds: int = 5,
    reference: str | None = None,
    settings: Mapping[str, Any] | None = None,
    choose: Mapping[str, Sequence] | None = None,
    factors: Sequence[float] = FACTORS,
    choose_steps: int | None = None,
    choose_seeds: int = 1,
    processes: int = 1,
    threads: int | None = None,
    allow_differences: bool = False,
    progress: bool = True,
) -> dict:
    """Compare methods at equal data, encoder, batch, steps and number of choices, over seeds.

    Each method tries its choices on held-out training classes, and keeps the best by Recall@1. With that it trains on all
    training classes, once a seed, and is judged on the test classes. What is in `folder` already is not trained again, so
    the same call goes on with a study that was stopped or killed, and one with more seeds extends it.

    Args:
        recipes: names of recipes, or config files (.yaml).
        folder: where runs and results are kept: study.json, compare.md, compare.html and its pictures.
        seeds: how many, from 0 on.
        reference: the name of the method that the others are held against; by default the first.
        settings: dotted options that all methods get.
        choose: dotted option → values that every method may choose from, in place of the recipes' own choices.
        factors: what a recipe without choices of its own tries: multiples of its temperature.
        choose_steps: training steps of the runs that choose, where fewer are enough.
        choose_seeds: seeds of each choice; the mean decides.
        processes, threads: runs at a time, and torch's threads of each (see `workers.work`).
        allow_differences: compare although data, encoder, head width, batch, steps or number of choices differ.
        progress: print a line a run.

    Returns:
        What study.json holds.

    Raises:
        InputError: for what cannot be compared or trained, before anything is trained.
        KeyboardInterrupt: on Ctrl-C, after the runs under way have written their checkpoints.
    """
    for name, value in (("seeds", seeds), ("choose_seeds", choose_seeds), ("processes", processes)):
        if value < 1:
            raise InputError(f"{name} is {value}; expected 1 or more")
    if not factors or min(factors) <= 0:
        raise InputError(f"factors {tuple(factors)}; expected positive numbers")
    field = [methods.contender(given, settings or {}, choose, factors) for given in recipes]
    names = [contender.name for contender in field]
    if len(field) < 2 or len(set(names)) < len(names):
        raise InputError(f"compare {', '.join(names) or 'nothing'}: expected two recipes or more, each once")
    reference = reference or names[0]
    if reference not in names:
        raise InputError(f"the reference {reference!r} is not compared; expected one of {', '.join(names)}")
    unequal = methods.differences(field)
    if unequal and not allow_differences:
        lines = [f"{name}: " + ", ".join(f"{own} {value}" for own, value in each.items()) for name, each in unequal.items()]
        raise InputError(
            "these recipes differ in more than the method:\n  " + "\n  ".join(lines) + "\nmake them equal with --set or "
            "--choose, or compare them all the same with --allow-differences"
        )
    plan = {
        "study": "compare",
        "horosphere": version("horosphere"),
        "reference": reference,
        "seeds": seeds,
        "choose_seeds": choose_seeds,
        "choose_steps": choose_steps,
        "unequal": unequal,
    }
    with StudyFolder(folder, "compare") as place:
        study = _Comparison(place, field, plan)
        study.check()
        bar = Progress(study.jobs_left(), study.jobs_there(), processes, on=progress)

        def finished(job: Job, failure: Failure | None, seconds: float) -> Iterable[Job]:
            if failure is not None:
                study.failures[job.folder] = failure.reason
            bar.show(job, failure, seconds)
            following = study.following(job)
            study.write()
            return following

        study.write()
        try:
            work(study.first(), finished, processes, threads)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("the same command goes on with it") from None
        result = study.write()
        comparison_document(result).write(place.folder, "compare")
    return result


class _Comparison:
    """The runs of a comparison: which there are, and what follows from them."""

    def __init__(self, place: StudyFolder, field: Sequence[Contender], plan: dict):
        self.place, self.field, self.plan = place, field, plan
        self.failures: dict[Path, str] = {}

    def choosing(self, contender: Contender) -> list[list[Job]]:
        """For each choice, a run a seed; none where there is nothing to choose."""
        if len(contender.choices) < 2:
            return []
        return [
            [
                Job(
                    self.place.folder / contender.name / f"choose {methods.slug(choice)}, seed {seed}",
                    contender.choosing(choice, seed, self.plan["choose_steps"]),
                )
                for seed in range(self.plan["choose_seeds"])
            ]
            for choice in contender.choices
        ]

    def testing(self, contender: Contender, choice: Mapping[str, Any]) -> list[Job]:
        """A run a seed, with that choice."""
        folder = self.place.folder / contender.name
        return [Job(folder / f"seed {seed}", contender.testing(choice, seed)) for seed in range(self.plan["seeds"])]

    def chosen(self, contender: Contender) -> int | None:
        """The position of the best choice; None before all are tried, or where all failed."""
        if len(contender.choices) < 2:
            return 0
        scores = []
        for runs in self.choosing(contender):
            if any(not job.run.finished and job.folder not in self.failures for job in runs):
                return None
            whole = all(job.run.finished for job in runs)
            scores.append(validation_score([job.run.report for job in runs]) if whole else None)
        known = [score for score in scores if score is not None]
        return scores.index(max(known)) if known else None

    def check(self) -> None:
        """Raise InputError for what cannot be trained, and for runs of another study in the folder."""
        loaded: list = []
        for contender in self.field:
            for config in [job.config for runs in self.choosing(contender) for job in runs[:1]] + [
                contender.testing(contender.choices[0], 0)
            ]:
                if not any(known == config.data for known, _ in loaded):
                    loaded.append((config.data, build.data(config.data)))
                try:
                    check(config, next(data for known, data in loaded if known == config.data))
                except InputError as error:
                    raise InputError(f"{contender.name}: {error}") from None
            place = self.chosen(contender)
            for job in self._jobs(contender, place):
                same_run(job)

    def _jobs(self, contender: Contender, place: int | None) -> list[Job]:
        jobs = [job for runs in self.choosing(contender) for job in runs]
        return jobs + (self.testing(contender, contender.choices[place]) if place is not None else [])

    def first(self) -> list[Job]:
        """What can be trained at once: choices, and the seeds of those who have chosen."""
        jobs = [job for contender in self.field for job in self._jobs(contender, self.chosen(contender))]
        return [job for job in jobs if not job.run.finished]

    def following(self, done: Job) -> list[Job]:
        """The seeds of a contender whose last choice this was."""
        contender = next(each for each in self.field if each.name == done.folder.parent.name)
        place = self.chosen(contender)
        if place is None or done.config.evaluation.judge == "test":
            return []
        jobs = self.testing(contender, contender.choices[place])
        for job in jobs:
            same_run(job)
        return [job for job in jobs if not job.run.finished]

    def _all(self) -> list[Job]:
        """Every run, with any choice where none is made."""
        return [job for contender in self.field for job in self._jobs(contender, self.chosen(contender) or 0)]

    def jobs_left(self) -> list[Job]:
        return [job for job in self._all() if not job.run.finished]

    def jobs_there(self) -> int:
        return sum(job.run.finished for job in self._all())

    def write(self) -> dict:
        """study.json, with what is known by now; and what it holds."""
        reference = next(each for each in self.field if each.name == self.plan["reference"])
        entries = {}
        for contender in self.field:
            place = self.chosen(contender)
            tried = []
            for choice, runs in zip(contender.choices, self.choosing(contender) or [[]], strict=False):
                reports = [job.run.report for job in runs if job.run.finished]
                failed = [self.failures[job.folder] for job in runs if job.folder in self.failures]
                score = validation_score(reports) if reports and len(reports) == len(runs) else None
                tried.append(
                    {
                        "options": dict(choice),
                        "recall": score and score[0],
                        "map_at_r": score and score[1],
                        "failed": failed[0] if failed else None,
                    }
                )
            runs = [] if place is None else self.testing(contender, contender.choices[place])
            entries[contender.name] = {
                "differs": methods.apart(contender.config, reference.config),
                "choices": tried,
                "chosen": None if place is None else dict(contender.choices[place]),
                "reports": {job.config.seed: job.run.report for job in runs if job.run.finished},
                "failed": {job.config.seed: self.failures[job.folder] for job in runs if job.folder in self.failures},
            }
        result = outcome(self.plan, entries)
        text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
        write_text(self.place.result_path, text)
        return json.loads(text)


def validation_score(reports: Sequence[dict]) -> tuple[float, float]:
    """Mean Recall@K, for the smallest K, of the headline ranking, and mean MAP@R, which decides between equals."""
    rows = [report["rows"][report["headline"]] for report in reports]
    k = next(name for name in rows[0] if name.startswith("recall@"))
    return tuple(sum(row[name] for row in rows) / len(rows) for name in (k, "map_at_r"))
