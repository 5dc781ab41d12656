"""A method over grids or ranges of its options, judged on validation classes."""

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

from .. import build, recipes
from ..config import Config, changed, read
from ..errors import InputError
from ..files import write_text
from ..training import check
from .axes import Axis, axis, learning, on_the_sphere
from .compare import validation_score
from .contenders import labelled, shared, short, slug
from .curves import sweep_document
from .folder import StudyFolder, same_run
from .progress import Progress
from .trials import scored
from .workers import Failure, Job, work


def sweep(
    recipe: str | Path,
    folder: str | Path,
    axes: Mapping[str, str | Sequence],
    *,
    trials: int | None = None,
    one_at_a_time: bool = False,
    sphere: bool = False,
    learn: Sequence[str] = (),
    seeds: int = 1,
    settings: Mapping[str, Any] | None = None,
    processes: int = 1,
    threads: int | None = None,
    progress: bool = True,
) -> dict:
    """Train a method with many settings, each judged on held-out training classes.

    Values make a grid, which is trained whole. A range needs `trials`: Optuna's TPE sampler proposes that many settings,
    each after those before it. All is kept in `folder`, trials in Optuna's own database too (optuna.db). The same call goes
    on with a sweep that was stopped or killed, and one with more trials, values or seeds extends it. A setting that cannot
    be trained is recorded as failed with the reason.

    Args:
        recipe: a recipe's name, or a config file (.yaml).
        folder: where runs and results are kept: sweep.html, sweep.md, study.json and pictures.
        axes: what varies: temperature, curvature (of all hyperbolic parts), weight (of the last part), dim, batch (images)
            or a dotted option → values ("0.1 0.2") or a range ("0.05:1" or "0.05:1 log").
        trials: how many settings to try in ranges.
        one_at_a_time: vary each axis alone, the others as in the recipe, instead of all combinations.
        sphere: sweep also one sphere in place of the recipe's space, over the same axes but curvature and weight.
        learn: "curvature", "weights" or both are learned in addition, over the same axes but these.
        seeds: runs of each setting, with the recipe's seed and those after it; their mean counts.
        settings: dotted options that all runs get.
        processes, threads: runs at a time, and torch's threads of each (see `workers.work`).
        progress: print a line a run.

    Returns:
        What study.json holds.

    Raises:
        InputError: for what cannot be swept or trained as the recipe is, before anything is trained; without Optuna.
        KeyboardInterrupt: on Ctrl-C, after the runs under way have written their checkpoints.
    """
    from_file = str(recipe).endswith((".yaml", ".yml"))
    base = read(Path(recipe)) if from_file else recipes.get(str(recipe)).config()
    base = shared(changed(labelled(base, str(recipe)), settings or {}))
    training = replace(base.training, validate_every=0, profile=False)
    base = replace(base, training=training, evaluation=replace(base.evaluation, judge="validation"))
    for name, value in (("processes", processes), ("seeds", seeds)):
        if value < 1:
            raise InputError(f"{name} is {value}; expected 1 or more")
    if not axes:
        raise InputError(
            "nothing to sweep: give --temperature, --curvature, --weight, --dim, --batch or --set OPTION=VALUES"
        )
    varied = [axis(name, text, base) for name, text in axes.items()]
    if seeds > 1 and any("seed" in each.options for each in varied):
        raise InputError("the seed is swept, and --seeds would set it too: give one of the two")
    ranges = [each.name for each in varied if each.values is None]
    if ranges and (trials is None or trials < 1 or one_at_a_time):
        raise InputError(f"{', '.join(ranges)} is a range: give --trials, how many settings to try, without --one-at-a-time")
    if not ranges and trials is not None:
        raise InputError("--trials is for ranges, such as 0.05:1; a grid of values is trained whole")
    variants = [Variant("recipe", base, varied, one_at_a_time)]
    if sphere:
        variants.append(Variant("sphere", on_the_sphere(base), _without(varied, ("curvature", "weight")), one_at_a_time))
    if learn:
        dropped = ["weight" if what == "weights" else what for what in learn]
        variants.append(Variant("learned", learning(base, learn), _without(varied, dropped), one_at_a_time))
    data = build.data(base.data)
    for variant in variants:
        check(variant.config, data)
    plan = {
        "study": "sweep",
        "horosphere": version("horosphere"),
        "recipe": Path(recipe).stem if from_file else str(recipe),
        "one_at_a_time": one_at_a_time,
        "learn": list(learn),
        "seeds": seeds,
    }
    with StudyFolder(folder, "sweep") as place:
        study = _Sweep(place, variants, plan, trials)
        jobs = study.first(processes)
        bar = Progress(jobs, study.there(), processes, more=study.to_ask() * seeds, on=progress)

        def finished(job: Job, failure: Failure | None, seconds: float) -> Iterable[Job]:
            bar.show(job, failure, seconds)
            following = study.ask(study.tell(job, failure))
            study.write()
            return following

        study.write()
        try:
            work(jobs, finished, processes, threads)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("the same command goes on with it") from None
        result = study.write()
        sweep_document(result).write(place.folder, "sweep")
    return result


