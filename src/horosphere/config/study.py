"""What is studied, and how a study runs: options of the commands that work on a model from outside."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, Suppress

from ..errors import InputError
from .check import check


@dataclass(frozen=True)
class ModelSource:
    """A model to study: a run's, or an encoder as it is, without the run's training."""

    run: Positional[str | None] = None
    """The folder of a trained run."""
    encoder: str | None = None
    """A timm encoder instead of a run."""
    encoder_options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """With --encoder: options of timm.create_model."""
    checkpoint: str | None = None
    """With --encoder: a local file of its weights."""
    pretrained: bool = False
    """With --encoder: fetch its pretrained weights through timm."""
    size: int | None = None
    """With --encoder: side of the square input, pixels; by default what its weights ask for."""
    mean: tuple[float, ...] | None = None
    """With --encoder: channel means of the input, in [0, 1]; by default what its weights ask for."""
    std: tuple[float, ...] | None = None
    """With --encoder: their standard deviations."""

    def __post_init__(self):
        if (self.run is None) == (self.encoder is None):
            raise InputError("give one model to study: the folder of a run, or --encoder NAME")
        names = ("encoder_options", "checkpoint", "pretrained", "size", "mean", "std")
        useless = [f"--{name.replace('_', '-')}" for name in names if getattr(self, name)]
        if self.run is not None and useless:
            raise InputError(f"{', '.join(useless)} would do nothing here: the run {self.run} brings its own; leave it out")

    def describe(self) -> str:
        """The model in a few words."""
        if self.run is not None:
            return str(self.run)
        weights = (self.checkpoint and Path(self.checkpoint).name) or ("pretrained" if self.pretrained else "random weights")
        return f"{self.encoder}, {weights}"


@dataclass(frozen=True)
class ProbeConfig(ModelSource):
    """How well classes can be told apart from a frozen encoder's output: a linear probe, and a vote of nearest neighbours.

    Both train and judge on the SAME classes. With --data alone these are the set's own train and test splits where they
    share classes; else each class of its test images (or of all its images) is cut in two.

      horosphere probe RUN --data cifar_train.zip --test cifar_test.zip
      horosphere probe --encoder mobilenetv2_100 --checkpoint FILE --data ...     before training, to compare"""

    data: str | None = None
    """Folder, zip or file of the labelled data; a run knows its own."""
    test: str | None = None
    """Folder or zip of the test images, where they are apart; classes are matched by name."""
    layout: str = "auto"
    """How the data are laid out."""
    test_share: float = 0.2
    """Share of each class that is judged on, where a class is cut in two."""
    lr: float = 30.0
    """The published rate, for unnormalised features of contrastive training; other encoders may want less."""
    epochs: int = 100
    batch_size: int = 256
    schedule: Literal["step", "cosine"] = "step"
    """step: a tenth at 60 % and again at 80 % of the epochs, as published; or cosine to 0."""
    weight_decay: float = 0.0
    standardise: bool = False
    """Give each column of the features mean 0 and variance 1 first; not published, but then one rate suits most encoders."""
    neighbours: int = 200
    """Neighbours that vote; at most the number of training images."""
    temperature: float = 0.07
    """A neighbour's vote is exp(cosine / temperature)."""
    bootstrap: int = 1000
    """Draws of test images behind the intervals."""
    seed: int = 0
    json: Path | None = None
    """A JSON file to write the numbers to."""
    workers: int = 2
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self):
        super().__post_init__()
        check(
            "probe",
            layout=(
                self.layout,
                self.layout == "auto" or not (self.data is self.test is None),
                "auto without --data: the run's own data bring theirs",
            ),
            test_share=(self.test_share, 0 < self.test_share < 1, "a share between 0 and 1"),
            lr=(self.lr, self.lr > 0, "a positive number"),
            epochs=(self.epochs, self.epochs >= 1, "1 or more"),
            batch_size=(self.batch_size, self.batch_size >= 1, "1 or more"),
            weight_decay=(self.weight_decay, self.weight_decay >= 0, "0 or more"),
            neighbours=(self.neighbours, self.neighbours >= 1, "1 or more"),
            temperature=(self.temperature, self.temperature > 0, "a positive number"),
            bootstrap=(self.bootstrap, self.bootstrap >= 0, "0 or more"),
        )


