"""What the representation of scenes is for: label uncertainty by radius, and objects out of context by distance."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .. import build, insight
from ..config import ScenesConfig
from ..data import (
    OutOfContext,
    Preprocessing,
    RetrievalData,
    SceneData,
    evaluation_view,
    load_data,
    load_images,
    load_out_of_context,
    load_scenes,
    mapped,
    read_scene,
    scene_and_objects,
)
from ..data.layouts import LAYOUTS
from ..data.real import real_counts
from ..errors import InputError
from ..evaluation import ContextReport, LabelUncertainty, class_bootstrap, label_uncertainty, out_of_context
from ..files import write_text
from ..insight.figures import BLUE, PURPLE
from ..models import Embedder, embed_data
from ..models.embedder import evaluating
from ..report.document import Document, Picture, Section, Table
from ..report.judge import ways_to_rank
from ..runs import Run
from ..spaces import Euclidean, Hyperbolic, Space, Sphere
from ..training.steps import note_failures
from .source import load_model

#: Images on each side of a row of least and largest norms; rows of classes; scenes with their boxes.
_EXTREMES, _CLASSES, _SHOWN = 5, 6, 6
#: Pasted objects of more of the image than this are not shown.
_LARGE = 0.35
_PASTED, _MARKED = "pasted objects", "marked objects"


@dataclass(frozen=True)
class _Look:
    """One way to see embeddings: how far apart they are, and how far out, where that means something."""

    space: Space
    points: Tensor
    radius: Tensor | None


class _Eye:
    """A model that looks at views. `trained` says whether its head is; an encoder alone is judged by its own output."""

    def __init__(self, model: Embedder, batch: int, trained: bool):
        self.model, self.batch, self.trained = model, batch, trained

    def embed(self, views: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """Points and encodings of uint8 views (m, C, size, size), joined."""
        points, encodings = [], []
        with evaluating(self.model), torch.inference_mode():
            for batch in _batches(views, self.batch):
                encoded, placed = self.model.embed(self.model.normalise(batch))
                points.append(placed.float().cpu())
                encodings.append(encoded.float().cpu())
        if not points:
            raise InputError("none of the images could be read; repair the files, or check --data")
        return torch.cat(points), torch.cat(encodings)

    def looks(self, points: Tensor, encodings: Tensor) -> dict[str, _Look]:
        """By name; the first is the one that the others are controls of."""
        looks = {}
        if self.trained:
            ways = ways_to_rank(self.model.space.cpu(), points)
            # What has a radius first: it is what is studied.
            for name, (_, space, own) in sorted(ways.items(), key=lambda way: not isinstance(way[1][1], Hyperbolic)):
                radius = space.radius(own).detach() if isinstance(space, Hyperbolic) else None
                looks[name] = _Look(space, own, radius)
        norm = torch.linalg.vector_norm(encodings, dim=1)
        looks["encoder, cosine"] = _Look(Sphere(), Sphere()(encodings), None)
        looks["encoder, Euclidean"] = _Look(Euclidean(), encodings, norm)
        return looks


def scenes(config: ScenesConfig, folder: str | Path | None = None, *, progress: bool = True) -> tuple[Document, Path]:
    """Study a model as the config says, and write scenes.json, .md, .html and the pictures into `folder`.

    `folder` is by default scenes/ in the run's folder, or for an encoder the first free runs/scenes, runs/scenes-2, …
    Scenes and objects are seen whole and undistorted by chance, resized to the model's square input as in training.
    Images that cannot be read are left out and counted.

    Raises:
        InputError: for data without what is studied, or a model without encoder.
    """
    model = load_model(config)
    if model.encoder is None or model.preprocessing is None:
        raise InputError("the model works on cached features and has no encoder; scenes need one that sees images")
    eye = _Eye(model.to(build.device(config.device)), config.batch_size, config.run is not None)
    study = _Study(config, eye, model.preprocessing, progress)
    labelled = config.real is not None or config.layout in LAYOUTS
    marked = None if config.context is None else load_out_of_context(config.context)
    sections, numbers = study.labelled() if labelled else study.boxed()
    if marked is not None:
        more, found = study.marked(marked)
        sections, numbers = [*sections, *more], numbers | found
    if study.failures:
        first, reason = next(iter(study.failures.items()))
        unread = f"{len(study.failures)} images could not be read and are left out, first {first}: {reason}."
        sections = [Section("Unreadable images", [unread]), *sections]
    subtitle = f"{config.describe()} on {numbers['data']}, {numbers['images']:,} images. Horosphere {version('horosphere')}."
    document = Document("Scenes", subtitle, sections)
    where = _folder(config, folder)
    document.write(where, "scenes")
    facts: dict[str, Any] = {
        "horosphere": version("horosphere"),
        "model": config.describe(),
        "split": config.split,
        "least": config.least,
    }
    facts |= {
        "seed": config.seed,
        "failures": {"count": len(study.failures), "first": dict(list(study.failures.items())[:20])},
    }
    write_text(where / "scenes.json", json.dumps(facts | numbers, indent=2) + "\n")
    return document, where


class _Study:
    def __init__(self, config: ScenesConfig, eye: _Eye, preprocessing: Preprocessing, progress: bool):
        self.config, self.eye, self.preprocessing, self.progress = config, eye, preprocessing, progress
        self.failures: dict[str, str] = {}

    # Images with labels, or ReaL labels.

    def labelled(self) -> tuple[list[Section], dict[str, Any]]:
        """Label uncertainty by ReaL labels, or the least and largest norms of each class."""
        config = self.config
        data = load_images(config.data) if config.real is not None else load_data(config.layout, config.data)
        if data.images is None:
            raise InputError(f"{data.name} holds features; expected images")
        if config.split != "all":
            data = data.select(config.split)
        counts = None if config.real is None else real_counts(config.real, data.ids)
        unlabelled = 0
        if counts is not None:
            unlabelled = int((counts == 0).sum())
            data, counts = data.take(counts > 0), counts[counts > 0]
        embedded = embed_data(
            self.eye.model,
            data,
            batch_size=config.batch_size,
            workers=config.workers,
            progress="embedding" if self.progress else None,
        )
        self.failures |= dict(embedded.failures)
        kept = np.isin(data.ids, embedded.data.ids)
        data, looks = embedded.data, self.eye.looks(embedded.points, embedded.encodings)

        def image(i: int) -> np.ndarray:
            assert data.images is not None  # looked at above
            return evaluation_view(data.images.read(i), self.preprocessing).permute(1, 2, 0).numpy()

        numbers: dict[str, Any] = {"data": data.name, "images": len(data)}
        sections = []
        if counts is not None:
            results = self._uncertainty({"ReaL labels": counts[kept]}, looks)
            sections.append(self._uncertainty_section(results, f"{unlabelled:,} images without a label are left out."))
            numbers |= {"label_uncertainty": _plain(results), "without_label": unlabelled}
        groups = None if config.real is not None else data
        sections.append(Section("Least and largest norms", [self._extremes(looks, image, groups)]))
        return sections, numbers

    # Images with boxes.

    def boxed(self) -> tuple[list[Section], dict[str, Any]]:
        """Label uncertainty by boxes and their classes, and pasted objects."""
        config = self.config
        data = load_scenes(config.data, config.layout)
        if config.split != "all":
            data = data.select(config.split)
        pairs = OutOfContext(
            # A scene is two objects or more; a lone one may fill the image.
            data.with_boxes(config.least, 2),
            least=config.least,
            seed=config.seed,
            channels=self.preprocessing.channels,
        )
        reads = partial(_whole_scene, data, self.preprocessing)
        kept, (points, encodings) = self._embed(reads, len(data), "scenes")
        looks = self.eye.looks(points, encodings)
        counts = {
            "boxes": np.array([len(data.boxes[i]) for i in kept]),
            "classes": np.array([len(set(data.labels[i].tolist()) - {-1}) for i in kept]),
        }
        results = self._uncertainty(counts, looks)

        def image(i: int) -> np.ndarray:
            return read_scene(data, kept[i], self.preprocessing.channels)

        pasted, numbers = self._pasted(pairs)
        dropped = data.describe_dropped()
        sections = [
            self._uncertainty_section(results, f"Left out of the annotations: {dropped}." if dropped else ""),
            Section("Least and largest norms", [self._extremes(looks, image)]),
            *pasted,
        ]
        return sections, {
            "data": data.name,
            "images": len(kept),
            "dropped": data.dropped,
            "label_uncertainty": _plain(results),
            **numbers,
        }

    def _pasted(self, pairs: OutOfContext) -> tuple[list[Section], dict[str, Any]]:
        kept, (points, encodings) = self._embed(partial(_pair, pairs, self.preprocessing), len(pairs), "pasted")
        looks = self.eye.looks(points, encodings)
        # A pair is four views: scene and object with the own object, then with the foreign one.
        own = torch.arange(len(points)).view(-1, 2)
        distances = {name: _distances(look, own[:, 0], own[:, 1]) for name, look in looks.items()}
        found = out_of_context(
            distances,
            np.tile([0, 1], len(kept)),
            np.repeat(np.arange(len(kept)), 2),
            draws=self.config.bootstrap,
            seed=self.config.seed,
        )
        right = {name: _right_pairs(values, self.config) for name, values in distances.items()}
        panels = []
        for i in range(len(kept)):
            _, other = pairs[kept[i]]
            if len(panels) == _SHOWN:
                break
            if _share(other.box, other.pixels) > _LARGE:
                continue  # it would hide the scene; it is judged with the others
            rest = [box for box in pairs.data.boxes[kept[i]] if _overlap(box, other.box) < 0.3]
            panels.append((other.pixels, Path(other.scene).name, [*rest, other.box], [False] * len(rest) + [True]))
        text = (
            "In each scene one object was covered by an object of another scene, of a class that this scene does not show. "
            "Its twin, with the scene's own object pasted back in the same way, is what it is compared with."
        )
        pictures = [self._boxes(panels, next(iter(looks)), "pasted")] if panels else []
        section = self._context_section(_PASTED, text, found, pictures, right)
        return [section], {"pasted": found.to_dict() | {"right_pairs": right}}

    def marked(self, data: SceneData) -> tuple[list[Section], dict[str, Any]]:
        """Objects that a table says are out of context, or not."""
        reads = partial(_objects, data, self.preprocessing)
        kept, (points, encodings) = self._embed(reads, len(data), "marked")
        looks = self.eye.looks(points, encodings)
        counts = [len(data.boxes[i]) for i in kept]
        starts = np.cumsum([0, *(count + 1 for count in counts)])[:-1]
        scene = torch.from_numpy(np.repeat(starts, counts))
        thing = torch.from_numpy(np.concatenate([start + 1 + np.arange(n) for start, n in zip(starts, counts, strict=True)]))
        distances = {name: _distances(look, scene, thing) for name, look in looks.items()}
        boxes = np.concatenate([data.boxes[i] / np.tile(data.sizes[i], 2) for i in kept])
        # A crop that nearly fills the image is near it, whatever it shows.
        distances["control: a small box"] = -((boxes[:, 2:] - boxes[:, :2]).prod(1))
        odd = np.concatenate([data.labels[i] for i in kept])
        images = np.repeat(np.arange(len(kept)), counts)
        found = out_of_context(distances, odd, images, draws=self.config.bootstrap, seed=self.config.seed)
        with_odd = [i for i in kept if data.labels[i].any()]
        panels = [
            (
                read_scene(data, i, self.preprocessing.channels),
                Path(data.ids[i]).name,
                list(data.boxes[i]),
                [bool(label) for label in data.labels[i]],
            )
            for i in with_odd[:_SHOWN]
        ]
        text = f"{data.name}: objects that someone marked as out of context, and the others of the same images."
        section = self._context_section(_MARKED, text, found, [self._boxes(panels, next(iter(looks)), "marked")])
        return [section], {"marked": {"data": data.name, "dropped": data.dropped} | found.to_dict()}

    def _embed(self, views: Callable[[int], Any], count: int, what: str) -> tuple[list[int], tuple[Tensor, Tensor]]:
        """Which of `count` items can be read, and points and encodings of all their views, in order."""
        kept: list[int] = []

        def readable() -> Iterator[Tensor]:
            items = mapped(views, count, self.config.workers)
            for i, seen, error in tqdm(items, total=count, desc=what, unit="img", disable=not self.progress, leave=False):
                if error is not None:
                    # Of a pair it may be the image that the foreign object is from.
                    note_failures([(error.name, error.reason)], self.failures)
                else:
                    kept.append(i)
                    yield seen

        embedded = self.eye.embed(readable())
        return kept, embedded

    def _uncertainty(
        self, counts: dict[str, np.ndarray], looks: dict[str, _Look]
    ) -> dict[tuple[str, str], LabelUncertainty]:
        """By what is counted and whose norm it is; without counts that are all the same."""
        options = {"draws": self.config.bootstrap, "seed": self.config.seed}
        return {
            (what, _norm(name)): label_uncertainty(look.radius.double().numpy(), count, **options)
            for what, count in counts.items()
            for name, look in looks.items()
            if look.radius is not None and len(np.unique(count)) > 1
        }

    def _uncertainty_section(self, results: dict[tuple[str, str], LabelUncertainty], note: str) -> Section:
        if not results:
            return Section("Label uncertainty", ["All images have the same number of labels: there is nothing to compare."])
        rows = [
            [what, norm, _interval(found.correlation, found.interval, ".3f"), f"{found.images.sum():,}"]
            for (what, norm), found in results.items()
        ]
        first = next(iter(results))[0]
        figure = insight.label_counts(
            [
                (norm, found.counts, found.images, found.means, found.intervals)
                for (what, norm), found in results.items()
                if what == first
            ],
            first,
        )
        text = "Spearman's rank correlation of a norm with the number of labels of an image; 95 % intervals over images."
        picture = Picture(
            "norm-by-labels",
            f"Mean norm of images by their number of {first}, with 95 % intervals. A norm that tells uncertainty rises.",
            figure,
        )
        blocks = [
            text,
            Table(("labels counted", "norm of", "correlation", "images"), rows),
            *([note] if note else []),
            picture,
        ]
        return Section("Label uncertainty", blocks)

    def _extremes(
        self, looks: dict[str, _Look], image: Callable[[int], np.ndarray], groups: RetrievalData | None = None
    ) -> Picture:
        """Rows of the images with the least and the largest norms: a row a norm, or of the first norm a row a class."""
        radii = {_norm(name): look.radius.numpy() for name, look in looks.items() if look.radius is not None}
        if groups is None:
            rows = {name: (radius, np.arange(len(radius))) for name, radius in radii.items()}
        else:
            radius = next(iter(radii.values()))
            labels = np.unique(groups.labels)
            chosen = labels[np.linspace(0, len(labels) - 1, min(_CLASSES, len(labels))).round().astype(int)]
            rows = {groups.classes[label]: (radius, np.flatnonzero(groups.labels == label)) for label in chosen}
        sheet = []
        for title, (radius, members) in rows.items():
            order = members[np.argsort(radius[members], kind="stable")]
            count = min(_EXTREMES, len(order) // 2)
            ends = [*order[:count], *order[len(order) - count :]]
            sheet.append((title, [(_squared(image(int(i))), f"{radius[i]:.3g}") for i in ends]))
        what = f"norm: {next(iter(radii))}" if groups is not None else "each norm"
        return Picture(
            "extremes",
            f"The images with the least norms (left) and the largest (right); {what}. The number is the norm.",
            insight.image_sheet(sheet, gap_after=_EXTREMES),
        )

    def _boxes(self, panels: Sequence[tuple[np.ndarray, str, list, list[bool]]], name: str, what: str) -> Picture:
        """Scenes with boxes and the distance of each to the scene."""
        views = (scene_and_objects(pixels, boxes, self.preprocessing) for pixels, _, boxes, _ in panels)
        look = self.eye.looks(*self.eye.embed(views))[name]
        start, sheet = 0, []
        for pixels, title, boxes, odd in panels:
            scene = torch.full((len(boxes),), start)
            distances = _distances(look, scene, start + 1 + torch.arange(len(boxes)))
            start += 1 + len(boxes)
            marks = [
                insight.BoxMark(box, f"{'odd ' if strange else ''}{d:.2f}", PURPLE if strange else BLUE)
                for box, d, strange in zip(boxes, distances, odd, strict=True)
            ]
            sheet.append((pixels, title, marks))
        return Picture(
            f"distances-{what}",
            f"Objects and their distance to the scene ({name}). Blue: in context; purple and “odd”: out of context.",
            insight.box_sheet(sheet),
        )

    def _context_section(
        self,
        heading: str,
        text: str,
        found: ContextReport,
        pictures: Sequence[Picture],
        right: dict[str, dict[str, Any]] | None = None,
    ) -> Section:
        first = next(iter(found.auroc))
        header = ["distance", "AUROC", f"{first} minus this"]
        rows = []
        for name, value in found.auroc.items():
            difference, bounds = found.differences.get(name, (None, None))
            less = "" if difference is None else _interval(difference, bounds, "+.3f")
            rows.append([name, _interval(value, found.intervals.get(name), ".3f"), less])
            if right is not None:
                rows[-1].append(_interval(right[name]["share"], right[name]["interval"], ".3f"))
        blocks: list[str | Table | Picture] = [
            text,
            Table([*header, *([] if right is None else ["right pairs"])], rows, frozenset([first])),
            f"{found.objects:,} objects, {found.odd:,} of them out of context. AUROC is the chance that an object out of "
            "context is farther from its scene than one in context: 0.5 is chance. Brackets are 95 % intervals over images; "
            "the differences are paired, and one whose interval holds 0 is a tie.",
        ]
        if right is not None:
            blocks.append(
                "Right pairs: the share of scenes in which the foreign object is farther than the scene's own at its place."
            )
        return Section(f"Out of context: {heading}", [*blocks, *pictures])


def _whole_scene(data: SceneData, preprocessing: Preprocessing, i: int) -> Tensor:
    return scene_and_objects(read_scene(data, i, preprocessing.channels), [], preprocessing)


def _objects(data: SceneData, preprocessing: Preprocessing, i: int) -> Tensor:
    return scene_and_objects(read_scene(data, i, preprocessing.channels), data.boxes[i], preprocessing)


def _pair(pairs: OutOfContext, preprocessing: Preprocessing, i: int) -> Tensor:
    """(4, C, size, size): scene and object of the twin with the scene's own object, then of the one with a foreign one."""
    return torch.cat([scene_and_objects(each.pixels, [each.box], preprocessing) for each in pairs[i]])