@dataclass(frozen=True)
class Variant:
    """A config that is swept over some axes: the recipe itself, its sphere, or with something learned."""

    name: str
    config: Config
    axes: Sequence[Axis]
    one_at_a_time: bool

    def grid(self) -> list[dict[str, Any]] | None:
        """All settings, axis → value; None for ranges."""
        if any(each.values is None for each in self.axes):
            return None
        if not self.one_at_a_time or not self.axes:
            return [
                dict(zip((each.name for each in self.axes), values, strict=True))
                for values in product(*(each.values or () for each in self.axes))
            ]
        own = {each.name: each.own for each in self.axes}
        settings = [own | {each.name: chosen} for each in self.axes for chosen in each.values or ()]
        return [setting for i, setting in enumerate(settings) if setting not in settings[:i]]

    def run(self, setting: Mapping[str, Any], number: int = 0) -> Config:
        """The run of one setting, with the recipe's seed or the `number`-th after it. Raises InputError where there can be
        none."""
        options: dict[str, Any] = {"seed": self.config.seed + number}
        for each in self.axes:
            options |= each.settings(setting[each.name], self.config)
        return changed(self.config, options)


def _without(axes: Sequence[Axis], names: Sequence[str]) -> list[Axis]:
    return [each for each in axes if each.name not in names]


#: Recorded of a trial that was killed while its setting was drawn; another takes its place.
NO_SETTING = "killed before it had a setting"


class _CannotBe(Exception):
    """A setting that makes no config; its trial fails, and the others go on."""


