"""The config of a retrieval run: a labelled data set, an encoder with heads, a space, a loss."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from ..errors import InputError
from .check import check
from .losses import LossConfig, PairwiseConfig

#: What the encoder computes in; mixed: float32 weights, half-precision products. 16-mixed needs a GPU.
Precision = Literal["32-true", "16-mixed", "bf16-mixed"]


@dataclass(frozen=True)
class Augmentation:
    """How a training view differs from the evaluation view."""

    scale: tuple[float, float] = (0.2, 1.0)
    """Share of the image's area in a random crop; (1, 1) keeps the framing of the evaluation view."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Width over height of a random crop."""
    flip: bool = True
    """Mirror one view in two."""
    rotation: float = 0.0
    """Largest rotation, degrees; drawn uniformly both ways, like shear and translation."""
    translation: float = 0.0
    """Largest shift, as a share of the side."""
    shear: float = 0.0
    """Largest shear, degrees."""
    fill: Literal["white", "black", "edge"] = "white"
    """What comes in from outside when a view is moved."""

    def __post_init__(self):
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise InputError(f"scale {self.scale}; expected two shares of the area, 0 < smallest <= largest <= 1.")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise InputError(f"ratio {self.ratio}; expected two positive numbers, smallest first.")
        if not (0 <= self.rotation <= 180 and 0 <= self.shear < 90 and 0 <= self.translation <= 1):
            raise InputError(
                f"rotation {self.rotation}, shear {self.shear}, translation {self.translation}; expected 0 to 180 degrees, "
                "0 to below 90 degrees, and a share of the side from 0 to 1."
            )
        if self.fill not in ("white", "black", "edge"):
            raise InputError(f"fill {self.fill!r}; expected white, black or edge.")

    @property
    def crops(self) -> bool:
        """Whether views are random crops."""
        return self.scale != (1, 1)

    @property
    def moves(self) -> bool:
        """Whether views are rotated, sheared or translated."""
        return bool(self.rotation or self.shear or self.translation)


@dataclass(frozen=True)
class DataConfig:
    """Which images, and how they are split and seen."""

    layout: str = "auto"
    """How the data set is laid out: cub, cars, sop, inshop, omniglot, folder, table, features, digits, or auto."""
    root: str | None = None
    """Folder, zip (read in place) or file of the data set."""
    options: dict[str, int | str] = field(default_factory=dict)
    """Options of the layout: train_classes (how many, in sorted order) for folder, table and features; for table the columns
    image, label, split and superclasses (comma-separated)."""
    resize: int | None = None
    """Shorter side before the centre crop, pixels; by default what the encoder's weights ask for."""
    size: int | None = None
    """Side of the square input, pixels; by default what the encoder's weights ask for."""
    grey: bool = False
    """One channel instead of three."""
    mean: tuple[float, ...] | None = None
    """Mean of the channels in [0, 1]; by default what the encoder's weights ask for."""
    std: tuple[float, ...] | None = None
    """Their standard deviation."""
    augmentation: Augmentation = Augmentation()
    cache_encodings: bool = False
    """Run a wholly frozen encoder once over the evaluation views, keep its output, and train the head alone."""
    decoded: Literal["no", "memory", "disk"] = "no"
    """Decode the training images once and keep their pixels in memory, or in a file of the cache folder that later runs and
    several processes share; for data sets whose pixels fit there."""
    validation_fraction: float = 0.25
    """Share of the training classes that is held out when the run is judged on validation."""
    validation_seed: int = 0
    """Which classes are held out."""

    def __post_init__(self):
        share = self.validation_fraction
        check("data", validation_fraction=(share, 0 < share < 1, "a share between 0 and 1"))
        for name in ("size", "resize"):
            value = getattr(self, name)
            check("data", **{name: (value, value is None or value >= 1, "pixels, 1 or more")})


@dataclass(frozen=True)
class ModelConfig:
    """The encoder and its head."""

    encoder: str | None = "vit_small_patch16_224.dino"
    """A timm model, with its pretrained tag; None where the data are features."""
    encoder_options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Options of timm.create_model."""
    pretrained: bool = False
    """Fetch the pretrained weights through timm."""
    checkpoint: str | None = None
    """A local file of encoder weights instead (.safetensors, or a .pth of tensors alone)."""
    freeze: int | Literal["patch", "norms", "none", "all"] = "patch"
    """What stays frozen: the patch embedding, the batch norms with their statistics, nothing, everything, or the patch
    embedding and the first n blocks."""
    dim: int = 128
    """Features of a head."""
    heads: Literal["shared", "split"] = "shared"
    """One head for all parts of the space, or one a part."""
    normalise_encoding: Literal["none", "l2", "layer"] = "none"
    """What happens to the encoder's output before the head; layer is a LayerNorm without parameters."""

    def __post_init__(self):
        check("model", dim=(self.dim, self.dim >= 1, "1 or more"))


