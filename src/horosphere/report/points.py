"""Files of points: this package's, and those of other libraries."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .. import build
from ..config import PartConfig, PointsConfig, SpaceConfig
from ..data import RetrievalData, labels_and_classes, load_arrays
from ..errors import InputError
from ..spaces import Hyperbolic, Space, Sphere, from_description

#: How far c⟨x, x⟩ may be from −1 before coordinates are refused, relative to the terms that cancel in it.
_ON_HYPERBOLOID = 1e-3


def read_points(path: Path, where: PointsConfig, *, labelled: bool = False) -> tuple[Space, Tensor, RetrievalData]:
    """The space, the points (n, p) and what the file says of them; the data set's features are the points.

    `where.space` says how the rows are to be read, by default as the file itself says. Rows without labels are all of one
    class, "unlabelled"; with `labelled` they are refused.

    Raises:
        InputError: for a damaged file, rows that are no such points, and where nothing says what they are.
    """
    arrays = load_arrays(path, required=("labels",) if labelled else ())
    rows = arrays.get("points", arrays.get("features"))
    if rows is None:
        raise InputError(f"{path} has no points; it holds {', '.join(sorted(arrays)) or 'nothing'}")
    try:
        space, points = _place(path, arrays, torch.from_numpy(np.asarray(rows)), where)
        space.check(points)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    if "labels" in arrays:
        labels, classes = labels_and_classes(path, arrays)
    else:
        labels, classes = np.zeros(len(rows), np.int64), ("unlabelled",)
    superclasses = None
    if "superclasses" in arrays:
        superclasses = tuple(tuple(name for name in line if name) for line in np.atleast_2d(arrays["superclasses"]).tolist())
    split = arrays.get("split", np.full(len(labels), "test"))
    data = RetrievalData(path.stem, None, points.numpy(), labels, classes, superclasses, split, arrays.get("ids"))
    return space, points, data


def _place(path: Path, arrays: Mapping[str, np.ndarray], rows: Tensor, where: PointsConfig) -> tuple[Space, Tensor]:
    if where.space is None:
        if "space" not in arrays:
            raise InputError(
                f"{path} does not say where its rows live: add --space sphere, cosine, euclidean, hyperbolic, poincare or "
                "lorentz"
            )
        return from_description(json.loads(str(arrays["space"][0]))), rows.float()
    if where.space == "cosine":
        return Sphere(), Sphere()(rows.float())
    if where.space in ("poincare", "lorentz"):
        space = Hyperbolic(where.curvature, clip=None)
        # Near the boundary coordinates have few digits left; what there are must not be lost on the way.
        rows = rows.double()
        if where.space == "poincare":
            return space, space.from_poincare(rows).float()
        _check_hyperboloid(rows, where.curvature)
        return space, space.from_lorentz(rows).float()
    part = PartConfig(where.space, curvature=where.curvature)
    return build.space(SpaceConfig(parts=(replace(part, clip=where.clip),))), rows.float()


def _check_hyperboloid(rows: Tensor, curvature: float) -> None:
    time, space = rows[:, 0].square(), rows[:, 1:].square().sum(1)
    off = (curvature * (space - time) + 1).abs() > _ON_HYPERBOLOID * (1 + curvature * time)
    if off.any() or (rows[:, 0] <= 0).any():
        fits = float((1 / (time - space)).median())
        hint = f"; --curvature {fits:.4g} would fit most" if fits > 0 else ""
        raise InputError(
            f"{int(off.sum())} of {len(rows)} rows are not on the hyperboloid ⟨x, x⟩ = −1/c with c = {curvature:g}, time "
            f"first and positive{hint}"
        )
