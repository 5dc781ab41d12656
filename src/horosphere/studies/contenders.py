"""What is compared: configs, the choices that each may make on validation, and whether all else is equal."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from .. import recipes
from ..config import Config, PartConfig, changed, flat, read
from ..errors import InputError
from ..training import rooted

#: What a comparison holds equal: names, or beginnings of names, of options.
EQUAL = (
    "data.",
    "model.encoder",
    "model.pretrained",
    "model.checkpoint",
    "model.freeze",
    "model.dim",
    "batch.",
    "training.steps",
    "training.precision",
)
#: Of these, what changes no result.
HARMLESS = ("data.decoded", "data.cache_encodings", "batch.chunk")


@dataclass(frozen=True)
class Contender:
    """A config under a name, and the settings that it may choose from, each a few dotted options."""

    name: str
    config: Config
    choices: tuple[Mapping[str, Any], ...]

    def choosing(self, choice: Mapping[str, Any], seed: int, steps: int | None) -> Config:
        """The run that tries a choice: judged on held-out training classes."""
        return self._run(choice, seed, "validation", steps)

    def testing(self, choice: Mapping[str, Any], seed: int) -> Config:
        """The run that counts: trained on all training classes, judged on the test classes."""
        return self._run(choice, seed, "test", None)

    def _run(self, choice, seed, judge, steps) -> Config:
        config = changed(self.config, choice)
        training = replace(config.training, steps=steps or config.training.steps, validate_every=0, profile=False)
        return replace(config, seed=seed, training=training, evaluation=replace(config.evaluation, judge=judge))


def contender(
    given: str | Path, settings: Mapping[str, Any], grid: Mapping[str, Sequence] | None, factors: Sequence[float]
) -> Contender:
    """A recipe or a config file as a contender.

    It chooses from `grid`, else from its recipe's own choices, else from `factors` times its temperature.
    """
    own: Mapping[str, Sequence] = {}
    if str(given).endswith((".yaml", ".yml")):
        name, config = Path(given).stem, read(Path(given))
    else:
        recipe = recipes.get(str(given))
        name, config, own = recipe.name, recipe.config(), recipe.choices
    config = shared(changed(config, settings))
    if not (grid := grid or own):
        temperature = flat(config).get("loss.temperature")
        if temperature is None and tuple(factors) != (1,):
            raise InputError(
                f"{name} says nothing to choose from, and loss.kind {config.loss.kind} has no temperature: "
                "give --choose OPTION=VALUE,VALUE,..., or --factors 1 to take every recipe as it is"
            )
        if temperature is not None:
            grid = {"loss.temperature": [float(f"{factor * temperature:.6g}") for factor in factors]}
    choices = tuple(dict(zip(grid, values, strict=True)) for values in product(*grid.values()))
    return Contender(name, config, choices)


def shared(config: Config) -> Config:
    """The config for one of many runs: whole paths, one process, decoded images in a file that all runs share."""
    config = rooted(config)
    if config.training.devices != 1:
        raise InputError(
            f"training.devices is {config.training.devices}: each run of a study has one process, as many as "
            "--processes run side by side"
        )
    if config.data.decoded == "memory":
        config = replace(config, data=replace(config.data, decoded="disk"))
    return config


def differences(contenders: Sequence[Contender]) -> dict[str, dict[str, Any]]:
    """What of data, encoder, head width, batch, steps and number of choices is not equal: option → name → value."""
    options = {each.name: flat(each.config) | {"number of choices": len(each.choices)} for each in contenders}
    names = dict.fromkeys(name for own in options.values() for name in own)
    found = {}
    for name in names:
        if (name.startswith(EQUAL) and name not in HARMLESS) or name == "number of choices":
            values = {each: own.get(name) for each, own in options.items()}
            if len({repr(value) for value in values.values()}) > 1:
                found[name] = values
    return found


def apart(config: Config, reference: Config) -> dict[str, Any]:
    """Options that a config sets otherwise than a reference; of parts that only it has, what is not a part's default."""
    own, other = flat(config), flat(reference)
    usual = asdict(PartConfig()) | {"kind": None}
    return {
        name: value
        for name, value in own.items()
        if name != "recipe"
        and (value != other[name] if name in other else value != usual.get(name.rpartition(".")[2], other))
    }


def words(options: Mapping[str, Any]) -> str:
    """Options and values in a line."""
    return ", ".join(f"{name.removeprefix('loss.')} {short(value)}" for name, value in options.items()) or "as it is"


def slug(options: Mapping[str, Any]) -> str:
    """The same in a folder's name."""
    return words(options).replace("/", "_")


def short(value: Any) -> str:
    """A value as a person writes it."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
