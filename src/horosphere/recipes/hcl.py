"""HCL (Ge et al., CVPR 2023): scene–object contrast on MoCo v2 and DenseCL, and the two steps that lead to it.

A row is judged by transfer to detection. Three recipes a pair of method and data: the baseline sees whole images, `-objects`
the boxes without the hyperbolic loss, and the third both. ORL's rows are docs/methods.md's.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from ..config import (
    ContrastConfig,
    LoopConfig,
    SceneBatchConfig,
    SceneConfig,
    SceneCrops,
    SceneDataConfig,
    SceneModelConfig,
    SceneOptimiserConfig,
)
from .registry import recipe

# Images, of which an epoch has one view pair each.
IMAGES = {"coco": 118_287, "openimages": 213_000}
EPOCHS, BATCH = 200, 128
DENSE_SHARES = {"moco": 0.0, "densecl": 0.5}
TITLES = {"moco": "MoCo v2", "densecl": "DenseCL", "coco": "COCO", "openimages": "OpenImages"}

# Box AP / mask AP of a Mask R-CNN on COCO, in % (the paper's table on transfer): baseline, objects, scenes.
AP = {
    ("moco", "coco"): ("38.5 / 34.8", "39.7 / 36.0", "40.6 / 37.0"),
    ("densecl", "coco"): ("39.6 / 35.7", "41.3 / 37.5", "42.5 / 38.5"),
    ("densecl", "openimages"): ("38.2 / 34.8", "41.1 / 37.2", "42.1 / 38.3"),
}

NOT_RUN = "not run: the images are not at hand"
RUN = "run, one seed: docs/results.md"
DEVIATIONS = (
    "queues start empty and fill; published, they start with random unit vectors, which are no keys of anything",
    "points are tangent vectors, with the published gradient in the ball as a factor: the same numbers without a boundary",
    "batch norms see four runs of the batch, as on the paper's four GPUs, whatever the number of processes",
    "windows around small objects move by their own height and width; published, the height moved by the width's amount",
    "images with fewer than two large boxes are left out; published, each is replaced by another at random. The steps are "
    "those of all images",
    "the learning rate follows the cosine step by step; published, epoch by epoch",
)
SUBSET = (
    "the paper's subset of OpenImages is not at hand: the steps are for about 213,000 images; set training.steps to 200 "
    "times yours over 128"
)
DENSE = (
    "DenseCL is symmetric, with two queues of its own, as the paper's contrast of objects is; DenseCL's own code has one "
    "side, and begins without the dense loss"
)


def scenes(method: str, data: str, weight: float = 0.1) -> SceneConfig:
    """HCL; with weight 0 the contrast of objects alone."""
    return SceneConfig(
        data=SceneDataConfig(layout=data, root=f"data/{data}"),
        contrast=ContrastConfig(weight=weight, dense_share=DENSE_SHARES[method]),
        batch=SceneBatchConfig(BATCH, norm_groups=4),
        training=LoopConfig(
            steps=EPOCHS * (IMAGES[data] // BATCH), precision="16-mixed", workers=8, log_every=100, checkpoint_every=2000
        ),
    )


objects = partial(scenes, weight=0.0)


def images(method: str, data: str) -> SceneConfig:
    """The baseline: two views of a whole image."""
    config = objects(method, data)
    return replace(config, data=replace(config.data, regions="image"))


@dataclass(frozen=True)
class _Step:
    """What a row has."""

    suffix: str
    make: Callable[[str, str], SceneConfig]
    meaning: str


STEPS = (
    _Step("-images", images, "whole images"),
    _Step("-objects", objects, "objects, without the hyperbolic loss"),
    _Step("", scenes, "scenes and objects"),
)

for (_method, _data), _published in AP.items():
    for _step, _ap in zip(STEPS, _published, strict=True):
        recipe(
            f"hcl-{_method}-{_data}{_step.suffix}",
            f"HCL, {TITLES[_method]} on {TITLES[_data]}: {_step.meaning}; box / mask AP {_ap}",
            source=f"HCL, table of transfer to COCO: {TITLES[_method]} pre-trained on {TITLES[_data]}, AP {_ap}",
            deviations=(
                *DEVIATIONS,
                *((DENSE,) if _method == "densecl" else ()),
                *((SUBSET,) if _data == "openimages" else ()),
                "mixed precision",
            ),
            status=NOT_RUN,
        )(partial(_step.make, _method, _data))


@recipe(
    "hcl-coco-scenes",
    "355 photographs of COCO: scenes and objects, from a MobileNetV2; minutes on a laptop",
    status=RUN,
)
def hcl_coco_scenes() -> SceneConfig:
    return _small(weight=0.1)


@recipe(
    "hcl-coco-scenes-euclidean",
    "control: the same objects without the hyperbolic loss of scenes; minutes on a laptop",
    status=RUN,
)
def hcl_coco_scenes_euclidean() -> SceneConfig:
    return _small(weight=0.0)


def _small(weight: float) -> SceneConfig:
    return SceneConfig(
        data=SceneDataConfig(
            layout="coco",
            root="data/coco_scenes_320.zip",
            # Photographs of 320 px: a window is to a view of 96 px what the published one is to 224 px.
            crops=SceneCrops(least=28.0, window=112),
            size=96,
            resize=96,
            # These weights take [-1, 1].
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
        ),
        model=SceneModelConfig(
            encoder="mobilenetv2_100",
            # The weights were trained with TensorFlow's padding, and their batch norms are folded.
            encoder_options={"pad_type": "same"},
            checkpoint="data/weights/mobilenetv2_100.safetensors",
            freeze="norms",
            # Their output has a norm near 70: as it is, points would start far out, where the ball's gradient vanishes.
            normalise_encoding="l2",
        ),
        # Of some 120 scenes: with a longer queue an object would be its own negative. A key encoder that moves in 200 steps.
        contrast=ContrastConfig(weight=weight, queue=64, momentum=0.99),
        batch=SceneBatchConfig(images=32),
        optimiser=SceneOptimiserConfig(lr=0.03, clip_norm=5.0),
        training=LoopConfig(steps=100, workers=0, log_every=10, checkpoint_every=50),
    )