class _Sweep:
    """The trials of all variants, in Optuna's database, and their runs."""

    def __init__(self, place: StudyFolder, variants: Sequence[Variant], plan: dict, trials: int | None):
        self._optuna = _import_optuna()
        self.place, self.plan, self.trials = place, plan, trials
        self.variants = {variant.name: variant for variant in variants}
        storage = self._optuna.storages.RDBStorage(f"sqlite:///{place.folder / 'optuna.db'}")
        self._studies = {
            name: self._optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
            for name in self.variants
        }
        self._under_way: dict[Path, list[tuple[str, Any]]] = {}
        # By variant and number of a trial: its runs that are not done, and why one failed.
        self._left: dict[tuple[str, int], int] = {}
        self._failures: dict[tuple[str, int], Failure] = {}
        for name, variant in self.variants.items():
            for trial in self._trials(name):
                self._check_known(variant, trial)
            known = [_setting(trial) for trial in self._trials(name)]
            for setting in variant.grid() or []:
                if setting not in known:
                    self._studies[name].enqueue_trial(setting)

    def _check_known(self, variant: Variant, trial) -> None:
        """Raise InputError where a trial of an earlier call is of another sweep than this one."""
        setting, names = _setting(trial), {each.name for each in variant.axes}
        if not set(setting) <= names or (len(setting) < len(names) and variant.grid() is not None):
            raise InputError(f"{self.place.folder} holds a sweep of {', '.join(setting)}; give --study another folder")
        if len(setting) == len(names):
            with contextlib.suppress(_CannotBe):
                for job in self._runs(variant, setting):
                    same_run(job)
        for name, distribution in self._distributions(variant).items():
            try:
                if name in trial.distributions:
                    self._optuna.distributions.check_distribution_compatibility(trial.distributions[name], distribution)
            except ValueError:
                raise InputError(
                    f"{self.place.folder} holds a search with other values of {name}; beside a range values must stay as "
                    "they are: give --study another folder"
                ) from None

    def _runs(self, variant: Variant, setting: Mapping[str, Any]) -> list[Job]:
        """The runs of a setting, one a seed. Raises _CannotBe where there can be none."""
        rounded = {axis: float(short(chosen)) if isinstance(chosen, float) else chosen for axis, chosen in setting.items()}
        try:
            configs = [variant.run(rounded, number) for number in range(self.plan["seeds"])]
        except InputError as error:
            raise _CannotBe(str(error)) from None
        # The first has no seed in its name, so that a sweep over one seed can be extended by more.
        names = [slug(rounded), *(f"{slug(rounded)}, seed {config.seed}" for config in configs[1:])]
        folder = self.place.folder / variant.name
        return [Job(folder / name, config) for name, config in zip(names, configs, strict=True)]

    def first(self, count: int) -> list[Job]:
        """What a killed process was at, seeds that trials lack, then new trials: of a grid all, of ranges `count`."""
        states = self._optuna.trial.TrialState
        jobs = []
        for name, study in self._studies.items():
            for trial in study.get_trials(deepcopy=False, states=(states.RUNNING, states.COMPLETE)):
                under_way = self._optuna.trial.Trial(study, trial._trial_id) if trial.state == states.RUNNING else trial
                jobs += self._jobs(name, under_way, _setting(trial))
        return jobs + self.ask(count)

    def ask(self, count: int) -> list[Job]:
        """New trials: of a grid all that wait, of ranges `count`, as long as there are fewer than asked for."""
        jobs: list[Job] = []
        for name, variant in self.variants.items():
            study, proposed = self._studies[name], variant.grid() is None
            while self._to_ask(name) and not (proposed and len(jobs) >= count):
                # Each trial has a seed of its own, so that a sweep that was killed proposes what it would have.
                study.sampler = self._optuna.samplers.TPESampler(seed=len(self._trials(name)), constant_liar=True)
                trial = study.ask(self._distributions(variant))
                jobs += self._jobs(name, trial, _setting(study.get_trials(deepcopy=False)[trial.number]))
        return jobs

    def _trials(self, name: str) -> list:
        """A variant's trials, but for those that a kill cut short before they had a setting."""
        trials = self._studies[name].get_trials(deepcopy=False)
        return [trial for trial in trials if trial.user_attrs.get("failed") != NO_SETTING]

    def to_ask(self) -> int:
        """How many trials are still to be asked for."""
        return sum(map(self._to_ask, self.variants))

    def _to_ask(self, name: str) -> int:
        states = self._optuna.trial.TrialState
        trials = self._trials(name)
        if self.variants[name].grid() is not None:
            return sum(trial.state == states.WAITING for trial in trials)
        return max(0, (self.trials or 0) - len(trials))

    def there(self) -> int:
        """How many runs are done, when all trials that are to be asked for at once have been."""
        trials = sum(len(self._trials(name)) for name in self.variants)
        return trials * self.plan["seeds"] - sum(self._left.values())

    def _distributions(self, variant: Variant) -> dict[str, Any]:
        """What each axis of a search is drawn from. Nothing of a grid is drawn: its trials are given their settings."""
        return {} if variant.grid() is not None else {each.name: self._distribution(each, variant) for each in variant.axes}

    def _distribution(self, each: Axis, variant: Variant):
        kinds = self._optuna.distributions
        if each.values is not None:
            return kinds.CategoricalDistribution(each.values)
        whole = type(each.own) is int and float(each.low).is_integer() and float(each.high).is_integer()
        if not whole:
            return kinds.FloatDistribution(each.low, each.high, log=each.log)
        low, high = int(each.low), int(each.high)
        if each.name == "batch":
            step = variant.config.batch.images
            return kinds.IntDistribution(-(-low // step) * step, high // step * step, step=step)
        return kinds.IntDistribution(low, high, log=each.log)

    def _jobs(self, name: str, trial, setting: Mapping[str, Any]) -> list[Job]:
        """The runs of a trial, but those that are done, or under way for another trial; none where it cannot be."""
        variant = self.variants[name]
        if set(setting) != {each.name for each in variant.axes}:
            self._end(name, trial, None, NO_SETTING)
            return []
        try:
            jobs = self._runs(variant, setting)
        except _CannotBe as error:
            self._end(name, trial, None, str(error))
            return []
        for job in jobs:
            same_run(job)
        left = [job for job in jobs if not job.run.finished]
        if not left:
            self._end(name, trial, self._score(variant, setting))
            return []
        self._left[name, trial.number] = len(left)
        for job in left:
            self._under_way.setdefault(job.folder, []).append((name, trial))
        return [job for job in left if len(self._under_way[job.folder]) == 1]

    def tell(self, job: Job, failure: Failure | None) -> int:
        """A run is done: how many trials have all their runs with it."""
        whole = 0
        for name, trial in self._under_way.pop(job.folder):
            key = name, trial.number
            if failure is not None:
                self._failures[key] = failure
            self._left[key] -= 1
            if self._left[key]:
                continue
            whole += 1
            if (failed := self._failures.get(key)) is None:
                setting = _setting(self._studies[name].get_trials(deepcopy=False)[trial.number])
                self._end(name, trial, self._score(self.variants[name], setting))
            elif not failed.again:  # else the trial stays open: the next call tries it again
                self._end(name, trial, None, failed.reason)
        return whole

    def _score(self, variant: Variant, setting: Mapping[str, Any]) -> float:
        return validation_score([job.run.report for job in self._runs(variant, setting)])[0]

    def _end(self, name: str, trial, score: float | None, failure: str | None = None) -> None:
        if self._studies[name].get_trials(deepcopy=False)[trial.number].state.is_finished():
            return  # it had fewer seeds then; what its further ones gave is in their runs
        if failure is not None:
            trial.set_user_attr("failed", failure)
        state = None if failure is None else self._optuna.trial.TrialState.FAIL
        self._studies[name].tell(trial.number, score, state=state)

    def write(self) -> dict:
        """study.json, with what is known by now; and what it holds."""
        variants, whole = {}, True
        for name, variant in self.variants.items():
            trials = []
            for trial in self._trials(name):
                setting = _setting(trial)
                lost = self._failures.get((name, trial.number))
                failed = trial.user_attrs.get("failed") or (lost and lost.reason)
                entry = {"setting": setting, "recall": None, "map_at_r": None, "failed": failed}
                if trial.state == self._optuna.trial.TrialState.COMPLETE:
                    jobs = self._runs(variant, setting)
                    if reports := [job.run.report for job in jobs if job.run.finished]:
                        entry |= scored(reports, self.plan["learn"] if name == "learned" else ())
                    whole = whole and (bool(failed) or len(reports) == len(jobs))
                trials.append(entry)
            axes = [
                {"name": each.name, "own": each.own, "range": each.values is None, "log": each.log} for each in variant.axes
            ]
            variants[name] = {"axes": axes, "trials": trials}
        complete = all(
            trial["recall"] is not None or trial["failed"] for each in variants.values() for trial in each["trials"]
        )
        complete = complete and whole and not self.to_ask() and not any(each.again for each in self._failures.values())
        metric = f"recall@{next(iter(self.variants.values())).config.evaluation.ks[0]}"
        result = self.plan | {"complete": complete, "metrics": [metric, "map_at_r"], "variants": variants}
        text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
        write_text(self.place.result_path, text)
        return json.loads(text)


def _import_optuna():
    try:
        import optuna
    except ImportError:
        raise InputError("a sweep needs Optuna, which is not installed: pip install 'horosphere[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _setting(trial) -> dict[str, Any]:
    """Axis → value of an Optuna trial, waiting ones of a grid too."""
    return dict(trial.system_attrs.get("fixed_params", trial.params))
