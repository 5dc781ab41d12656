"""What is explained: points of labelled images, from a run or a file."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from .. import build
from ..config import Config, EvaluationConfig, ExplainConfig, PointsConfig, SceneConfig, is_points_file
from ..data import RetrievalData, UnreadableImage
from ..data.crops import open_scene, whole
from ..data.transforms import crop
from ..errors import InputError
from ..models import Embedded, Embedder, embed_data
from ..report.judge import queries_and_gallery, ways_to_rank
from ..report.pictures import view_of
from ..report.points import read_points
from ..report.scenes import embed_regions
from ..runs import Run
from ..spaces import Space


class NotHere(Exception):
    """A section cannot be made of this subject: why, and what to do."""


@dataclass(frozen=True, eq=False)
class Subject:
    """Points of labelled images in a space, with what is known about them.

    Attributes:
        name: of the run or the file.
        space: where the points live.
        points: (n, p) float32, on the CPU.
        labels: (n,) int64, positions in `classes`.
        classes: the class names, of which some may have no point here.
        ids: (n,) a name each.
        superclasses: of each class its ancestors' names, coarse to fine; None where nobody knows.
        queries, gallery: positions, where the set is split so; None: all points are both.
        encodings: (n, w) the encoder's own output, or the cached features; None for a file of points.
        image: position → uint8 (H, W, C), black where it cannot be read any more; None where there are no images.
        run: the run, whose metrics are the telemetry; None for a file.
        read_train: makes the subject of the training images; None where there are none.
    """

    name: str
    space: Space
    points: Tensor
    labels: np.ndarray
    classes: tuple[str, ...]
    ids: np.ndarray
    superclasses: tuple[tuple[str, ...], ...] | None = None
    queries: np.ndarray | None = None
    gallery: np.ndarray | None = None
    encodings: Tensor | None = None
    image: Callable[[int], np.ndarray] | None = None
    run: Run | None = None
    read_train: Callable[[], "Subject"] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def class_of(self, position: int) -> str:
        """The name of a point's class, for people."""
        return self.classes[self.labels[position]].replace("_", " ").replace("/", " ")

    def superclass_of(self, position: int) -> str:
        """The name of the nearest ancestor of a point's class, for people; "" where nobody knows."""
        ancestors = () if self.superclasses is None else self.superclasses[self.labels[position]]
        return ancestors[-1].replace("_", " ") if ancestors else ""

    @cached_property
    def train(self) -> "Subject | None":
        """The training images, embedded when first asked for."""
        return None if self.read_train is None else self.read_train()

    @cached_property
    def ways(self) -> dict[str, tuple[str, Space, Tensor]]:
        """name → (meaning, space, points) of every geometry: the whole space, its parts, cosine on each, the encoding."""
        name = "features" if self.image is None else "encoder"
        return ways_to_rank(self.space, self.points, {} if self.encodings is None else {name: self.encodings})


def read_subject(options: ExplainConfig, progress: bool = True) -> Subject:
    """The subject that `options.target` names. Raises InputError where there is none, or nothing to explain in it."""
    if is_points_file(options.target):
        return _of_file(options)
    return _of_run(options, progress)


def _of_file(options: ExplainConfig) -> Subject:
    if options.data is not None:
        raise InputError(f"--data would do nothing here: {options.target} holds the points themselves; leave it out")
    space, points, data = read_points(options.target, options.points)

    def part(splits: tuple[str, ...]) -> Subject:
        keep = np.isin(data.split, splits)
        return _subject(options.target.stem, space, points[torch.from_numpy(keep)], data.take(keep))

    if not np.isin(data.split, ("test", "query", "gallery")).any():
        raise InputError(f"{options.target} has no row whose split is test, query or gallery: there is nothing to explain")
    own = part(("test", "query", "gallery"))
    return replace(own, read_train=(lambda: part(("train",))) if "train" in data.split else None)


