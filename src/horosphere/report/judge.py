"""Every way to rank the same images, judged side by side, and what the geometry did."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from ..config import EvaluationConfig
from ..data import RetrievalData
from ..errors import InputError
from ..evaluation import CosineAgreement, RetrievalReport, cosine_agreement, evaluate_retrieval
from ..models import Embedded, Embedder
from ..models.heads import NORMALISE
from ..spaces import Hyperbolic, Mixed, Space, Sphere

#: Images that could not be read are listed up to this many; the count is always whole.
LISTED_FAILURES = 20


@dataclass(frozen=True)
class Row:
    """One way to rank: a name, what it is, and its retrieval report, with the space and points behind it."""

    name: str
    meaning: str
    report: RetrievalReport
    space: Space
    points: Tensor


@dataclass(frozen=True)
class Judgement:
    """What was found.

    Attributes:
        data: what was judged.
        rows: the ways to rank, by name; `headline` is the name of the one that counts.
        agreements: of each hyperbolic part with cosine.
        telemetry: of the space, on the points judged.
        failures: id → reason of images that could not be read, and are not in `data`.
    """

    data: RetrievalData
    rows: dict[str, Row]
    headline: str
    agreements: dict[str, CosineAgreement]
    telemetry: dict[str, float]
    failures: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict:
        """JSON-able values."""
        return {
            "headline": self.headline,
            "rows": {name: {"meaning": row.meaning} | row.report.to_dict() for name, row in self.rows.items()},
            "geometry": self.telemetry,
            "cosine_agreement": {name: _plain(agreement) for name, agreement in self.agreements.items()},
            "failures": {"count": len(self.failures), "first": dict(list(self.failures.items())[:LISTED_FAILURES])},
        }


def check_headline(space: Space, config: EvaluationConfig, with_encoder: bool) -> None:
    """Raise InputError where `config.rank_by` will name no row, before anything is trained."""
    # One empty point a part: the names of the rows do not depend on the points.
    points = torch.zeros(1, len(space.parts) if isinstance(space, Mixed) else 1)
    _headline(config, ways_to_rank(space, points, {"encoder": torch.zeros(1, 1)} if with_encoder else {}))


def _headline(config: EvaluationConfig, ways: dict) -> str:
    headline = next(iter(ways)) if config.rank_by == "mixture" else config.rank_by
    if headline not in ways:
        raise InputError(f"evaluation.rank_by is {config.rank_by!r}; expected mixture or one of {', '.join(ways)}")
    return headline


def _plain(agreement: CosineAgreement) -> dict:
    """JSON knows no NaN: what cannot be measured is null there."""
    values = asdict(agreement).items()
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values}


def judge_model(
    model: Embedder, embedded: Embedded, config: EvaluationConfig, progress: bool = False, *, distributed: bool = False
) -> Judgement:
    """Judge what a model made of a data set, beside what its encoder (or the cached features) gave already."""
    name = "features" if model.encoder is None and embedded.data.images is None else "encoder"
    encodings = {name: embedded.encodings}
    if model.heads.normalise_encoding == "layer":
        # Cosine does not see a change of length, but it sees this one.
        encodings[f"{name}, layer norm"] = NORMALISE["layer"](embedded.encodings)
    judgement = judge(model.space, embedded.points, embedded.data, config, encodings, progress, distributed=distributed)
    return replace(judgement, failures=dict(embedded.failures))


def judge(
    space: Space,
    points: Tensor,
    data: RetrievalData,
    config: EvaluationConfig,
    encodings: Mapping[str, Tensor] | None = None,
    progress: bool = False,
    *,
    distributed: bool = False,
) -> Judgement:
    """Judge points (n, p) of `space` by retrieval over `data`: its test images, or its queries against its gallery.

    Rows: the mixture and each part alone; as the control, cosine between the directions of each part that is no sphere; and
    each of `encodings` (n, width), by name, by cosine. `distributed` is `evaluate_retrieval`'s.

    Raises:
        InputError: where `config.rank_by` names no row, or the data have nothing to judge.
    """
    ways = ways_to_rank(space, points, encodings)
    headline = _headline(config, ways)
    queries, gallery = queries_and_gallery(data)
    rows = {}
    for name, (meaning, own_space, own_points) in ways.items():
        report = evaluate_retrieval(
            own_points,
            data.labels,
            own_space,
            config.ks,
            queries=queries,
            gallery=gallery,
            bootstrap=config.bootstrap,
            progress=progress,
            distributed=distributed,
        )
        rows[name] = Row(name, meaning, report, own_space, own_points)
    agreements = {
        name: cosine_agreement(row.space, row.points) for name, row in rows.items() if isinstance(row.space, Hyperbolic)
    }
    return Judgement(data, rows, headline, agreements, space.telemetry(points))


def ways_to_rank(
    space: Space, points: Tensor, encodings: Mapping[str, Tensor] | None = None
) -> dict[str, tuple[str, Space, Tensor]]:
    """name → (meaning, space, points) of every way to rank the same images; the whole space comes first."""
    ways: dict[str, tuple[str, Space, Tensor]] = {}
    if isinstance(space, Mixed):
        weights = " + ".join(f"{weight:.3g} {name}" for weight, name in zip(space.weights, space.names, strict=True))
        ways["mixture"] = (f"the whole space: {weights}", space, points)
        parts = list(zip(space.names, space.parts, space.split(points), strict=True))
    else:
        parts = [(space.name, space, points)]
    for name, part, own in parts:
        ways[name] = (describe(part), part, own.contiguous())
    for name, part, own in parts:
        if not isinstance(part, Sphere):
            ways[f"{name} by cosine"] = ("control: cosine on the same head", Sphere(), Sphere()(own))
    for name, rows in (encodings or {}).items():
        ways[name] = (f"before the head, {rows.shape[1]} columns, by cosine", Sphere(), Sphere()(rows))
    return ways


def describe(space: Space) -> str:
    """A space in a few words."""
    if isinstance(space, Hyperbolic):
        if space.fixed_radius is not None:
            return f"hyperbolic, c = {space.curvature:.3g}, every norm {space.fixed_radius:g}"
        clip = "no clip" if space.clip is None else f"{space.clipping} clip {space.clip:g}"
        return f"hyperbolic, c = {space.curvature:.3g}, {clip}"
    return {"sphere": "unit sphere, 2 − 2 cosine", "euclidean": "Euclidean distance"}.get(space.name, space.name)


def queries_and_gallery(data: RetrievalData) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Positions of queries and gallery, or None for both where all images are both."""
    if "query" not in data.split:
        return None, None
    return np.flatnonzero(data.split == "query"), np.flatnonzero(data.split == "gallery")
