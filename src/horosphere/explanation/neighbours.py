"""What each geometry finds first: the best and the worst queries with their neighbours."""

from collections.abc import Mapping

import numpy as np

from .. import insight
from ..config import ExplainConfig
from ..errors import InputError
from ..insight import Answers
from ..report.document import Picture, Section, Table
from .subject import NotHere, Subject

#: Queries on a sheet.
_SHOWN = 3


def neighbours(subject: Subject, options: ExplainConfig, progress: bool) -> Section:
    """Best and worst queries with their nearest images under each geometry."""
    if subject.image is None:
        raise NotHere("there are no images to show; `horosphere evaluate` judges points without them")
    gallery = np.arange(len(subject)) if subject.gallery is None else subject.gallery
    queries = np.arange(len(subject)) if subject.queries is None else subject.queries
    drawn = " drawn at random" if len(queries) > options.anchors else ""
    if drawn:
        queries = np.sort(np.random.default_rng(options.seed).choice(queries, options.anchors, replace=False))
    try:
        found = {
            name: insight.answers(space, points, subject.labels, queries, gallery, progress=progress)
            for name, (_, space, points) in subject.ways.items()
        }
    except InputError as error:
        raise NotHere(str(error)) from None
    headline, first = next(iter(found.items()))
    superclasses = _superclasses(subject)
    numbers = {name: _numbers(each, first, subject.labels, superclasses) for name, each in found.items()}
    blocks: list[str | Table | Picture] = [
        f"{len(first.queries):,} queries{drawn} against {len(gallery):,} images. {headline.capitalize()} finds an image of "
        f"the right class first for {100 * numbers[headline]['right']:.1f} % of them.",
        _table(numbers, headline),
    ]
    if superclasses is not None:
        chance = _chance(first, subject.labels, superclasses, gallery)
        if chance is not None:
            blocks.append(
                f"A wrong image of the right superclass is the better mistake: by chance {100 * chance:.1f} % of those of "
                f"{headline} would be one."
            )
    best, worst = first.best(subject.labels, _SHOWN), first.worst(subject.labels, _SHOWN)
    blocks += _sheets(subject, first, best, worst, gallery, headline)
    shown = {"best": best, "worst": worst}
    return Section(
        "Neighbours",
        blocks,
        {
            "queries": len(first.queries),
            "gallery": len(gallery),
            "geometries": numbers,
            **{name: [str(subject.ids[query]) for query in chosen] for name, chosen in shown.items()},
        },
    )


def _superclasses(subject: Subject) -> np.ndarray | None:
    """Of each class its nearest ancestor's number, −1 where nobody knows; None where no two classes share one."""
    if subject.superclasses is None:
        return None
    names = [ancestors[-1] if ancestors else "" for ancestors in subject.superclasses]
    known = sorted(set(names) - {""})
    if not 1 < len(known) < len(names):
        return None
    return np.array([known.index(name) if name else -1 for name in names])


def _numbers(found: Answers, first: Answers, labels: np.ndarray, superclasses: np.ndarray | None) -> dict:
    """Shares of one geometry's answers, beside those of the first."""
    right, theirs = found.rank == 0, first.rank == 0
    numbers: dict[str, float | None] = {
        "right": float(right.mean()),
        "right_where_first_is_wrong": float((right & ~theirs).mean()),
        "wrong_where_first_is_right": float((~right & theirs).mean()),
    }
    if superclasses is not None:
        asked, got = (superclasses[labels[positions[~right]]] for positions in (found.queries, found.nearest))
        numbers["mistakes_in_superclass"] = float(((asked == got) & (asked >= 0)).mean()) if len(asked) else None
    return numbers


def _table(numbers: Mapping[str, dict], headline: str) -> Table:
    header = ["geometry", "right first", f"right where {headline} is wrong", f"wrong where {headline} is right"]
    rows = []
    for name, own in numbers.items():
        shares = [own["right"], own["right_where_first_is_wrong"], own["wrong_where_first_is_right"]]
        cells = [f"{100 * share:.1f} %" for share in shares]
        if name == headline:
            cells[1:] = ["", ""]
        if "mistakes_in_superclass" in own:
            share = own["mistakes_in_superclass"]
            cells.append("no mistake" if share is None else f"{100 * share:.1f} %")
        rows.append([name, *cells])
    if "mistakes_in_superclass" in numbers[headline]:
        header.append("mistakes in the right superclass")
    return Table(header, rows, frozenset({headline}))


def _chance(found: Answers, labels: np.ndarray, superclasses: np.ndarray, gallery: np.ndarray) -> float | None:
    """Mean share of the wrong images that are of the right superclass, over wrongly answered queries."""
    wrong = found.queries[found.rank > 0]
    if len(wrong) == 0:
        return None
    of_class = np.bincount(labels[gallery], minlength=len(superclasses))
    of_superclass = np.bincount(superclasses[labels[gallery]] + 1, minlength=superclasses.max() + 2)
    of_superclass[0] = 0
    own = of_class[labels[wrong]]
    kin = np.where(superclasses[labels[wrong]] >= 0, of_superclass[superclasses[labels[wrong]] + 1] - own, 0)
    return float((kin / (len(gallery) - own)).mean())


def _sheets(
    subject: Subject, found: Answers, best: np.ndarray, worst: np.ndarray, gallery: np.ndarray, headline: str
) -> list[Picture]:
    ways = [(way, space, points) for way, (_, space, points) in subject.ways.items() if " by cosine" not in way]
    superclass = None if _superclasses(subject) is None else subject.superclass_of
    marks = "✓ the right class, ✗ a wrong one" + ("" if superclass is None else ", ≈ a wrong one of the right superclass")
    ranks = dict(zip(found.queries.tolist(), found.rank.tolist(), strict=True))

    def title(query: int) -> str:
        name, rank = subject.class_of(query), ranks[query]
        return f"{name}\n{rank:,} wrong before a right one" if rank else name

    sheets = []
    for name, queries, why in (
        ("best", best, "the nearest wrong image is farthest behind the nearest right one"),
        ("worst", worst, "the most wrong images are nearer than the nearest right one"),
    ):
        if len(queries):
            assert subject.image is not None  # the caller asked
            figure = insight.retrieval_sheet(
                subject.image, subject.labels, ways, queries.tolist(), gallery, title, superclass=superclass
            )
            caption = f"The {name} queries of {headline}: {why}. The number is the distance; {marks}."
            sheets.append(Picture(f"{name}-queries", caption, figure))
    return sheets
