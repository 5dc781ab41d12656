"""HypMix (Yue et al., WACV 2024): Mix-ViT and Mix-DINO as its code trains them, as its paper writes them, and ours.

All else is Hyp-ViT's (§4.2). `losses.hypmix` has the same spaces and losses as objects.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Literal

from ..config import Config, PairwiseConfig, PartConfig, SpaceConfig
from .hyp_vit import BALL, CARS_BATCH, DATA, ENCODERS, NO_GPU, NOT_RUN, PAIRWISE, SPHERE, VIEWS, experiment
from .registry import recipe

# λ of Table 1's caption.
WEIGHTS = {"cub": 3.0, "cars": 8.0, "sop": 8.0}

# Recall@1 in %, head (Table 1) / encoder (Table 2), in the order of WEIGHTS. There is no other Mix row.
RECALL = {
    "vit": ("83.7 / 84.6", "81.3 / 84.4", "85.8 / 86.0"),
    "dino": ("78.5 / 80.4", "85.2 / 88.9", "84.9 / 85.1"),
}


def code(encoder: str, data: str) -> Config:
    """The published code: logit cosine/0.05 − λ D_hyp/0.2, which is −(10 D_cos + 5λ D_hyp), over one normalised head."""
    sphere = PartConfig("sphere", weight=10.0)
    ball = PartConfig("hyperbolic", weight=5 * WEIGHTS[data], curvature=0.1, radius=1.0)
    loss = PairwiseConfig(temperature=1.0, reduction="published")
    return experiment(ENCODERS[encoder], data, SpaceConfig((sphere, ball)), loss, rank_by="sphere")


def paper(encoder: str, data: str, normalise_encoding: Literal["none", "l2"] = "l2") -> Config:
    """Eq. 10: exp(−(D_cos + λ D_hyp)/τ), the encoder's output normalised before two branches."""
    space = SpaceConfig((SPHERE, replace(BALL, weight=WEIGHTS[data])))
    return experiment(
        ENCODERS[encoder], data, space, PAIRWISE, heads="split", normalise_encoding=normalise_encoding, rank_by="mixture"
    )


#: Ours: the paper's mixture over the encoder's own output, so that the radius carries information.
radial = partial(paper, normalise_encoding="none")

# Deviations: each a line with its reason.
CLIPPING = (
    "gradients are clipped after unscaling; HypMix's code clipped them before, so that its bound of 3 moved with the loss "
    "scale"
)
ONE_HEAD = (
    "one head and a ball of the fixed radius 1, as in the published code, where D_hyp is a function of cosine; the paper's "
    "text has two branches and the clip 2.3: mix-paper"
)
BY_COSINE = "ranked by cosine, as in the published code; the mixture is another row of the report"
TWO_HEADS = "two heads and the clip 2.3, as the paper says; its published code has one head and a fixed radius: mix"
ONE_TEMPERATURE = "one temperature, 0.2: Eq. 10 has room for one; §4.2 gives 0.2 for the ball and 0.05 for the sphere"
WEIGHT = (
    "λ as printed, in the form of Eq. 10; in the published code the same λ gives D_hyp half that weight beside D_cos, "
    "because its temperatures are 0.2 and 0.05 and its sphere's logit is the cosine: weight λ/2 here"
)
BY_MIXTURE = "ranked by the mixture that it trains, because the paper names no other; the published code ranks by cosine"
UN_NORMALISED = "the encoder's output is not normalised, because the paper's normalisation leaves the radius little room"


@dataclass(frozen=True)
class _Family:
    """Recipes PREFIX-ENCODER-DATA of one variant."""

    make: Callable[[str, str], Config]
    meaning: str
    figures: str
    source: str
    deviations: tuple[str, ...]


PUBLISHED = "published Recall@1: {recall} (head / encoder)"
FAMILIES = {
    "mix": _Family(
        code,
        "by HypMix's published code",
        PUBLISHED,
        "HypMix (WACV 2024), Tables 1 and 2, row {row}, {images}",
        (ONE_HEAD, BY_COSINE, CLIPPING),
    ),
    "mix-paper": _Family(
        paper,
        "by HypMix's Eq. 10",
        PUBLISHED,
        "HypMix (WACV 2024), Eq. 10; Tables 1 and 2, row {row}, {images}",
        (TWO_HEADS, ONE_TEMPERATURE, WEIGHT, BY_MIXTURE, CLIPPING),
    ),
    "mix-radial": _Family(
        radial,
        "with a free radius",
        "ours, not published",
        "ours, after HypMix (WACV 2024), Eq. 10",
        (UN_NORMALISED, TWO_HEADS, ONE_TEMPERATURE, WEIGHT, BY_MIXTURE, CLIPPING),
    ),
}


def _register(family: str, encoder: str, data: str, recall: str) -> None:
    variant, row, images = FAMILIES[family], f"Mix-{ENCODERS[encoder].title}", DATA[data].title
    cars = (CARS_BATCH,) if data == "cars" else ()
    recipe(
        f"{family}-{encoder}-{data}",
        f"{row} on {images} {variant.meaning}; {variant.figures.format(recall=recall)}",
        source=variant.source.format(row=row, images=images),
        deviations=(*variant.deviations, *cars, NO_GPU, VIEWS),
        status=NOT_RUN,
    )(partial(variant.make, encoder, data))


for _family, _encoder in product(FAMILIES, RECALL):
    for _data, _recall in zip(WEIGHTS, RECALL[_encoder], strict=True):
        _register(_family, _encoder, _data, _recall)
