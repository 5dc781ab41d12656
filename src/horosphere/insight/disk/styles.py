"""Which colour and marker a group of points has."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import count

import numpy as np

from ..figures import BLUE, GREEN, ORANGE, PURPLE

#: A colour and a marker each: of the first seven groups both differ, of 49 one of the two.
_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, "#E69F00", "#56B4E9", "#303030")
_MARKERS = ("o", "^", "s", "D", "v", "P", "X")
#: Groups that a legend names; the rest is grey.
MOST_GROUPS = 20


def group_styles(panels: Iterable[np.ndarray], known: Mapping[str, int] | None = None) -> dict[str, int]:
    """The number of a colour and marker for each group that a legend would name in one of the panels, whose groups (n,) str
    are given: what makes a group look the same in all figures that are drawn with it.

    `known` groups keep theirs, and others get the first that are free.
    """
    styles = dict(known or {})
    taken = set(styles.values())
    free = (number for number in count() if number not in taken)
    for groups in panels:
        styles |= {name: next(free) for name in frequent(groups) if name not in styles}
    return styles


def frequent(groups: np.ndarray) -> list[str]:
    """The groups that a legend names, in the order of the alphabet."""
    counts = Counter(name for name in groups.tolist() if name)
    return sorted(name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_GROUPS])


def look(number: int) -> tuple[str, str]:
    """Colour and marker."""
    kinds = len(_COLOURS)
    return _COLOURS[number % kinds], _MARKERS[(number + number // kinds) % kinds]
