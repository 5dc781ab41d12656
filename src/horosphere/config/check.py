"""Values out of range, refused when a config is made."""

from ..errors import InputError


def check(section: str, **values: tuple[object, bool, str]) -> None:
    """Raise InputError for the first value whose condition does not hold: name=(value, condition, what was expected)."""
    for name, (value, holds, expected) in values.items():
        if not holds:
            raise InputError(f"{section}.{name} is {value}; expected {expected}")
