"""The section on the Poincaré disk: all points in one picture, with images where there is room, and seen from one class."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import insight
from ..config import ExplainConfig
from ..evaluation import LabelTree
from ..insight.disk import (
    DiskLayout,
    DiskPanel,
    LayoutQuality,
    coincide,
    group_styles,
    hyperbolic_parts,
    own_curvature,
    unit_disk,
)
from ..report.document import Picture, Section, Table
from ..spaces import Space
from .labels import groups_of, tree_of
from .subject import NotHere, Subject

#: A class needs so many points to be seen from, and so many others are named around it.
_ENOUGH, _AROUND = 5, 6
#: What chose the curvature, in words.
_CHOSEN = {
    "space": "the model's own, at which the layout has about the least stress of all",
    "stress": "the one whose layout has the least stress",
    "most curved": "the most curved that keeps the points off the boundary; it says nothing of the data's curvature",
    "flattest": "the flattest that was tried; it says nothing of the data's curvature",
    "fit": "by the factor that fits the picture's distances best; it says nothing of the data's curvature",
}


@dataclass(frozen=True, eq=False)
class _Part:
    """Points drawn from a subject: their positions in it, the words for them, and what each is coloured by."""

    title: str
    subject: Subject
    chosen: np.ndarray
    groups: np.ndarray

    @property
    def points(self) -> Tensor:
        return self.subject.points[torch.from_numpy(self.chosen)]

    @property
    def labels(self) -> np.ndarray:
        return self.subject.labels[self.chosen]


def disk(subject: Subject, options: ExplainConfig, progress: bool) -> Section:
    """The points in the Poincaré disk, by least stress or by UMAP, and how far the picture can be trusted."""
    if len(subject) < 5:
        raise NotHere(f"{len(subject)} points make no picture; it needs five or more")
    tree = tree_of(subject.classes, subject.superclasses, options)
    parts, what = _parts(subject, options, tree)
    space, points = subject.space, torch.cat([part.points for part in parts])
    if coincide(points):
        raise NotHere(
            f"all points coincide: {len(points):,} images have one embedding, so the model has collapsed; the telemetry "
            "shows when, and a smaller learning rate may help"
        )
    lay_out = insight.umap_layout if options.layout == "umap" else insight.stress_layout
    layout = lay_out(space, points, seed=options.seed, progress=progress)
    plane = insight.flat_layout(space, points, seed=options.seed, progress=progress)
    quality = insight.layout_quality(space, points, layout.z, seed=options.seed)
    flat = insight.layout_quality(space, points, plane, flat=True, seed=options.seed)
    panels, styles = _panels(parts, layout, tree), group_styles(part.groups for part in parts)
    name = "UMAP" if options.layout == "umap" else "least stress"
    caption = f"The Poincaré disk, by {name}. Dashed circles: distance to the centre, in the model's units."
    if len(parts) > 1:
        caption += " Both sets are laid out together, in the same coordinates."
    if panels[-1].tree is not None:
        caption += " Lines are geodesics from each class's mean to that of its superclass, and on to the root."
    rows = {f"Poincaré disk, {name}": quality, "flat plane, least stress": flat}
    pictures = [Picture("disk", caption, insight.draw_disks(panels, layout.scale, what=what, styles=styles))]
    numbers = {
        "layout": options.layout,
        "points": len(points),
        **_about(space, layout),
        "disk": quality.to_dict(),
        "flat": flat.to_dict(),
    }
    for part, own, own_points in hyperbolic_parts(space, points):
        if coincide(own_points):
            continue
        alone = insight.stress_layout(own, own_points, seed=options.seed, progress=progress)
        kept = insight.layout_quality(own, own_points, alone.z, seed=options.seed)
        rows[f"Poincaré disk of the part {part} alone, least stress"] = kept
        numbers[f"disk_{part}"] = _about(own, alone) | kept.to_dict()
        figure = insight.draw_disks(_panels(parts, alone, tree), alone.scale, what=what, styles=styles)
        pictures.append(Picture(f"disk-{part}", _alone(part, own, alone, kept), figure))
    blocks: list[str | Table | Picture] = [_reading(space, layout, quality), _table(rows), *pictures]
    if subject.image is not None:
        picture, numbers["images"] = _images(subject, parts[-1], panels[-1], layout, what, options.seed, styles)
        blocks.append(picture)
    if (seen := _seen_from(parts[-1], panels[-1].z, layout, styles)) is not None:
        picture, numbers["seen_from"] = seen
        blocks.append(picture)
    shepard = insight.draw_shepard(
        [
            (f"disk, {name}: stress {quality.stress:.2f}", quality.found, quality.wanted),
            (f"flat plane: stress {flat.stress:.2f}", flat.found, flat.wanted),
        ]
    )
    caption = "Distances in the picture against those in the model, of pairs by lot: on the line they are equal."
    blocks.append(Picture("disk-distances", caption, shepard))
    return Section("The Poincaré disk", blocks, numbers)


def _parts(subject: Subject, options: ExplainConfig, tree: LabelTree | None) -> tuple[list[_Part], str]:
    """What is drawn, the judged points last, with a word for what colours them."""
    subjects = [("judged images", subject)]
    if subject.train is not None and len(subject.train):
        subjects.insert(0, ("training images", subject.train))
    rng, parts, what = np.random.default_rng(options.seed), [], "classes"
    for title, own in subjects:
        most = options.disk_points // len(subjects)
        chosen = np.sort(rng.permutation(len(own))[:most])
        groups, what = _groups(own, own.labels[chosen], tree)
        parts.append(_Part(title, own, chosen, groups))
    return parts, what


def _of(part: _Part) -> str:
    drawn, all_points = len(part.chosen), len(part.subject)
    return f"{drawn:,}" if drawn == all_points else f"{drawn:,} of {all_points:,}"


def _panels(parts: list[_Part], layout: DiskLayout, tree: LabelTree | None) -> list[DiskPanel]:
    """A panel of each part, from a layout of all."""
    found = np.split(layout.z, np.cumsum([len(part.chosen) for part in parts])[:-1])
    panels = []
    for part, z in zip(parts, found, strict=True):
        over = None if tree is None else insight.disk_tree(z, part.labels, tree)
        panels.append(DiskPanel(f"{part.title} (n = {_of(part)})", z, part.groups, over))
    return panels


def _groups(subject: Subject, labels: np.ndarray, tree: LabelTree | None) -> tuple[np.ndarray, str]:
    """Of each point the name of its class, or of its superclass where these tell points apart; and which it is."""
    groups = groups_of(subject.classes, subject.superclasses, tree, labels)
    if groups is not None:
        return np.array(groups), "superclasses"
    return np.array(subject.classes)[labels], "classes"


def _about(space: Space, layout: DiskLayout) -> dict:
    """The numbers of a layout: c and what chose it, the space's own c where it has one, and the centre."""
    return {
        "curvature": layout.curvature,
        "curvature_chosen": layout.chosen,
        "own_curvature": own_curvature(space),
        "centre": layout.centre,
    }


