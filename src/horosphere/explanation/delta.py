"""δ-hyperbolicity of what the encoder gives and of each geometry, beside sets whose δ gives the number a meaning."""

import math
from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor

from .. import insight
from ..config import ExplainConfig
from ..errors import InputError
from ..insight import DeltaReport
from ..report.document import Picture, Section, Table
from ..spaces import Euclidean, Hyperbolic, Space
from .subject import NotHere, Subject

#: Diameter of the hyperbolic disc of curvature −1 that is held against the subject: of the ball cut at 1 − 10⁻⁵.
_DIAMETER = 12.2


def delta(subject: Subject, options: ExplainConfig, progress: bool) -> Section:
    """The section `delta`: of the training images, as in Hyp-ViT's Table 1, where there are any, else of what is judged."""
    measured, which = (subject, "images that are judged") if subject.train is None else (subject.train, "training images")
    if len(measured) < 4:
        raise NotHere(f"δ needs four points or more, and there are {len(measured)}; give more images")
    sets = list(_sets(measured))
    width = sets[0][2].shape[1]
    references = list(_references(len(measured), width, options.seed))

    failed: dict[str, str] = {}

    def reports(chosen: Iterable[tuple[str, Space, Tensor]]) -> dict[str, DeltaReport]:
        measure = partial(insight.relative_delta, samples=options.samples, draws=options.draws, seed=options.seed)
        reports = {}
        for name, space, points in chosen:
            try:
                reports[name] = measure(points, space=space, progress=progress)
            except InputError as error:  # one part of a mixture may have collapsed
                failed[name] = str(error)
        return reports

    found, held = reports(sets), reports(references)
    if not found:
        raise NotHere("; ".join(f"{name}: {reason}" for name, reason in failed.items()))
    first = next(iter(found))
    used = {name: space.curvature for name, space, _ in sets if isinstance(space, Hyperbolic)}
    blocks = [
        f"Of {len(measured):,} {which}. {first.capitalize()}: {found[first].meaning}. {_used(used)}",
        _against(first, found[first], held),
        *(f"No δ of {name}: {reason}" for name, reason in failed.items()),
        _table(found, held, used),
        Picture(
            "delta",
            "Relative δ, and above it the curvature that it suggests. Hollow, for comparison: as many points spread evenly "
            f"over a sphere of as many columns, a flat disc, and a hyperbolic disc (c = 1, {_DIAMETER:g} wide).",
            insight.delta_dots(found, held, sorted(set(used.values()))),
        ),
    ]
    rows = {name: report.to_dict() | {"curvature_used": used.get(name)} for name, report in found.items()}
    numbers = {"of": which, "rows": rows, "references": {name: report.to_dict() for name, report in held.items()}}
    return Section("How hyperbolic: δ", blocks, numbers)


def _sets(subject: Subject) -> Iterable[tuple[str, Space, Tensor]]:
    """What is measured: the encoder's output as it is, then each geometry."""
    if subject.encodings is not None:
        yield "features" if subject.image is None else "encoder's output", Euclidean(), subject.encodings
    for name, (_, space, points) in subject.ways.items():
        yield name if name not in ("encoder", "features") else f"{name} by cosine", space, points


def _references(count: int, width: int, seed: int) -> Iterable[tuple[str, Space, Tensor]]:
    """As many points without structure: on a sphere of the same width, in a flat disc, and in a hyperbolic one."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(count, width, generator=generator)
    yield f"sphere, {width} columns", Euclidean(), torch.nn.functional.normalize(normal, dim=1)
    share = torch.rand(count, 1, generator=generator)
    turn = 2 * math.pi * torch.rand(count, 1, generator=generator)
    directions = torch.cat([turn.cos(), turn.sin()], 1)
    yield "flat disc", Euclidean(), share.sqrt() * directions
    # By area: the share within r is (cosh r − 1)/(cosh R − 1); a point is half its radius long.
    radius = (1 + share * (math.cosh(_DIAMETER / 2) - 1)).acosh()
    yield "hyperbolic disc", Hyperbolic(1.0, None), radius / 2 * directions


def _used(used: dict[str, float]) -> str:
    if not used:
        return "The model has no hyperbolic part whose curvature could be held against it."
    return "The model uses " + ", ".join(f"c = {curvature:.3g} ({name})" for name, curvature in used.items()) + "."


def _against(name: str, report: DeltaReport, held: dict[str, DeltaReport]) -> str:
    """A small δ alone is no tree."""
    sphere = next(iter(held.values()))
    if report.interval is None or sphere.interval is None:
        verdict = "has no interval to judge by, because one draw took all points"
    elif report.interval[1] < sphere.interval[0]:
        verdict = "is below that"
    elif report.interval[0] > sphere.interval[1]:
        verdict = "is above that: by δ alone nothing speaks for a tree"
    else:
        verdict = "cannot be told from that: by δ alone nothing speaks for a tree"
    return (
        "In many columns all distances are alike, which makes δ small without any hierarchy. As many points spread evenly "
        f"over a sphere of as many columns have {sphere.value:.3f}; the δ of the {name}, {report.value:.3f}, {verdict}."
    )


def _table(found: dict[str, DeltaReport], held: dict[str, DeltaReport], used: dict[str, float]) -> Table:
    rows = []
    for name, report in [*found.items(), *held.items()]:
        interval = "one draw of all" if report.interval is None else "{:.3f} to {:.3f}".format(*report.interval)
        own = f"{used[name]:.3g}" if name in used and name in found else ""
        rows.append([name, f"{report.value:.3f}", interval, f"{report.curvature:.3g}", own])
    return Table(["of", "relative δ", "95 % interval", "suggested c", "c used"], rows, frozenset(list(found)[:1]))
