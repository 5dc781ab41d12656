"""Everything that a run depends on, as plain dataclasses. Imports no torch, so that the command line stays quick.

A run saves its complete config as YAML; `read` takes it back strictly: an unknown key, or a value of another type, is an
error.
"""

import dataclasses
import difflib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
import yaml

from .errors import InputError
from .files import write_text

#: What the encoder computes in; mixed: float32 weights, half-precision products. 16-mixed needs a GPU.
Precision = Literal["32-true", "16-mixed", "bf16-mixed"]


def _check(section: str, **values: tuple[object, bool, str]) -> None:
    """Raise InputError for the first value whose condition does not hold: name=(value, condition, what was expected)."""
    for name, (value, holds, expected) in values.items():
        if not holds:
            raise InputError(f"{section}.{name} is {value}; expected {expected}")


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
        _check("data", validation_fraction=(share, 0 < share < 1, "a share between 0 and 1"))
        for name in ("size", "resize"):
            value = getattr(self, name)
            _check("data", **{name: (value, value is None or value >= 1, "pixels, 1 or more")})


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
    freeze: int | Literal["patch", "none", "all"] = "patch"
    """What stays frozen: the patch embedding, nothing, everything, or the patch embedding and the first n blocks."""
    dim: int = 128
    """Features of a head."""
    heads: Literal["shared", "split"] = "shared"
    """One head for all parts of the space, or one a part."""
    normalise_encoding: Literal["none", "l2", "layer"] = "none"
    """What happens to the encoder's output before the head; layer is a LayerNorm without parameters."""

    def __post_init__(self):
        _check("model", dim=(self.dim, self.dim >= 1, "1 or more"))


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
class LossConfig:
    """Pairwise cross-entropy (Hyp-ViT, Eq. 5)."""

    temperature: float = 0.2
    """The sphere's distance is 2 - 2 cosine: a published cosine/0.1 is 0.2 here."""
    reduction: Literal["mean", "published"] = "mean"
    """published is the published code's scale: d(d - 1) times the mean."""
    negatives: Literal["subsets", "batch"] = "subsets"
    """subsets as published, with d - 1 other subsets of d images a class; batch: every image of another class."""
    mixing: Literal["distances", "losses"] = "distances"
    """A mixture sums distances in one softmax (HypMix, Eq. 10), or one loss a part, with the parts' weights as shares."""
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    """Of the distances' inner products. On a GPU with Triton tf32 and bf16 are faster, and off by up to 1e-3 and 8e-3 of the
    norms' product."""
    part_temperatures: tuple[float, ...] = ()
    """With mixing losses: one temperature a part."""


@dataclass(frozen=True)
class BatchConfig:
    """A batch: N classes with d images each."""

    classes: int = 100
    images: int = 9
    chunk: int | None = None
    """Images that go through the encoder at a time, in each process; nothing: its whole batch. Less memory for a third more
    time, and the same gradients."""

    def __post_init__(self):
        _check(
            "batch",
            classes=(self.classes, self.classes >= 2, "2 or more"),
            images=(self.images, self.images >= 2, "2 or more"),
            chunk=(self.chunk, self.chunk is None or self.chunk >= 1, "1 or more, or nothing"),
        )


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW, its schedule and its clipping."""

    lr: float = 1e-5
    weight_decay: float = 0.01
    clip_norm: float | None = 3.0
    """Largest gradient norm, after unscaling."""
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: int = 0
    """Steps of linear warm-up."""

    def __post_init__(self):
        _check(
            "optimiser",
            lr=(self.lr, self.lr > 0, "a positive number"),
            weight_decay=(self.weight_decay, self.weight_decay >= 0, "0 or more"),
            clip_norm=(self.clip_norm, self.clip_norm is None or self.clip_norm > 0, "a positive number, or nothing"),
            warmup=(self.warmup, self.warmup >= 0, "0 or more"),
        )


@dataclass(frozen=True)
class TrainingConfig:
    """How the loop runs."""

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
    validate_every: int = 0
    """Steps between evaluations on the held-out classes; needs a run judged on validation."""
    profile: Annotated[bool, tyro.conf.arg(aliases=["--profile"])] = False
    """Time the parts of each step: a table at the end, and profile.json in the run's folder."""

    def __post_init__(self):
        for name in ("steps", "devices", "log_every", "checkpoint_every"):
            value = getattr(self, name)
            _check("training", **{name: (value, value >= 1, "1 or more")})
        for name in ("workers", "validate_every"):
            value = getattr(self, name)
            _check("training", **{name: (value, value >= 0, "0 or more")})


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
        _check(
            "evaluation",
            ks=(self.ks, len(self.ks) > 0 and min(self.ks) >= 1, "whole numbers of 1 or more"),
            bootstrap=(self.bootstrap, self.bootstrap >= 0, "0 or more"),
            batch_size=(self.batch_size, self.batch_size >= 1, "1 or more"),
        )