def _curvature(space: Space, layout: DiskLayout) -> str:
    """c, and what chose it."""
    own = own_curvature(space)
    if own is None or layout.chosen == "space":
        return f"c = {layout.curvature:.3g}, {_CHOSEN[layout.chosen]}. "
    return f"c = {layout.curvature:.3g} (the model's own: {own:.3g}), {_CHOSEN[layout.chosen]}. "


def _centre(layout: DiskLayout, quality: LayoutQuality) -> str:
    """What is at the centre, and whether the distance to it says something."""
    if layout.centre == "origin":
        words = "The centre is the origin. "
    else:
        words = "The centre is the points' mean, because the space has no one origin, or the radius hardly varies. "
    if quality.radius is not None:
        warning = "" if quality.radius > 0.7 else ", so that a place near the centre does not mean a small radius"
        words += f"Distance to the centre ranks as the radius does with correlation {quality.radius:.2f}{warning}. "
    return words


def _reading(space: Space, layout: DiskLayout, quality: LayoutQuality) -> str:
    """What the picture is, and what may be read off it."""
    return (
        "The space's distances, whatever its parts, are laid out in the hyperbolic plane of curvature −c, "
        f"{_curvature(space, layout)}{_centre(layout, quality)}"
        f"Two dimensions cannot hold what many can: of a point's ten nearest, {100 * quality.neighbours:.0f} % are "
        "among its ten nearest in the picture. Kruskal called a stress of 0.05 good, 0.1 fair and 0.2 poor, after a "
        "monotone fit of the distances; here the fit is one factor, so values are larger. Where they are, read groups off "
        "the picture and not single distances."
    )