def _of_run(options: ExplainConfig, progress: bool) -> Subject:
    run = Run.open(options.target)
    if options.points != PointsConfig():
        raise InputError(f"--space, --curvature and --clip are for files of points: {run.folder} knows its own space")
    if not run.model_path.is_dir():
        raise InputError(f"{run.folder} has no model yet; finish it with `horosphere train --resume {run.folder}`")
    model = Embedder.load(run.model_path).to(build.device(options.device))
    name = run.folder.resolve().name
    if isinstance(run.config, SceneConfig) and options.data is None:
        return replace(_of_objects(name, model, run.config, progress), run=run)
    evaluation = EvaluationConfig() if isinstance(run.config, SceneConfig) else run.retrieval.evaluation
    if options.data is None:
        where = run.retrieval.data
    else:
        where = build.data_config(run.config, options.data, options.data_layout, options.data_options)
        evaluation = replace(evaluation, judge="test")  # nothing of it was trained on, so nothing is held out of it
    config = Config(data=where, evaluation=evaluation)
    data = build.data(where)

    def embedded(part: RetrievalData, what: str) -> Subject:
        found = embed_data(
            model,
            part,
            batch_size=options.batch_size,
            workers=options.workers,
            precision=evaluation.precision,
            progress=f"embedding {what} images" if progress else None,
        )
        return _embedded(name, model, found)

    def train() -> Subject:
        part = build.training_split(config, data)
        if len(part) > options.train_images:
            drawn = np.random.default_rng(options.seed).choice(len(part), options.train_images, replace=False)
            part = part.take(np.sort(drawn))
        return embedded(part, "training")

    own = embedded(build.judged_split(config, data), "judged")
    return replace(own, run=run, read_train=train if options.data is None and "train" in data.split else None)


def _of_objects(name: str, model: Embedder, config: SceneConfig, progress: bool) -> Subject:
    """The objects of a run on scenes, with the classes of their boxes."""
    scenes = build.judged_scenes(config, build.scenes(config, progress))
    if scenes is None:
        raise InputError(
            f"{name} trained on scenes without boxes, so there are no objects: give labelled images with --data"
        )
    regions = embed_regions(model, scenes, progress=progress)
    labels = np.array([scenes.labels[i][box] for i, box in regions.places])
    classes, superclasses = scenes.classes, scenes.superclasses
    if (labels < 0).any():  # proposals have no class
        labels, classes, superclasses = np.zeros_like(labels), ("unlabelled",), None
    preprocessing = model.preprocessing
    assert preprocessing is not None  # it has an encoder

    def image(position: int) -> np.ndarray:
        i, box = regions.places[position]
        try:
            picture = open_scene(scenes.images.read(i), scenes.sizes[i], preprocessing.channels, name=str(scenes.ids[i]))
        except UnreadableImage:  # it was readable when it was embedded
            return np.zeros((2, 2, 3), np.uint8)
        return crop(picture, whole(scenes.boxes[i][box]), preprocessing).permute(1, 2, 0).numpy()

    return Subject(
        name,
        model.space.to("cpu"),
        regions.objects,
        labels,
        classes,
        np.array([f"{scenes.ids[i]}#{box}" for i, box in regions.places]),
        superclasses=None if superclasses is None else tuple((name,) for name in superclasses),
        encodings=regions.encodings,
        image=image,
    )


def _embedded(name: str, model: Embedder, embedded: Embedded) -> Subject:
    data = embedded.data
    image = None if data.images is None or model.preprocessing is None else view_of(data.images, model.preprocessing)
    space = model.space.to("cpu")
    return replace(_subject(name, space, embedded.points, data), encodings=embedded.encodings, image=image)


def _subject(name: str, space: Space, points: Tensor, data: RetrievalData) -> Subject:
    queries, gallery = queries_and_gallery(data)
    ids = np.asarray(data.ids)
    return Subject(name, space, points, data.labels, data.classes, ids, data.superclasses, queries, gallery)