@dataclass(frozen=True)
class TransferConfig(ModelSource):
    """Fine-tune the encoder as the backbone of a detector, and score it by COCO's average precision.

    Faster R-CNN with a feature pyramid (--task detection), or Mask R-CNN (--task segmentation, for data with masks). Trains
    on the train split; judges on the test split, or validation where there is no test. Needs the extra detection.

    The defaults are short, for a CPU; the field's 1× schedule on COCO is --side 800 --regions 512 --batch-size 16 --lr 0.02
    --warmup 1000 --steps 90000.

      horosphere transfer RUN --data coco/
      horosphere transfer --encoder NAME --checkpoint FILE --data coco/    the start weights, without the run's training
      horosphere transfer RUN --data coco/ --initial random                the same network from scratch
      horosphere transfer --resume FOLDER                                  after Ctrl-C or a kill: the same weights"""

    kind: Annotated[Literal["transfer"], Suppress] = "transfer"
    data: str = ""
    """Folder, zip or annotation file of images with boxes."""
    layout: str = "auto"
    """coco, voc, or auto."""
    task: Literal["detection", "segmentation"] = "detection"
    initial: Literal["trained", "random"] = "trained"
    """trained: the model's weights; random: drawn anew, and its batch norms train."""
    side: int = 256
    """Shorter side of the images, pixels."""
    longest: int = 1333
    """Longest side of the images, pixels."""
    channels: int = 256
    """Channels of the feature pyramid."""
    regions: int = 128
    """Regions of an image that the second stage learns from."""
    anchor: float = 8.0
    """Side of an anchor over the stride of its feature map; 4 suits small objects."""
    steps: int = 500
    batch_size: int = 4
    lr: float = 0.005
    """In proportion to the batch: 0.005 at 4 is the usual 0.02 at 16."""
    weight_decay: float = 1e-4
    warmup: int = 50
    """Steps of linear warm-up."""
    schedule: Literal["step", "cosine"] = "step"
    """step: a tenth at 8/12 and again at 11/12 of the steps, as published; or cosine to 0."""
    clip_norm: float | None = 10.0
    """Largest gradient norm; only the first steps of a new network come near it."""
    checkpoint_every: int = 100
    """Steps between checkpoints."""
    log_every: int = 10
    """Steps between lines of metrics.jsonl."""
    seed: int = 0
    workers: int = 2
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self):
        super().__post_init__()
        if not self.data:
            raise InputError("give the images with boxes: --data FOLDER or ZIP")
        check(
            "transfer",
            side=(self.side, self.side >= 32, "pixels, 32 or more"),
            longest=(self.longest, self.longest >= self.side, "pixels, at least the shorter side"),
            channels=(self.channels, self.channels >= 1, "1 or more"),
            regions=(self.regions, self.regions >= 1, "1 or more"),
            anchor=(self.anchor, self.anchor > 0, "a positive number"),
            steps=(self.steps, self.steps >= 1, "1 or more"),
            batch_size=(self.batch_size, self.batch_size >= 1, "1 or more"),
            lr=(self.lr, self.lr > 0, "a positive number"),
            weight_decay=(self.weight_decay, self.weight_decay >= 0, "0 or more"),
            warmup=(self.warmup, self.warmup >= 0, "0 or more"),
            clip_norm=(self.clip_norm, self.clip_norm is None or self.clip_norm > 0, "a positive number, or nothing"),
            checkpoint_every=(self.checkpoint_every, self.checkpoint_every >= 1, "1 or more"),
            log_every=(self.log_every, self.log_every >= 1, "1 or more"),
        )


@dataclass(frozen=True)
class ScenesConfig(ModelSource):
    """What radius and distance say about scenes: label uncertainty, and objects out of context.

    Label uncertainty: does the norm of an image grow with the number of its labels? Out of context: is an object that does
    not belong farther from its scene? Each is beside its control, cosine or the encoder's own norm. Prints the numbers and
    writes scenes.json, scenes.md, scenes.html and the pictures.

      horosphere scenes RUN --data coco/                            boxes are the labels; objects are pasted to be found
      horosphere scenes RUN --data coco/ --context sun09/           and objects that someone marked as out of context
      horosphere scenes RUN --data val/ --real real.json            ImageNet's validation images with their ReaL labels
      horosphere scenes RUN --data photos/ --layout folder          labelled images: the least and largest norms of a class
      horosphere scenes --encoder NAME --checkpoint FILE --data coco/      without the run's training"""

    data: str = ""
    """Folder or zip: images with boxes, or labelled images, or with --real a folder of images."""
    layout: str = "auto"
    """auto, coco, voc or openimages for boxes; for labelled images folder, cub, ... (see horosphere evaluate --help)."""
    split: Literal["all", "train", "validation", "test"] = "all"
    """Which images."""
    real: str | None = None
    """The JSON file of ReaL labels: a list of labels for each of ImageNet's validation images."""
    context: str | None = None
    """Folder or zip with images and one table of boxes that says which are out of context."""
    least: float = 56.0
    """Least side of a box that is pasted or covered, pixels; 28 suits images of 320 pixels."""
    bootstrap: int = 1000
    """Draws of images behind the intervals."""
    seed: int = 0
    batch_size: int = 64
    workers: int = 2
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self):
        super().__post_init__()
        if not self.data:
            raise InputError("give the images: --data FOLDER or ZIP")
        check(
            "scenes",
            layout=(
                self.layout,
                self.real is None or self.layout == "auto",
                "auto with --real: its images are a plain folder",
            ),
            least=(self.least, self.least > 0, "pixels, above 0"),
            bootstrap=(self.bootstrap, self.bootstrap >= 1, "1 or more"),
            batch_size=(self.batch_size, self.batch_size >= 1, "1 or more"),
        )
