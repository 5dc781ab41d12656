"""The Poincaré disk as complex numbers (…,): inside the unit circle, at curvature −1, where distance is 2 artanh|z| from 0.

The disk of curvature −c is this one with coordinates over √c and distances over √c. Everything goes through the isometry
that takes a point to the centre (the Möbius translation, Hyp-ViT, Eq. 1), and is as exact as 1 − |z| is: in float64 to about
1e-16 exp(r) at distance r from the centre.
"""

import numpy as np

from ...spaces import Hyperbolic

#: Where the mean's next step is shorter, it is found.
_FOUND = 1e-12
#: The last number below 1 but one: keeps distances from the boundary finite.
_EDGE = 1 - 2.0**-52


def of_points(space: Hyperbolic, points) -> np.ndarray:
    """Points (…, 2) of a hyperbolic plane of any curvature c, in the unit disk: their ball coordinates times √c."""
    ball = space.to_poincare(points.double()).detach().numpy() * space.curvature**0.5
    return ball[..., 0] + 1j * ball[..., 1]


def of_tangents(v: np.ndarray) -> np.ndarray:
    """The points at distance |v| from the centre, in the direction of v: the exponential map at the centre."""
    length = np.abs(v)
    return v * (np.tanh(length / 2) / np.maximum(length, 1e-300))


def recentre(z: np.ndarray, centre: complex | np.ndarray) -> np.ndarray:
    """The isometry that takes `centre` to 0 and turns nothing there: (z − a)/(1 − ā z)."""
    return (z - centre) / (1 - np.conj(centre) * z)


def towards(z: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances from z to w, and the directions, of length 1, in which the geodesics leave; 0 where z is w."""
    seen = recentre(w, z)
    length = np.abs(seen)
    return 2 * np.arctanh(np.minimum(length, _EDGE)), seen / np.maximum(length, 1e-300)


def distance(z: np.ndarray, w: np.ndarray) -> np.ndarray:
    """2 artanh|(w − z)/(1 − z̄ w)|."""
    return 2 * np.arctanh(np.minimum(np.abs(recentre(w, z)), _EDGE))


def step(z: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Where the geodesic arrives that leaves z in the direction of v, after length |v|: the exponential map at z."""
    return recentre(of_tangents(v), -z)


def arc(z: np.ndarray, w: np.ndarray, count: int = 48) -> np.ndarray:
    """`count` points at equal distances along the geodesics from z (m,) to w (m,): (m, count).

    They lie on the circle through z and w that meets the unit circle at right angles, or on a diameter.
    """
    length, direction = towards(np.asarray(z)[:, None], np.asarray(w)[:, None])
    return step(np.asarray(z)[:, None], direction * length * np.linspace(0, 1, count))


def mean(z: np.ndarray) -> complex:
    """The Karcher mean of z (n,): the one point of least sum of squared distances. Raises ValueError for no points."""
    if not len(z):
        raise ValueError("no points, so they have no mean")
    centre = np.mean(z, keepdims=True)
    for _ in range(200):
        length, direction = towards(centre, z)
        # The second derivative of half the squared distance is at most r coth r: so long a step never goes too far.
        bend = np.mean(length / np.tanh(np.maximum(length, 1e-9)))
        move = np.mean(length * direction, keepdims=True) / max(bend, 1.0)
        centre = step(centre, move)
        if abs(move[0]) < _FOUND:
            break
    return complex(centre[0])
