"""Where pictures fit beside one another."""

from collections.abc import Sequence

import numpy as np


def place_thumbnails(z: np.ndarray, sides: np.ndarray, order: Sequence[int] | np.ndarray, gap: float = 0.0) -> list[int]:
    """Of squares with centres z (n,) complex and `sides` (n,), those that are drawn: greedily in `order`, each that covers
    none before it and keeps a `gap` to them."""
    chosen: list[int] = []
    centres, halves = np.empty(len(order), complex), np.empty(len(order))
    for number in map(int, order):
        others = slice(0, len(chosen))
        apart = centres[others] - z[number]
        least = halves[others] + sides[number] / 2 + gap
        if ((np.abs(apart.real) >= least) | (np.abs(apart.imag) >= least)).all():
            centres[len(chosen)], halves[len(chosen)] = z[number], sides[number] / 2
            chosen.append(number)
    return chosen
