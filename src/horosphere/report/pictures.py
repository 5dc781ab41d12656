"""The pictures of a run's report."""

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from .. import insight
from ..data import ImageSource, Preprocessing, UnreadableImage, evaluation_view
from ..models import Embedded, Embedder
from ..runs import Run
from ..spaces import Hyperbolic
from .document import Picture
from .judge import Judgement, queries_and_gallery
from .telemetry import training_picture


def pictures_of(run: Run, model: Embedder, embedded: Embedded, judgement: Judgement) -> list[Picture]:
    """The pictures, in the order of the page."""
    rows = list(judgement.rows.values())
    k = run.retrieval.evaluation.ks[0]
    pictures = [
        Picture(
            "recall",
            f"Recall@{k} of every way to rank the same images. Where intervals overlap much, it is a tie.",
            insight.recalls(
                [row.name for row in rows],
                [row.report.recall[k] for row in rows],
                [row.report.intervals.get(f"recall@{k}") for row in rows],
                k,
            ),
        )
    ]
    if any("loss" in entry for entry in run.metrics()):
        pictures.append(training_picture(run, model.space))
    for row in rows:
        if isinstance(row.space, Hyperbolic):
            pictures += [
                Picture(
                    f"radius-{row.name}",
                    f"Where the points of {row.name} lie. Were they all at one radius, it would say nothing.",
                    insight.radii(row.space, row.points),
                ),
                Picture(
                    f"cosine-{row.name}",
                    f"Distance of {row.name} against cosine, for pairs of images. A thin line would be cosine in disguise.",
                    insight.scatter_against_cosine(row.space, row.points, embedded.data.labels),
                ),
            ]
    if embedded.data.images is not None:
        pictures.append(
            Picture(
                "neighbours",
                "Queries with their nearest images and distances under each geometry; ✓ is the right class, ✗ a wrong one. "
                "The first query is one that the headline ranking gets wrong, where there is one.",
                _neighbours(model, embedded, judgement),
            )
        )
    return pictures


def _neighbours(model: Embedder, embedded: Embedded, judgement: Judgement, count: int = 3) -> Figure:
    data, per_query = embedded.data, judgement.rows[judgement.headline].report.per_query
    wrong, generator = per_query["rank"] > 0, np.random.default_rng(0)
    chosen = []
    for pool, wanted in ((per_query["index"][wrong], 1), (per_query["index"][~wrong], count - 1)):
        chosen += generator.permutation(pool)[:wanted].tolist()

    assert data.images is not None and model.preprocessing is not None  # the caller asked
    _, gallery = queries_and_gallery(data)
    ways = [row for name, row in judgement.rows.items() if " by cosine" not in name]
    return insight.retrieval_sheet(
        view_of(data.images, model.preprocessing),
        data.labels,
        [(row.name, row.space, row.points) for row in ways],
        chosen,
        np.arange(len(data)) if gallery is None else gallery,
        lambda position: data.classes[data.labels[position]],
    )


def view_of(images: ImageSource, preprocessing: Preprocessing) -> Callable[[int], np.ndarray]:
    """Position → the image as the model sees it, uint8 (H, W, C); black where it cannot be read any more."""

    def image(position: int) -> np.ndarray:
        try:
            view = evaluation_view(images.read(position), preprocessing)
        except UnreadableImage:  # it was readable when it was embedded, and a picture must not end a report
            return np.zeros((2, 2, 3), np.uint8)
        return view.permute(1, 2, 0).numpy()

    return image
