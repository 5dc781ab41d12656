"""What a sweep varies: values or a range of an option, or of several options that move together."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..config import Config, PartConfig, changed, flat, value
from ..errors import InputError

#: What can be swept by a short name.
NAMED = ("temperature", "curvature", "weight", "dim", "batch")


@dataclass(frozen=True)
class Axis:
    """One thing that varies.

    Attributes:
        name: what tables and pictures call it.
        options: the dotted options that take its value.
        values: what it may be; or None, and then anything from `low` to `high`, evenly on a `log` scale if so said.
        own: what the recipe has.
    """

    name: str
    options: tuple[str, ...]
    own: Any
    values: tuple[Any, ...] | None = None
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def settings(self, chosen: Any, config: Config) -> dict[str, Any]:
        """Dotted options for one of its values."""
        if self.name == "batch":
            if chosen % config.batch.images:
                raise InputError(
                    f"a batch of {chosen} images has no whole number of classes with {config.batch.images} each"
                )
            chosen //= config.batch.images
        return dict.fromkeys(self.options, chosen)


def axis(name: str, text: str | Sequence[str], config: Config) -> Axis:
    """An axis from what a user writes: values (0.1 0.2 0.4, or 0.1,0.2,0.4) or a range (0.05:1, with log after it).

    `name` is one of NAMED or a dotted option of the config.
    """
    options, own = _options(name, config)
    words = [word for word in re.split(r"[\s,]+", text if isinstance(text, str) else " ".join(map(str, text))) if word]
    ends = words[0].split(":") if words else []
    if len(ends) == 2 and words[1:] in ([], ["log"]):
        low, high = (_number(name, end) for end in ends)
        log = words[1:] == ["log"]
        if not low < high or (log and low <= 0):
            raise InputError(f"--{name} {' '.join(words)}: expected LOW:HIGH with LOW below HIGH, and above 0 for log")
        return Axis(name, options, own, None, low, high, log)
    values = tuple(value(word) for word in words)
    if not values or any(":" in word for word in words):
        raise InputError(f"--{name} {' '.join(words)}: expected values, as in 0.1 0.2 0.4, or a range, as in 0.05:1 log")
    if len(set(values)) < len(values):
        raise InputError(f"--{name} {' '.join(words)}: each value once")
    return Axis(name, options, own, values)


def _number(name: str, text: str) -> float:
    number = value(text)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InputError(f"--{name}: {text!r} is no number; expected LOW:HIGH, as in 0.05:1")
    return number


def _options(name: str, config: Config) -> tuple[tuple[str, ...], Any]:
    """The options that an axis sets, and what the config has there."""
    parts = config.space.parts
    if name == "curvature":
        balls = [i for i, part in enumerate(parts) if part.kind == "hyperbolic"]
        if not balls:
            raise InputError(f"--curvature: {config.recipe or 'the config'} has no hyperbolic part")
        return tuple(f"space.parts.{i}.curvature" for i in balls), parts[balls[0]].curvature
    if name == "weight":
        if len(parts) < 2:
            raise InputError(f"--weight: {config.recipe or 'the config'} has one part, and so no weights to balance")
        return (f"space.parts.{len(parts) - 1}.weight",), parts[-1].weight
    if name == "batch":
        return ("batch.classes",), config.batch.classes * config.batch.images
    option = {"temperature": "loss.temperature", "dim": "model.dim"}.get(name, name)
    options = flat(config)
    if option not in options:
        changed(config, {option: None})  # says what is wrong with it
        raise InputError(f"{name}: {config.recipe or 'the config'} has no {option}")
    return (option,), options[option]


def on_the_sphere(config: Config) -> Config:
    """The same run on one sphere."""
    space = replace(config.space, parts=(PartConfig("sphere"),), learnable_weights=False)
    evaluation = replace(config.evaluation, rank_by="mixture")
    return replace(config, space=space, model=replace(config.model, heads="shared"), evaluation=evaluation)


def learning(config: Config, what: Sequence[str]) -> Config:
    """The same run with "curvature", "weights" or both learned."""
    space = config.space
    if "curvature" in what:
        if not any(part.kind == "hyperbolic" for part in space.parts):
            raise InputError("--learn curvature: there is no hyperbolic part")
        parts = tuple(replace(part, learnable_curvature=part.kind == "hyperbolic") for part in space.parts)
        space = replace(space, parts=parts)
    if "weights" in what:
        if len(space.parts) < 2:
            raise InputError("--learn weights: there is one part, and so no weights to learn")
        space = replace(space, learnable_weights=True)
    return replace(config, space=space)
