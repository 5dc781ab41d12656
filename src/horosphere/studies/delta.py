"""δ-hyperbolicity of encoders, runs and files, side by side: Hyp-ViT's Table 1."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from .. import build
from ..config import Config, DataConfig, DeltaConfig, ModelConfig, is_points_file
from ..data import Failures, RetrievalData, load_arrays
from ..insight import DeltaReport, relative_delta
from ..models import Embedded, Embedder, embed_data
from ..recipes.baselines import IMAGES
from ..recipes.hyp_vit import DATA, DELTA, ENCODERS
from ..report.document import Table
from ..report.judge import describe
from ..report.points import read_points
from ..runs import Run
from ..spaces import Space


@dataclass(frozen=True)
class DeltaRow:
    """One line of the table.

    Attributes:
        data: the data set.
        rows: what was measured: an encoder's output, or points and their space.
        delta: how hyperbolic they are.
        published: the paper's δ, for its own encoders on its own training images; else None.
        failures: (id, reason) of images that could not be read.
    """

    data: str
    rows: str
    delta: DeltaReport
    published: float | None = None
    failures: Failures = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        failures = {"count": len(self.failures), "first": dict(self.failures[:20])}
        own = {"data": self.data, "rows": self.rows, "published": self.published, "failures": failures}
        return own | self.delta.to_dict()


def measure_deltas(config: DeltaConfig, *, progress: bool = True) -> list[DeltaRow]:
    """δ of all that the config names, in its order: files, runs, encoders.

    Raises:
        InputError: for what cannot be read or measured.
    """
    rows = []
    for target in config.targets:
        rows += _of_file(target, config, progress) if is_points_file(target) else _of_run(target, config, progress)
    if config.encoder or not config.targets:
        rows += _of_encoders(config, progress)
    return rows


def delta_table(rows: list[DeltaRow]) -> Table:
    """The rows as a table."""
    published = any(row.published is not None for row in rows)
    cells = []
    for row in rows:
        delta = row.delta
        interval = "one draw" if delta.interval is None else "{:.3f} to {:.3f}".format(*delta.interval)
        paper = [] if not published else ["" if row.published is None else f"{row.published:.3f}"]
        draws = f"{len(delta.per_draw)} × {delta.samples:,}"
        cells.append(
            [
                row.data,
                row.rows,
                f"{delta.points:,}",
                draws,
                f"{delta.value:.3f}",
                interval,
                *paper,
                f"{delta.curvature:.3g}",
            ]
        )
    header = ["data", "of", "points", "draws", "relative δ", "95 % interval", *(["paper"] if published else [])]
    return Table([*header, "suggested c"], cells)


def _of_file(path: Path, config: DeltaConfig, progress: bool) -> list[DeltaRow]:
    where = config.points
    if where.space is None and not {"points", "space"} & load_arrays(path).keys():
        where = replace(where, space="euclidean")  # features
    space, points, data = read_points(path, where)
    keep = torch.from_numpy(data.split == "train") if "train" in data.split else slice(None)
    return [DeltaRow(path.stem, describe(space), _delta(points[keep], space, config, progress))]


def _of_run(folder: Path, config: DeltaConfig, progress: bool) -> list[DeltaRow]:
    run = Run.open(folder)
    where = (
        run.retrieval.data
        if config.data is None
        else build.data_config(run.config, config.data, config.layout, config.layout_options)
    )
    model = Embedder.load(run.model_path)
    embedded = _embed(model, _training(build.data(where)), config, progress)
    name = f"{folder}: "
    what = "features" if model.encoder is None else "encoder's output"
    return [
        _row(name + what, embedded, _delta(embedded.encodings, None, config, progress)),
        _row(name + describe(model.space), embedded, _delta(embedded.points, model.space.to("cpu"), config, progress)),
    ]


def _of_encoders(config: DeltaConfig, progress: bool) -> Iterator[DeltaRow]:
    where = DataConfig(
        layout=config.layout,
        root=config.data,
        options=config.layout_options,
        size=config.size,
        resize=config.resize,
        mean=config.mean,
        std=config.std,
    )
    data = _training(build.data(where))
    models = [ModelConfig(name, config.encoder_options, config.pretrained, config.checkpoint) for name in config.encoder]
    for chosen in models or [ModelConfig(each.weights, pretrained=True) for each in ENCODERS.values()]:
        # The head and its space are made too, but nothing reads them.
        model = build.embedder(Config(model=chosen, data=where), data)
        embedded = _embed(model, data, config, progress)
        weights = "" if chosen.pretrained else f", {Path(chosen.checkpoint).name if chosen.checkpoint else 'random weights'}"
        row = _row(f"{chosen.encoder}{weights}", embedded, _delta(embedded.encodings, None, config, progress))
        yield replace(row, published=_published(chosen, data))


def _training(data: RetrievalData) -> RetrievalData:
    return data.select("train") if "train" in data.split else data


def _embed(model: Embedder, data: RetrievalData, config: DeltaConfig, progress: bool) -> Embedded:
    return embed_data(
        model.to(build.device(config.device)),
        data,
        batch_size=config.batch_size,
        workers=config.workers,
        precision=config.precision,
        progress="encoding" if progress else None,
    )


def _delta(rows: torch.Tensor, space: Space | None, config: DeltaConfig, progress: bool) -> DeltaReport:
    return relative_delta(
        rows,
        space=space,
        samples=config.samples,
        draws=config.draws,
        base_points=config.base_points,
        seed=config.seed,
        progress=progress,
    )


def _row(rows: str, embedded: Embedded, delta: DeltaReport) -> DeltaRow:
    return DeltaRow(embedded.data.name, rows, delta, failures=embedded.failures)


def _published(model: ModelConfig, data: RetrievalData) -> float | None:
    """Table 1, for its own weights on all of its own training images."""
    for name, encoder in ENCODERS.items():
        for (images, each), value in zip(DATA.items(), DELTA[name], strict=True):
            if (
                model.pretrained
                and model.encoder == encoder.weights
                and (data.name, len(data)) == (each.title, IMAGES[images])
            ):
                return value
    return None