def _alone(name: str, space: Space, layout: DiskLayout, quality: LayoutQuality) -> str:
    """The caption of a part's own disk."""
    return (
        f"The part {name} alone, without the rest of the mixture: its own distances, in its own units, in the hyperbolic "
        f"plane of curvature −c, {_curvature(space, layout)}{_centre(layout, quality)}"
    ).strip()


def _table(rows: dict[str, LayoutQuality]) -> Table:
    def row(words: str, of: LayoutQuality) -> list[str]:
        ranks = ["" if value is None else f"{value:.3f}" for value in (of.distances, of.radius)]
        return [words, f"{of.stress:.3f}", *ranks, f"{100 * of.neighbours:.1f}"]

    header = ["layout", "stress", "rank corr. of distances", "of radius", "neighbours kept, %"]
    return Table(header, [row(words, of) for words, of in rows.items()])


def _images(
    subject: Subject, part: _Part, panel: DiskPanel, layout: DiskLayout, what: str, seed: int, styles: dict[str, int]
) -> tuple[Picture, int]:
    """The judged points as images, and how many there was room for."""
    read = subject.image
    assert read is not None  # the caller asked
    figure, count = insight.draw_thumbnails(
        panel, lambda position: read(int(part.chosen[position])), layout.scale, what=what, seed=seed, styles=styles
    )
    caption = (
        f"The same, with {count:,} of the images: drawn by lot, each where it has room. Frames have the colours of {what}."
    )
    return Picture("disk-images", caption, figure), count


def _seen_from(part: _Part, z: np.ndarray, layout: DiskLayout, styles: dict[str, int]) -> tuple[Picture, str] | None:
    """The disk moved so that the tightest class is its centre, and that class's name; None where all classes are tiny."""
    names = np.array(part.subject.classes)[part.labels]
    found, counts = np.unique(names, return_counts=True)
    if counts.max() < _ENOUGH:  # hundreds of classes: their superclasses have points enough
        names = part.groups
        found, counts = np.unique(names, return_counts=True)
    if counts.max() < _ENOUGH or len(found) < 2:
        return None
    centres = np.array([unit_disk.mean(z[names == name]) for name in found])
    width = [unit_disk.distance(centre, z[names == name]).mean() for name, centre in zip(found, centres, strict=True)]
    focus = int(np.argmin(np.where(counts >= _ENOUGH, width, np.inf)))
    near = found[np.argsort(unit_disk.distance(centres[focus], centres))[: 1 + _AROUND]]
    shown = np.where(np.isin(names, near), names, "")
    name = str(found[focus])
    panels = [
        DiskPanel("as laid out", z, shown),
        DiskPanel(f"seen from {name}", unit_disk.recentre(z, centres[focus]), shown),
    ]
    caption = (
        f"{name}, whose points lie closest together, and the {len(near) - 1} nearest to it in the picture. Right: the disk "
        f"is moved by an isometry that takes the mean of {name} to the centre. No distance changes; what was small near the "
        "boundary is large now."
    )
    known = {name: styles[name] for name in near.tolist() if name in styles}
    figure = insight.draw_disks(panels, layout.scale, styles=group_styles([shown], known))
    return Picture("disk-recentred", caption, figure), name
