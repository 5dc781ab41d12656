"""What `horosphere explain` is asked, and how files of points are read."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from .check import check

SectionName = Literal["telemetry", "neighbours", "negatives", "radius", "hierarchy", "disk", "delta"]


@dataclass(frozen=True)
class PointsConfig:
    """Where the rows of a file live."""

    space: Literal["sphere", "cosine", "euclidean", "hyperbolic", "poincare", "lorentz"] | None = None
    """What the rows of a file of points are, if the file does not say. sphere: unit vectors; cosine: any vectors, of which
    the direction counts; euclidean: any vectors; hyperbolic: clipped tangent vectors at the origin, as this package keeps
    them; poincare: coordinates in the ball of radius 1/sqrt(c); lorentz: coordinates on the hyperboloid, time first."""
    curvature: float = 0.1
    """With --space hyperbolic, poincare or lorentz: c > 0, of sectional curvature -c."""
    clip: float | None = 2.3
    """With --space hyperbolic: the clip."""

    def __post_init__(self):
        curved, own = self.space in ("hyperbolic", "poincare", "lorentz"), PointsConfig
        check(
            "points",
            curvature=(self.curvature, curved or self.curvature == own.curvature, "none without a hyperbolic --space"),
            clip=(self.clip, self.space == "hyperbolic" or self.clip == own.clip, "none without --space hyperbolic"),
        )


def is_points_file(target: Path | None) -> bool:
    """Whether a target is a file of points or features, and not a run."""
    return target is not None and target.suffix in (".npz", ".safetensors")


@dataclass(frozen=True)
class ExplainConfig:
    """See what the geometry does: a page of numbers and pictures, of a run or of any file of points.

    telemetry    how the geometry fared while training, with warnings and what to try
    neighbours   best and worst queries with their nearest images under each geometry
    negatives    the weight p(x-) of each negative, and each geometry's hardest negatives
    radius       what the distance to the origin says: correctness, depth in a tree of labels, typical images
    hierarchy    the tree that the points mean, against the true one
    disk         the points in the Poincare disk
    delta        delta-hyperbolicity, and the curvature that it suggests

    Writes report.html (all in one file), report.md, each picture as PNG and SVG, and explain.json.

      horosphere explain runs/demo
      horosphere explain runs/demo --sections disk radius
      horosphere explain points.npz --space poincare --curvature 1     points of another library, with labels if it has"""

    target: Positional[Path]
    """A run's folder, or a file of points (.npz or .safetensors)."""
    output: Annotated[Path | None, arg(aliases=["-o"])] = None
    """Folder to write to; by default explain/ in the run's folder, or NAME-explain beside the file."""
    sections: tuple[SectionName, ...] = ("telemetry", "neighbours", "negatives", "radius", "hierarchy", "disk", "delta")
    """What to explain."""
    points: Annotated[PointsConfig, arg(name="")] = PointsConfig()
    data: str | None = None
    """Other labelled images to explain a run on, their test split: a folder, zip or file."""
    data_layout: str = "auto"
    """With --data: how it is laid out."""
    data_options: dict[str, int | str] = field(default_factory=dict)
    """With --data: options of its layout, such as train_classes 80."""
    temperatures: tuple[float, ...] = (0.05, 0.2)
    """At which the negatives are weighed: HypMix's two. A run's own are added, where its loss is pairwise."""
    anchors: int = 1000
    """Anchors whose negatives are weighed."""
    samples: int = 2000
    """Points of a draw, of which delta is taken."""
    draws: int = 10
    """Draws that delta is the mean of; the papers take 100."""
    layout: Literal["stress", "umap"] = "stress"
    """How the disk is laid out: by the least distance stress, or by UMAP (needs the extra umap)."""
    disk_points: int = 2000
    """Points in the disk."""
    tree: Path | None = None
    """A JSON file with a tree over the classes, in place of the data set's superclasses."""
    tree_names: dict[str, str] = field(default_factory=dict)
    """With --tree: the node of each class that is called something else there, such as couch sofa boy male_child."""
    train_images: int = 10_000
    """At most so many training images are embedded, where a section compares with them."""
    bootstrap: int = 1000
    """Draws behind the intervals."""
    seed: int = 0
    batch_size: int = 64
    workers: int = 2
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self):
        whole = {name: getattr(self, name) for name in ("anchors", "draws", "train_images", "bootstrap", "batch_size")}
        check(
            "explain",
            sections=(self.sections, len(self.sections) > 0, "one or more"),
            temperatures=(self.temperatures, min(self.temperatures, default=0) > 0, "positive numbers"),
            data_layout=(self.data_layout, self.data_layout == "auto" or self.data is not None, "auto without --data"),
            data_options=(self.data_options, not self.data_options or self.data is not None, "none without --data"),
            tree_names=(self.tree_names, not self.tree_names or self.tree is not None, "none without --tree"),
            samples=(self.samples, self.samples >= 4, "4 or more"),
            disk_points=(self.disk_points, self.disk_points >= 10, "10 or more"),
            **{name: (value, value >= 1, "1 or more") for name, value in whole.items()},
        )
