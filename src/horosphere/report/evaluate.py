"""Judging what was trained elsewhere or earlier: runs, untrained encoders, and files of points."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from .. import build
from ..config import Config, DataConfig, EvaluationConfig, ModelConfig, PointsConfig, Precision, SceneConfig
from ..data import load_images, save_arrays
from ..errors import InputError
from ..files import write_text
from ..models import Embedded, Embedder, embed_data
from ..runs import Run
from ..spaces import Sphere
from .judge import Judgement, judge, judge_model
from .page import write_report
from .points import read_points
from .scenes import write_scene_report


def evaluate_run(
    run: Run,
    evaluation: EvaluationConfig,
    *,
    data: DataConfig | None = None,
    device: str = "auto",
    workers: int = 2,
    progress: bool = True,
) -> Judgement:
    """Judge a run's model on its own data set, or on `data`; `evaluation.judge` says on which split."""
    model, embedded = _embed_judged(run, evaluation, data, device, workers, progress)
    return judge_model(model, embedded, evaluation, progress)


def rewrite_report(run: Run, *, device: str = "auto", workers: int = 2, progress: bool = True) -> Judgement:
    """Judge a trained run again as its config says, and write its report anew."""
    evaluation = run.retrieval.evaluation
    model, embedded = _embed_judged(run, evaluation, None, device, workers, progress)
    return write_report(run, model.to("cpu"), embedded, judge_model(model, embedded, evaluation, progress))


def rewrite_scene_report(run: Run, *, device: str = "auto", workers: int = 2, progress: bool = True) -> None:
    """Judge a trained run on scenes again as its config says, and write its report anew."""
    config = cast(SceneConfig, run.config)
    config = replace(config, training=replace(config.training, workers=workers))
    judged = build.judged_scenes(config, build.scenes(config, progress))
    write_scene_report(run, Embedder.load(run.model_path).to(build.device(device)), judged, progress=progress)


def evaluate_encoder(
    model: ModelConfig,
    data: DataConfig,
    evaluation: EvaluationConfig,
    *,
    device: str = "auto",
    workers: int = 2,
    progress: bool = True,
) -> Judgement:
    """Judge an encoder as it is, by cosine of its own output: the rows marked † in the papers."""
    # The head and its space are made too, but nothing reads them.
    config = Config(model=model, data=data, evaluation=evaluation)
    loaded = build.data(data)
    judged = build.judged_split(config, loaded)
    embedder = build.embedder(config, loaded).to(build.device(device))
    embedded = embed_data(
        embedder,
        judged,
        batch_size=evaluation.batch_size,
        workers=workers,
        precision=evaluation.precision,
        progress="encoding" if progress else None,
    )
    sphere = Sphere()
    judgement = judge(sphere, sphere(embedded.encodings), embedded.data, evaluation, progress=progress)
    row = replace(judgement.rows["sphere"], name="encoder", meaning=f"{model.encoder}, untrained, by cosine")
    return replace(judgement, rows={"encoder": row}, headline="encoder", failures=dict(embedded.failures))


def evaluate_points(
    path: Path, evaluation: EvaluationConfig, where: PointsConfig | None = None, *, progress: bool = True
) -> Judgement:
    """Judge a file of points with labels, in the space that the file or `where` names.

    Where the file has a split, its test images, or its queries against its gallery, are judged; else all.
    """
    space, _, data = read_points(path, where or PointsConfig(), labelled=True)
    data = build.test_split(data)
    return judge(space, torch.from_numpy(data.features), data, evaluation, progress=progress)


def embed_to_file(
    run: Run,
    images: Path,
    output: Path,
    *,
    layout: str | None = None,
    layout_options: Mapping[str, int | str] | None = None,
    split: str = "all",
    encoding: bool = False,
    batch_size: int = 64,
    precision: Precision = "32-true",
    device: str = "auto",
    workers: int = 2,
    progress: bool = True,
) -> Embedded:
    """Write points (or with `encoding` the encoder's own output) of images to .npz or .safetensors, with ids and space.

    Without a layout `images` is any folder, zip or file of images; with one it is a labelled data set, and labels, classes
    and split are written too.
    """
    if layout is None:
        data = load_images(images)
    else:
        data = build.data(DataConfig(layout=layout, root=str(images), options=dict(layout_options or {})))
    if split != "all":
        if layout is None:
            raise InputError(f"--split {split} needs --layout: images without labels have no splits")
        data = data.select("train") if split == "train" else build.test_split(data)
    model = Embedder.load(run.model_path).to(build.device(device))
    embedded = embed_data(
        model,
        data,
        batch_size=batch_size,
        workers=workers,
        precision=precision,
        progress="embedding" if progress else None,
    )
    labelled: dict[str, Any] = {"labels": embedded.data.labels, "classes": list(data.classes), "split": embedded.data.split}
    if data.superclasses is not None:
        labelled["superclasses"] = data.superclasses
    if encoding:
        rows = {"features": embedded.encodings.numpy()}
    else:
        rows = {"points": embedded.points.numpy(), "space": np.array([json.dumps(model.space.describe(settled=True))])}
    save_arrays(output, ids=embedded.data.ids, **rows, **(labelled if layout is not None else {}))
    return embedded


def write_per_query(path: Path, judgement: Judgement) -> None:
    """A CSV of the headline ranking: a line a query, with the rank of its nearest image of the same class."""
    data, columns = judgement.data, judgement.rows[judgement.headline].report.per_query
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    names = [name for name in columns if name not in ("index", "label", "nearest")]
    writer.writerow(["id", "class", *names, "nearest"])
    for i, index in enumerate(columns["index"]):
        values = [columns[name][i] for name in names]
        nearest = data.ids[columns["nearest"][i]]
        writer.writerow([data.ids[index], data.classes[data.labels[index]], *values, nearest])
    write_text(path, text.getvalue())


def _embed_judged(run, evaluation, data, device, workers, progress) -> tuple[Embedder, Embedded]:
    config = Config(data=run.retrieval.data if data is None else data, evaluation=evaluation)
    judged = build.judged_split(config, build.data(config.data))
    model = Embedder.load(run.model_path).to(build.device(device))
    return model, embed_data(
        model,
        judged,
        batch_size=evaluation.batch_size,
        workers=workers,
        precision=evaluation.precision,
        progress="embedding" if progress else None,
    )
