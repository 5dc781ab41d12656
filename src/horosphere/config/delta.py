"""What `horosphere delta` is asked."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from ..errors import InputError
from .check import check
from .explain import PointsConfig, is_points_file
from .retrieval import Precision


@dataclass(frozen=True)
class DeltaConfig:
    """How hyperbolic embeddings are: relative delta with an interval, and the curvature it suggests (Hyp-ViT, Table 1).

    Of encoders the output for the training images, un-normalised, by Euclidean distance; of a run that and its points in
    their space; of a file its features, or its points in their space. 0 is a tree, 1 the least hyperbolic. Prints a table,
    with the paper's number beside its own encoders and data sets.

      horosphere delta --data CUB_200_2011/                     the paper's three encoders, whose weights timm fetches
      horosphere delta --encoder NAME --checkpoint FILE --data photos.zip
      horosphere delta runs/demo features.npz"""

    targets: Positional[tuple[Path, ...]] = ()
    """Folders of runs, and files of features or points (.npz or .safetensors)."""
    encoder: tuple[str, ...] = ()
    """timm encoders; by default, with --data and no target, the paper's three with their pretrained weights."""
    encoder_options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """With --encoder: options of timm.create_model."""
    checkpoint: str | None = None
    """With one --encoder: a local file of its weights."""
    pretrained: bool = False
    """With --encoder: fetch the pretrained weights through timm."""
    data: str | None = None
    """Folder, zip or file of the images; a run knows its own. All images count where there is no training split."""
    layout: str = "auto"
    """With --data: how it is laid out."""
    layout_options: dict[str, int | str] = field(default_factory=dict)
    """With --data: options of its layout, such as train_classes 80."""
    size: int | None = None
    """Of encoders: side of the square input, pixels; by default what the weights ask for."""
    resize: int | None = None
    """Of encoders: shorter side before the centre crop, pixels."""
    mean: tuple[float, ...] | None = None
    """Of encoders: channel means of the input, in [0, 1]."""
    std: tuple[float, ...] | None = None
    """Of encoders: their standard deviations."""
    points: Annotated[PointsConfig, arg(name="")] = field(default_factory=PointsConfig)
    samples: int = 2000
    """Points of a draw."""
    draws: int = 100
    """Draws that the value is the mean of."""
    base_points: int = 1
    """Base points of a draw, of which the largest delta counts; the paper has one."""
    seed: int = 0
    json: Path | None = None
    """A JSON file to write the numbers to."""
    batch_size: int = 64
    precision: Precision = "32-true"
    """What the encoder computes in."""
    workers: int = 2
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self):
        if not (self.targets or self.encoder or self.data):
            raise InputError(
                "give something to measure: a run, a file of features or points, or images with --data, for which the "
                "paper's encoders are the default"
            )
        if self.encoder and not self.data:
            raise InputError(f"--encoder {' '.join(self.encoder)} needs images: give --data FOLDER or ZIP")
        if self.checkpoint and len(self.encoder) > 1:
            raise InputError(
                f"--checkpoint is one encoder's; given: {', '.join(self.encoder)}. Give one --encoder at a time"
            )
        files = [path for path in self.targets if is_points_file(path)]
        self._refuse(not self.encoder, "without --encoder", "encoder_options", "checkpoint", "pretrained")
        self._refuse(self.targets and not self.encoder, "without an encoder", "size", "resize", "mean", "std")
        self._refuse(len(files) == len(self.targets) > 0 and not self.encoder, "for files", "data")
        self._refuse(self.data is None, "without --data", "layout", "layout_options")
        self._refuse(not files, "without a file of points", "points")
        check(
            "delta",
            samples=(self.samples, self.samples >= 4, "4 or more"),
            draws=(self.draws, self.draws >= 1, "1 or more"),
            base_points=(self.base_points, self.base_points >= 1, "1 or more"),
            batch_size=(self.batch_size, self.batch_size >= 1, "1 or more"),
        )

    def _refuse(self, unread: object, where: str, *names: str) -> None:
        """Raise InputError where an option is given that nothing will read."""
        for name in names if unread else ():
            if getattr(self, name) not in (None, False, {}, "auto", PointsConfig()):
                option = "space, --curvature and --clip" if name == "points" else name.replace("_", "-")
                raise InputError(f"--{option} would do nothing here, {where}; leave it out")