@dataclass(frozen=True)
class Config:
    """One run, whole: the same config and seed give the same weights on the same kind of machine."""

    recipe: str = ""
    """The recipe that this config came from."""
    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    space: SpaceConfig = SpaceConfig()
    loss: LossConfig = LossConfig()
    batch: BatchConfig = BatchConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()


def to_yaml(config: Config) -> str:
    """The complete config as YAML, in the order of its fields."""
    return yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False, default_flow_style=None, width=120)


def write(config: Config, path: Path) -> None:
    """Write the complete config as YAML, all of it or nothing."""
    write_text(path, to_yaml(config))


def read(path: Path) -> Config:
    """Read a config back. Raises InputError for unreadable YAML, an unknown key or a value of another type."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the config {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {error}") from None
    return _structure(Config, values, "", str(path))


def _plain(value):
    """Tuples as lists, which YAML knows."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _structure(kind, value, where: str, path: str):
    """`value`, as YAML gave it, as an instance of the type `kind`; strictly, but an int passes for a float."""
    wrong = InputError(f"{path}: {where or 'the config'} is {value!r}; expected {_name(kind)}")
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise wrong
        fields = typing.get_type_hints(kind)
        for key in value:
            if key not in fields:
                near = difflib.get_close_matches(str(key), fields, 1, 0)
                raise InputError(f"{path}: unknown key {_join(where, key)!r}; did you mean {_join(where, near[0])!r}?")
        return kind(**{key: _structure(fields[key], item, _join(where, key), path) for key, item in value.items()})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        for option in arguments:
            try:
                return _structure(option, value, where, path)
            except InputError:
                continue
        raise wrong
    if origin is Literal:
        if value not in arguments or type(value) not in {type(option) for option in arguments}:
            raise wrong
        return value
    if origin is tuple:
        open_ended = arguments[-1] is Ellipsis
        if not isinstance(value, list) or (not open_ended and len(value) != len(arguments)):
            raise wrong
        kinds = [arguments[0]] * len(value) if open_ended else arguments
        return tuple(_structure(k, item, f"{where}.{i}", path) for i, (k, item) in enumerate(zip(kinds, value, strict=True)))
    if origin is dict:
        if not isinstance(value, dict):
            raise wrong
        return {
            _structure(arguments[0], key, where, path): _structure(arguments[1], item, _join(where, key), path)
            for key, item in value.items()
        }
    if kind is float and type(value) is int:
        return float(value)
    if kind is float and isinstance(value, str):
        # YAML's own rule reads 1e-5, which lacks a point, as text.
        try:
            return float(value)
        except ValueError:
            raise wrong from None
    if kind is type(None) and value is None:
        return None
    # Not isinstance: True is an int to Python, but a mistake in a config.
    if type(value) is not kind:
        raise wrong
    return value


def _join(where: str, key) -> str:
    return f"{where}.{key}" if where else str(key)


def _name(kind) -> str:
    """A type in words a user reads."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_name(option) for option in arguments)
    if origin is Literal:
        return "one of " + ", ".join(str(option) for option in arguments)
    if origin is tuple:
        return "a list of " + _name(arguments[0])
    if dataclasses.is_dataclass(kind):
        return "a section with the keys " + ", ".join(f.name for f in dataclasses.fields(kind))
    words = {float: "a number", int: "a whole number", str: "text", bool: "true or false", type(None): "nothing"}
    return words.get(kind, str(kind))