def _batches(views: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """The same rows in batches of `size`."""
    waiting: list[Tensor] = []
    for each in views:
        waiting.append(each)
        if sum(map(len, waiting)) >= size:
            *whole, rest = torch.cat(waiting).split(size)
            if len(rest) == size:
                whole, rest = [*whole, rest], rest[:0]
            yield from whole
            waiting = [rest] if len(rest) else []
    if waiting:
        yield torch.cat(waiting)


def _distances(look: _Look, i: Tensor, j: Tensor) -> np.ndarray:
    with torch.no_grad():
        return look.space.distance(look.points[i].double(), look.points[j].double()).numpy()


def _right_pairs(distances: np.ndarray, config: ScenesConfig) -> dict[str, Any]:
    """Of pairs (own, foreign) in a row, the share with the foreign object farther, a tie counting half."""
    own, foreign = distances.reshape(-1, 2).T
    right = (foreign > own) + 0.5 * (foreign == own)
    bounds = class_bootstrap(right[:, None], np.arange(len(right)), draws=config.bootstrap, seed=config.seed)[0]
    return {"share": float(right.mean()), "interval": bounds.tolist()}


def _share(box, pixels: np.ndarray) -> float:
    """Share of the image that a box covers."""
    return (box[2] - box[0]) * (box[3] - box[1]) / (pixels.shape[0] * pixels.shape[1])


def _overlap(box, other) -> float:
    """Share of `box` that `other` covers."""
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    return float(np.prod(np.clip(sides, 0, None)) / np.prod(np.asarray(box[2:]) - np.asarray(box[:2])))


def _squared(pixels: np.ndarray) -> np.ndarray:
    """The middle square."""
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return pixels[top : top + side, left : left + side]


def _norm(name: str) -> str:
    return "encoder norm" if name.startswith("encoder") else f"{name} radius"


def _interval(value: float, bounds: tuple[float, float] | None, form: str) -> str:
    if np.isnan(value):
        return "n/a"
    return format(value, form) + ("" if bounds is None else f" [{bounds[0]:{form}}, {bounds[1]:{form}}]")


def _plain(results: dict[tuple[str, str], LabelUncertainty]) -> list[dict[str, Any]]:
    return [{"labels": what, "norm": norm} | found.to_dict() for (what, norm), found in results.items()]


def _folder(config: ScenesConfig, folder: str | Path | None) -> Path:
    if folder is not None:
        return Path(folder)
    return Run.at(None, "scenes").folder if config.run is None else Path(config.run) / "scenes"
