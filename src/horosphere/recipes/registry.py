"""Recipes by name."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module

from ..config import Config
from ..errors import InputError

#: Modules whose recipes are known, in the order that `horosphere recipes` lists them.
MODULES = ("demo", "omniglot", "cub_features", "hyp_vit", "hyp_mix", "chest", "baselines")

_recipes: dict[str, "Recipe"] = {}


@dataclass(frozen=True)
class Recipe:
    """A named config.

    Attributes:
        name: what `horosphere train NAME` takes.
        summary: one line.
        source: the table and row that it reproduces, or "ours".
        deviations: where it differs from the paper or its code, each with the reason.
        status: whether it was run, and where its figures are; or why not.
        make: makes the config.
        choices: dotted options and the values of each that `horosphere compare` tries on validation.
    """

    name: str
    summary: str
    source: str
    deviations: tuple[str, ...]
    status: str
    make: Callable[[], Config]
    choices: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def config(self) -> Config:
        """The complete config."""
        return replace(self.make(), recipe=self.name)


def recipe(
    name: str,
    summary: str,
    *,
    source: str = "ours",
    deviations: tuple[str, ...] = (),
    status: str,
    choices: Mapping[str, tuple[float, ...]] | None = None,
) -> Callable[[Callable[[], Config]], Callable[[], Config]]:
    """Decorator: make a function that returns a config known as a recipe."""

    def register(make: Callable[[], Config]) -> Callable[[], Config]:
        if name in _recipes:
            raise ValueError(f"two recipes are called {name!r}")
        _recipes[name] = Recipe(name, summary, source, deviations, status, make, choices or {})
        return make

    return register


@cache
def _load() -> dict[str, Recipe]:
    for module in MODULES:
        import_module(f".{module}", __package__)
    return _recipes


def names() -> list[str]:
    """Names of all recipes, in the order of their modules."""
    return list(_load())


def get(name: str) -> Recipe:
    """A recipe by name. Raises InputError with the nearest names for an unknown one."""
    if name not in _load():
        near = difflib.get_close_matches(name, _load(), 3, 0.3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise InputError(f"there is no recipe {name!r}{hint} `horosphere recipes` lists them all")
    return _load()[name]
