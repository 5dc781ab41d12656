"""A config as YAML: complete when written, strict when read."""

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from ..errors import InputError
from ..files import write_text
from .retrieval import Config
from .scenes import SceneConfig
from .study import TransferConfig

#: Configs by what a file calls them.
KINDS = {"retrieval": Config, "scenes": SceneConfig}

#: What YAML's own rule takes for text.
_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")


def to_yaml(config: Config | SceneConfig | TransferConfig) -> str:
    """The complete config as YAML, in the order of its fields."""
    return yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False, default_flow_style=None, width=120)


def write(config: Config | SceneConfig | TransferConfig, path: Path) -> None:
    """Write the complete config as YAML, all of it or nothing."""
    write_text(path, to_yaml(config))


def read(path: Path, kinds: Mapping[str, type] = KINDS):
    """Read a config back, of one of `kinds`.

    Raises InputError for unreadable YAML, an unknown key or a value of another type.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the config {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {error}") from None
    if not isinstance(values, dict) or (kind := kinds.get(str(values.get("kind", "retrieval")))) is None:
        raise InputError(f"{path} is no config: expected sections, and the kind {' or '.join(kinds)}")
    return _structure(kind, values, "", str(path))


def changed(config: Config, options: Mapping[str, Any]) -> Config:
    """The config with dotted options set, as in {"loss.temperature": 0.1, "space.parts.0.curvature": 1.0}.

    Raises InputError for an option that is not there and for a value of another type.
    """
    values = _plain(dataclasses.asdict(config))
    for name, value in options.items():
        *sections, last = name.split(".")
        place = values
        for section in sections:
            place = _entry(place, section, name)
        if isinstance(place, list):
            _entry(place, last, name)
            place[int(last)] = _plain(value)
        elif isinstance(place, dict):
            place[last] = _plain(value)
        else:
            raise InputError(f"option {name!r}: {'.'.join(sections)} is {place!r}, which has no {last!r}")
    return _structure(type(config), values, "", f"options {', '.join(options)}")


def flat(config: Config | SceneConfig) -> dict[str, Any]:
    """Every option of a config by its dotted name, with its value as YAML has it."""
    return dict(_leaves("", _plain(dataclasses.asdict(config))))


def value(text: str) -> Any:
    """A value as written on a command line: a number, true, null, a list in brackets, or else text."""
    try:
        return float(text) if _EXPONENT.fullmatch(text) else yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _entry(place, key: str, name: str):
    """What `key` names in a section or a list."""
    if isinstance(place, list):
        if not (key.isdecimal() and int(key) < len(place)):
            raise InputError(f"option {name!r}: {key} is not one of the {len(place)} entries 0 to {len(place) - 1}")
        return place[int(key)]
    if not isinstance(place, dict) or key not in place:
        near = difflib.get_close_matches(key, place, 1, 0) if isinstance(place, dict) else []
        raise InputError(f"option {name!r}: there is no {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return place[key]


def _leaves(where: str, value):
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(_join(where, key), item)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for i, item in enumerate(value):
            yield from _leaves(_join(where, i), item)
    else:
        yield where, value


def _plain(value):
    """Tuples as lists, which YAML knows."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _structure(kind, value, where: str, path: str):
    """`value`, as YAML gave it, as an instance of the type `kind`; strictly, but an int passes for a float."""
    wrong = InputError(f"{path}: {where or 'the config'} is {value!r}; expected {_name(kind)}")
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise wrong
        fields = typing.get_type_hints(kind)
        for key in value:
            if key not in fields:
                near = difflib.get_close_matches(str(key), fields, 1, 0)
                raise InputError(f"{path}: unknown key {_join(where, key)!r}; did you mean {_join(where, near[0])!r}?")
        return kind(**{key: _structure(fields[key], item, _join(where, key), path) for key, item in value.items()})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if sections := {option.kind: option for option in arguments if dataclasses.is_dataclass(option)}:
            name = value.get("kind", next(iter(sections))) if isinstance(value, dict) else None
            if str(name) not in sections:
                raise InputError(f"{path}: {_join(where, 'kind')} is {name!r}; expected one of {', '.join(sections)}")
            return _structure(sections[name], value, where, path)
        for option in arguments:
            try:
                return _structure(option, value, where, path)
            except InputError:
                continue
        raise wrong
    if origin is Literal:
        if value not in arguments or type(value) not in {type(option) for option in arguments}:
            raise wrong
        return value
    if origin is tuple:
        open_ended = arguments[-1] is Ellipsis
        if not isinstance(value, list) or (not open_ended and len(value) != len(arguments)):
            raise wrong
        kinds = [arguments[0]] * len(value) if open_ended else arguments
        return tuple(_structure(k, item, f"{where}.{i}", path) for i, (k, item) in enumerate(zip(kinds, value, strict=True)))
    if origin is dict:
        if not isinstance(value, dict):
            raise wrong
        return {
            _structure(arguments[0], key, where, path): _structure(arguments[1], item, _join(where, key), path)
            for key, item in value.items()
        }
    if kind is float and type(value) is int:
        return float(value)
    if kind is float and isinstance(value, str):
        # YAML's own rule reads 1e-5, which lacks a point, as text.
        try:
            return float(value)
        except ValueError:
            raise wrong from None
    if kind is type(None) and value is None:
        return None
    # Not isinstance: True is an int to Python, but a mistake in a config.
    if type(value) is not kind:
        raise wrong
    return value


def _join(where: str, key) -> str:
    return f"{where}.{key}" if where else str(key)


def _name(kind) -> str:
    """A type in words a user reads."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_name(option) for option in arguments)
    if origin is Literal:
        return "one of " + ", ".join(str(option) for option in arguments)
    if origin is tuple:
        return "a list of " + _name(arguments[0])
    if dataclasses.is_dataclass(kind):
        return "a section with the keys " + ", ".join(f.name for f in dataclasses.fields(kind))
    words = {float: "a number", int: "a whole number", str: "text", bool: "true or false", type(None): "nothing"}
    return words.get(kind, str(kind))