@dataclass(frozen=True)
class PartConfig:
    """One geometry of the space."""

    kind: Literal["sphere", "hyperbolic", "euclidean"] = "sphere"
    weight: float = 1.0
    """Its weight in the mixture's distance."""
    curvature: float = 0.1
    """Hyperbolic: c > 0; the sectional curvature is -c."""
    clip: float | None = 2.3
    """Hyperbolic: largest norm of a point."""
    clipping: Literal["hard", "soft"] = "hard"
    radius: float | None = None
    """Hyperbolic: one norm for every point instead of the clip, which makes distance a function of cosine."""
    learnable_curvature: bool = False


@dataclass(frozen=True)
class SpaceConfig:
    """Where embeddings live: one geometry, or the weighted sum of several."""

    parts: tuple[PartConfig, ...] = (PartConfig(),)
    learnable_weights: bool = False


@dataclass(frozen=True)
class BatchConfig:
    """A batch: N classes with d images each."""

    classes: int = 100
    images: int = 9
    chunk: int | None = None
    """Images that go through the encoder at a time, in each process; nothing: its whole batch. Less memory for a third more
    time, and the same gradients."""

    def __post_init__(self):
        check(
            "batch",
            classes=(self.classes, self.classes >= 2, "2 or more"),
            images=(self.images, self.images >= 2, "2 or more"),
            chunk=(self.chunk, self.chunk is None or self.chunk >= 1, "1 or more, or nothing"),
        )


@dataclass(frozen=True)
class OptimiserConfig:
    """The optimiser, its schedule and its clipping."""

    name: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-5
    weight_decay: float = 0.01
    clip_norm: float | None = 3.0
    """Largest gradient norm, after unscaling."""
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: int = 0
    """Steps of linear warm-up."""
    momentum: float = 0.9
    """Of sgd."""
    frozen_steps: int = 0
    """Steps at the start in which the encoder stands still; heads, space and proxies learn."""

    def __post_init__(self):
        check(
            "optimiser",
            lr=(self.lr, self.lr > 0, "a positive number"),
            weight_decay=(self.weight_decay, self.weight_decay >= 0, "0 or more"),
            clip_norm=(self.clip_norm, self.clip_norm is None or self.clip_norm > 0, "a positive number, or nothing"),
            warmup=(self.warmup, self.warmup >= 0, "0 or more"),
            momentum=(self.momentum, 0 <= self.momentum < 1, "a number from 0 to below 1"),
            frozen_steps=(self.frozen_steps, self.frozen_steps >= 0, "0 or more"),
        )


@dataclass(frozen=True)
class LoopConfig:
    """How any loop runs."""

    steps: int = 200
    precision: Precision = "32-true"
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: Annotated[int, tyro.conf.arg(aliases=["--devices"])] = 1
    """Processes, one a device; under torchrun, what torchrun says."""
    workers: int = 2
    """Processes that decode images, for each device."""
    log_every: int = 10
    """Steps between lines of metrics.jsonl."""
    checkpoint_every: int = 100
    """Steps between checkpoints."""
    profile: Annotated[bool, tyro.conf.arg(aliases=["--profile"])] = False
    """Time the parts of each step: a table at the end, and profile.json in the run's folder."""

    def __post_init__(self):
        for name in ("steps", "devices", "log_every", "checkpoint_every"):
            value = getattr(self, name)
            check("training", **{name: (value, value >= 1, "1 or more")})
        check("training", workers=(self.workers, self.workers >= 0, "0 or more"))


@dataclass(frozen=True)
class TrainingConfig(LoopConfig):
    """How the loop runs."""

    validate_every: int = 0
    """Steps between evaluations on the held-out classes; needs a run judged on validation."""

    def __post_init__(self):
        super().__post_init__()
        check("training", validate_every=(self.validate_every, self.validate_every >= 0, "0 or more"))


@dataclass(frozen=True)
class EvaluationConfig:
    """How the run is judged."""

    judge: Literal["test", "validation"] = "test"
    """test: train on all training classes and read the test classes once. validation: hold a quarter of the training classes
    out (or take the data set's own validation split) and judge on them; every choice is made there."""
    ks: tuple[int, ...] = (1, 2, 4, 8)
    """Recall@K."""
    rank_by: str = "mixture"
    """What the headline number ranks by: the whole space, or the name of one part."""
    bootstrap: int = 1000
    """Draws of classes behind the confidence intervals."""
    batch_size: int = 64
    precision: Precision = "32-true"
    """What embedding computes in."""

    def __post_init__(self):
        check(
            "evaluation",
            ks=(self.ks, len(self.ks) > 0 and min(self.ks) >= 1, "whole numbers of 1 or more"),
            bootstrap=(self.bootstrap, self.bootstrap >= 0, "0 or more"),
            batch_size=(self.batch_size, self.batch_size >= 1, "1 or more"),
        )


@dataclass(frozen=True)
class Config:
    """One run, whole: the same config and seed give the same weights on the same kind of machine."""

    kind: Annotated[Literal["retrieval"], tyro.conf.Suppress] = "retrieval"
    recipe: str = ""
    """The recipe that this config came from."""
    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    space: SpaceConfig = SpaceConfig()
    loss: Annotated[LossConfig, tyro.conf.AvoidSubcommands] = field(default_factory=PairwiseConfig)
    batch: BatchConfig = BatchConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
