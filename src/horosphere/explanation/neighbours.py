"""What each geometry finds first: the best and the worst queries with their neighbours."""

from collections.abc import Mapping

import numpy as np

from .. import insight
from ..config import ExplainConfig
from ..errors import InputError
from ..evaluation import RetrievalReport, class_bootstrap, evaluate_retrieval
from ..insight import Answers
from ..report.document import Picture, Section, Table
from .subject import NotHere, Subject

#: Queries on a sheet.
_SHOWN = 3


def neighbours(subject: Subject, options: ExplainConfig, progress: bool) -> Section:
    """What each geometry finds first, and the best and worst queries with their nearest images."""
    headline, (_, space, points) = next(iter(subject.ways.items()))
    superclasses = _superclasses(subject)
    try:
        found = {
            name: evaluate_retrieval(
                own,
                subject.labels,
                way,
                (1,),
                queries=subject.queries,
                gallery=subject.gallery,
                map_at_r=superclasses is not None,  # with which come the nearest images
                bootstrap=0,
                progress=progress,
            )
            for name, (_, way, own) in subject.ways.items()
        }
        first = insight.answers(found[headline], space, points, subject.labels, subject.gallery, progress=progress)
    except InputError as error:
        raise NotHere(str(error)) from None
    gallery = np.arange(len(subject)) if subject.gallery is None else subject.gallery
    numbers = {
        name: _numbers(each, first, subject.labels, superclasses, options, own=name == headline)
        for name, each in found.items()
    }
    blocks: list[str | Table | Picture] = [
        f"{len(first.queries):,} queries against {len(gallery):,} images. {headline.capitalize()} finds an image of the "
        f"right class first for {_share(numbers[headline], 'right')} of them: its Recall@1. In brackets are 95 % intervals "
        "over classes; a difference whose interval holds 0 is a tie.",
        _table(numbers, headline),
    ]
    if superclasses is not None:
        chance = _chance(first, subject.labels, superclasses, gallery)
        if chance is not None:
            blocks.append(
                f"A wrong image of the right superclass is the better mistake: by chance {100 * chance:.1f} % of those of "
                f"{headline} would be one."
            )
    best, worst = first.best(_SHOWN), first.worst(_SHOWN)
    if subject.image is None:
        blocks.append("There are no images to show the best and the worst queries with; explain.json has their names.")
    else:
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


def _numbers(
    found: RetrievalReport,
    first: Answers,
    labels: np.ndarray,
    superclasses: np.ndarray | None,
    options: ExplainConfig,
    *,
    own: bool,
) -> dict:
    """Shares of one geometry's answers with intervals, and but for the first (`own`) beside those of the first."""
    right, theirs = found.per_query["rank"] == 0, first.rank == 0
    columns = {"right": right}
    if not own:
        columns |= {
            "more_right_than_first": right.astype(int) - theirs,
            "right_where_first_is_wrong": right & ~theirs,
            "wrong_where_first_is_right": ~right & theirs,
        }
    numbers = _measured(columns, first.labels, options)
    if superclasses is not None:
        asked, got = (superclasses[labels[found.per_query[of][~right]]] for of in ("index", "nearest"))
        kin = (asked == got) & (asked >= 0)
        numbers |= _measured({"mistakes_in_superclass": kin}, first.labels[~right], options)
    return numbers


def _measured(columns: Mapping[str, np.ndarray], labels: np.ndarray, options: ExplainConfig) -> dict:
    """The mean of each column with its 95 % interval over classes; None for both where the columns are empty."""
    if not len(labels):
        return {name: None for key in columns for name in (key, f"{key}_interval")}
    bounds = class_bootstrap(np.column_stack(list(columns.values())), labels, draws=options.bootstrap, seed=options.seed)
    means = {name: float(column.mean()) for name, column in columns.items()}
    return means | {f"{name}_interval": own.tolist() for name, own in zip(columns, bounds, strict=True)}


def _table(numbers: Mapping[str, dict], headline: str) -> Table:
    header = ["geometry", "right first", f"more than {headline}"]
    header += [f"right where {headline} is wrong", f"wrong where {headline} is right"]
    keys = ["right", "more_right_than_first", "right_where_first_is_wrong", "wrong_where_first_is_right"]
    if "mistakes_in_superclass" in numbers[headline]:
        header.append("mistakes in the right superclass")
        keys.append("mistakes_in_superclass")
    rows = [[name, *(_share(own, key) if key in own else "" for key in keys)] for name, own in numbers.items()]
    return Table(header, rows, frozenset({headline}))


def _share(numbers: dict, key: str) -> str:
    """A share and its interval, for people."""
    if numbers[key] is None:
        return "no mistake"
    sign = "+" if key == "more_right_than_first" else ""
    low, high = (f"{100 * bound:{sign}.1f}" for bound in numbers[f"{key}_interval"])
    return f"{100 * numbers[key]:{sign}.1f} % ({low} to {high})".replace("-", "−")


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
