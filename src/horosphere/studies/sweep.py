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
    settings: Mapping[str, Any] | None = None,
    processes: int = 1,
    threads: int | None = None,
    progress: bool = True,
) -> dict:
    """Train a method with many settings, each judged on held-out training classes.

    Values make a grid, which is trained whole. A range needs `trials`: Optuna's TPE sampler proposes that many settings,
    each after those before it. All is kept in `folder`, trials in Optuna's own database too (optuna.db). The same call goes
    on with a sweep that was stopped or killed, and one with more trials or values extends it. A setting that cannot be
    trained is recorded as failed with the reason.

    Args:
        recipe: a recipe's name, or a config file (.yaml).
        folder: where runs and results are kept: sweep.html, sweep.md, study.json and pictures.
        axes: what varies: temperature, curvature (of all hyperbolic parts), weight (of the last part), dim, batch (images)
            or a dotted option → values ("0.1 0.2") or a range ("0.05:1" or "0.05:1 log").
        trials: how many settings to try in ranges.
        one_at_a_time: vary each axis alone, the others as in the recipe, instead of all combinations.
        sphere: sweep also one sphere in place of the recipe's space, over the same axes but curvature and weight.
        learn: "curvature", "weights" or both are learned in addition, over the same axes but these.
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
    if processes < 1:
        raise InputError(f"processes is {processes}; expected 1 or more")
    if not axes:
        raise InputError(
            "nothing to sweep: give --temperature, --curvature, --weight, --dim, --batch or --set OPTION=VALUES"
        )
    varied = [axis(name, text, base) for name, text in axes.items()]
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
    }
    with StudyFolder(folder, "sweep") as place:
        study = _Sweep(place, variants, plan, trials)
        jobs = study.first(processes)
        bar = Progress(jobs, study.there(), processes, more=study.to_ask(), on=progress)

        def finished(job: Job, failure: Failure | None, seconds: float) -> Iterable[Job]:
            bar.show(job, failure, seconds)
            study.tell(job, failure)
            following = study.ask(1)
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

    def run(self, setting: Mapping[str, Any]) -> Config:
        """The run of one setting. Raises InputError where there can be none."""
        options: dict[str, Any] = {}
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
        self._lost: dict[tuple[str, int], str] = {}
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
                same_run(self._job(variant, setting))
        for name, distribution in self._distributions(variant).items():
            try:
                if name in trial.distributions:
                    self._optuna.distributions.check_distribution_compatibility(trial.distributions[name], distribution)
            except ValueError:
                raise InputError(
                    f"{self.place.folder} holds a search with other values of {name}; beside a range values must stay as "
                    "they are: give --study another folder"
                ) from None

    def _job(self, variant: Variant, setting: Mapping[str, Any]) -> Job:
        """The run of a setting. Raises _CannotBe where there can be none."""
        rounded = {axis: float(short(chosen)) if isinstance(chosen, float) else chosen for axis, chosen in setting.items()}
        try:
            return Job(self.place.folder / variant.name / slug(rounded), variant.run(rounded))
        except InputError as error:
            raise _CannotBe(str(error)) from None

    def first(self, count: int) -> list[Job]:
        """What a killed process was at, then new trials: of a grid all, of ranges `count`."""
        states = self._optuna.trial.TrialState
        jobs = []
        for name, study in self._studies.items():
            for trial in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
                jobs += self._jobs(name, self._optuna.trial.Trial(study, trial._trial_id), _setting(trial))
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
        """How many trials are done."""
        return sum(trial.state.is_finished() for name in self.variants for trial in self._trials(name))

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
        """The run of a trial; none where it cannot be, or is done, or under way for another trial."""
        variant = self.variants[name]
        if set(setting) != {each.name for each in variant.axes}:
            self._end(name, trial, None, NO_SETTING)
            return []
        try:
            job = self._job(variant, setting)
        except _CannotBe as error:
            self._end(name, trial, None, str(error))
            return []
        same_run(job)
        if job.run.finished:
            self._end(name, trial, validation_score([job.run.report])[0])
            return []
        self._under_way.setdefault(job.folder, []).append((name, trial))
        return [job] if len(self._under_way[job.folder]) == 1 else []

    def tell(self, job: Job, failure: Failure | None) -> None:
        """A run is done."""
        for name, trial in self._under_way.pop(job.folder):
            if failure is None:
                self._end(name, trial, validation_score([job.run.report])[0])
            elif failure.again:
                self._lost[name, trial.number] = failure.reason  # the trial stays open: the next call tries it again
            else:
                self._end(name, trial, None, failure.reason)

    def _end(self, name: str, trial, score: float | None, failure: str | None = None) -> None:
        if failure is not None:
            trial.set_user_attr("failed", failure)
        state = None if failure is None else self._optuna.trial.TrialState.FAIL
        self._studies[name].tell(trial.number, score, state=state)

    def write(self) -> dict:
        """study.json, with what is known by now; and what it holds."""
        variants = {}
        for name, variant in self.variants.items():
            trials = []
            for trial in self._trials(name):
                setting = _setting(trial)
                failed = trial.user_attrs.get("failed") or self._lost.get((name, trial.number))
                entry = {"setting": setting, "recall": None, "map_at_r": None, "failed": failed}
                run = Job(self.place.folder / name / slug(setting), variant.config).run
                if trial.state == self._optuna.trial.TrialState.COMPLETE:
                    report = run.report
                    entry["recall"], entry["map_at_r"] = validation_score([report])
                    if name == "learned":
                        entry["learned"] = _learned(report["space"], self.plan["learn"])
                trials.append(entry)
            axes = [
                {"name": each.name, "own": each.own, "range": each.values is None, "log": each.log} for each in variant.axes
            ]
            variants[name] = {"axes": axes, "trials": trials}
        complete = all(
            trial["recall"] is not None or trial["failed"] for each in variants.values() for trial in each["trials"]
        )
        complete = complete and not self.to_ask() and not self._lost
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


def _learned(space: Mapping, what: Sequence[str]) -> dict[str, list[float]]:
    """What the curvatures and weights became, part by part."""
    parts = space.get("parts", [space])
    found = {}
    if "curvature" in what:
        found["curvature"] = [part["curvature"] for part in parts if part["kind"] == "hyperbolic"]
    if "weights" in what:
        found["weights"] = list(space["weights"])
    return found
