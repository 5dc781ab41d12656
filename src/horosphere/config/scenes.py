"""The config of scene–object contrast: scenes with boxes, an encoder with a head, and what is told from what."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from ..errors import InputError
from .check import check
from .crops import SceneCrops
from .retrieval import LoopConfig, OptimiserConfig


@dataclass(frozen=True)
class SceneDataConfig:
    """Which scenes, what counts as an object in them, and how both are seen."""

    layout: str = "auto"
    """How the scenes are laid out: coco, voc, openimages, images (without boxes), or auto."""
    root: str | None = None
    """Folder or zip (read in place) of the scenes, or an annotation file of COCO."""
    regions: Literal["boxes", "selective-search", "image"] = "boxes"
    """What is an object: an annotated box, a region proposed by selective search, or the whole image, as in contrast without
    scenes."""
    crops: SceneCrops = field(default_factory=SceneCrops)
    size: int | None = None
    """Side of the square input, pixels; by default what the encoder's weights ask for."""
    resize: int | None = None
    """Shorter side before the centre crop when images are embedded later, pixels; by default in the weights' proportion."""
    mean: tuple[float, ...] | None = None
    """Mean of the channels in [0, 1]; by default what the encoder's weights ask for."""
    std: tuple[float, ...] | None = None
    """Their standard deviation."""

    def __post_init__(self):
        for name in ("size", "resize"):
            value = getattr(self, name)
            check("data", **{name: (value, value is None or value >= 1, "pixels, 1 or more")})


@dataclass(frozen=True)
class SceneModelConfig:
    """The encoder; its head has two layers."""

    encoder: str = "resnet50"
    """A timm model, with the tag of its weights where there are any."""
    encoder_options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Options of timm.create_model."""
    pretrained: bool = False
    """Start from the pretrained weights, fetched through timm."""
    checkpoint: str | None = None
    """Start from a local file of encoder weights (.safetensors, or a .pth of tensors alone)."""
    freeze: int | Literal["patch", "norms", "none", "all"] = "none"
    """What stays frozen: the patch embedding, the batch norms with their statistics, nothing, everything, or the patch
    embedding and the first n blocks."""
    dim: int = 128
    """Features of the head."""
    normalise_encoding: Literal["none", "l2", "layer"] = "none"
    """What happens to the encoder's output before the head; layer is a LayerNorm without parameters."""

    def __post_init__(self):
        check("model", dim=(self.dim, self.dim >= 1, "1 or more"))


@dataclass(frozen=True)
class ContrastConfig:
    """Momentum contrast of objects, and of scenes with their objects (HCL)."""

    weight: float = 0.1
    """Of the hyperbolic loss of scenes; 0 is contrast of objects alone, without a pass of the scenes."""
    temperature: float = 0.2
    """Of cosine."""
    hyperbolic_temperature: float = 0.2
    """Of hyperbolic distance."""
    curvature: float = 0.05
    """c > 0; the sectional curvature is -c."""
    clip: float | None = None
    """Largest norm of a point; published: none."""
    gradient: Literal["coupled", "decoupled"] = "coupled"
    """coupled: the gradient in the ball scaled by the metric; decoupled: of that the part along the norm alone."""
    dense_share: float = 0.0
    """Share of the dense loss in that of the objects: 0.5 is DenseCL."""
    queue: int = 65536
    """Keys that each queue holds."""
    momentum: float = 0.999
    """Of the key encoder."""

    def __post_init__(self):
        check(
            "contrast",
            weight=(self.weight, self.weight >= 0, "0 or more"),
            temperature=(self.temperature, self.temperature > 0, "a positive number"),
            hyperbolic_temperature=(self.hyperbolic_temperature, self.hyperbolic_temperature > 0, "a positive number"),
            curvature=(self.curvature, self.curvature > 0, "a positive number"),
            clip=(self.clip, self.clip is None or self.clip > 0, "a positive number, or nothing"),
            dense_share=(self.dense_share, 0 <= self.dense_share < 1, "0 to below 1"),
            queue=(self.queue, self.queue >= 1, "1 or more"),
            momentum=(self.momentum, 0 <= self.momentum <= 1, "0 to 1"),
        )


@dataclass(frozen=True)
class SceneBatchConfig:
    """A batch of scenes, one object each."""

    images: int = 128
    """Scenes a step, over all processes."""
    norm_groups: int = 4
    """Runs of the whole batch that training batch norms see apart, as on so many GPUs. With 1 a query and its key are
    normalised by the same images, and can be told by that. Without training batch norms it changes nothing."""

    def __post_init__(self):
        check(
            "batch",
            images=(self.images, self.images >= 2, "2 or more"),
            norm_groups=(
                self.norm_groups,
                self.norm_groups >= 1 and self.images % self.norm_groups == 0 and self.images >= 2 * self.norm_groups,
                f"runs of one length, 2 or more of the {self.images} images in each",
            ),
        )


@dataclass(frozen=True)
class SceneOptimiserConfig(OptimiserConfig):
    """The optimiser, its schedule and its clipping; the defaults are MoCo v2's at the paper's rate."""

    name: Literal["adamw", "sgd"] = "sgd"
    lr: float = 0.15
    weight_decay: float = 1e-4
    clip_norm: float | None = None
    """Largest gradient norm, after unscaling."""
    schedule: Literal["constant", "cosine"] = "cosine"


@dataclass(frozen=True)
class SceneConfig:
    """One run of scene–object contrast, whole."""

    kind: Annotated[Literal["scenes"], tyro.conf.Suppress] = "scenes"
    recipe: str = ""
    """The recipe that this config came from."""
    seed: int = 0
    data: SceneDataConfig = field(default_factory=SceneDataConfig)
    model: SceneModelConfig = field(default_factory=SceneModelConfig)
    contrast: ContrastConfig = ContrastConfig()
    batch: SceneBatchConfig = SceneBatchConfig()
    optimiser: SceneOptimiserConfig = field(default_factory=SceneOptimiserConfig)
    training: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self):
        if self.contrast.queue < self.batch.images:
            raise InputError(
                f"contrast.queue is {self.contrast.queue}, but each step adds {self.batch.images} keys (batch.images): make "
                "the queue larger"
            )
        if self.data.regions == "image" and self.contrast.weight:
            raise InputError(
                "data.regions=image has no scene around an object: set contrast.weight to 0, or data.regions to boxes"
            )
