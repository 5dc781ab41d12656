"""The losses of a retrieval run, a section each; `kind` tells them apart in a file."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from ..errors import InputError
from .check import check


@dataclass(frozen=True)
class PairwiseConfig:
    """Pairwise cross-entropy (Hyp-ViT, Eq. 5)."""

    kind: Annotated[Literal["pairwise"], tyro.conf.Suppress] = "pairwise"
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

    def __post_init__(self):
        check("loss", temperature=(self.temperature, self.temperature > 0, "a positive number"))


@dataclass(frozen=True)
class SoftTripleConfig:
    """Several proxies a class (SoftTriple, Qian et al., 2019)."""

    kind: Annotated[Literal["soft-triple"], tyro.conf.Suppress] = "soft-triple"
    centres: int = 10
    """Proxies a class."""
    scale: float = 20.0
    """Of the similarities, in [-1, 1], in the softmax over classes."""
    gamma: float = 0.1
    """Temperature of the softmax over a class's proxies."""
    margin: float = 0.01
    """By which the own class has to be more similar."""
    merging: float = 0.2
    """Weight of the term that draws a class's proxies together."""
    diameter: float | None = None
    """The distance at which similarity is -1; the space's own, but for a space without bound."""
    rate: float = 100.0
    """The proxies' learning rate, as a multiple of the optimiser's."""


@dataclass(frozen=True)
class ProxyAnchorConfig:
    """One proxy a class, with all images of the batch as its pairs (Proxy-Anchor, Kim et al., 2020)."""

    kind: Annotated[Literal["proxy-anchor"], tyro.conf.Suppress] = "proxy-anchor"
    scale: float = 32.0
    """Of the similarities, in [-1, 1]."""
    margin: float = 0.1
    """By which own images have to be more similar, and others less."""
    diameter: float | None = None
    """The distance at which similarity is -1; the space's own, but for a space without bound."""
    rate: float = 100.0
    """The proxies' learning rate, as a multiple of the optimiser's."""


@dataclass(frozen=True)
class ChestConfig:
    """SoftTriple on a sphere and in a ball, and a hierarchy over the ball's proxies (CHEST, Saeki et al., 2025)."""

    kind: Annotated[Literal["chest"], tyro.conf.Suppress] = "chest"
    centres: int = 10
    """Proxies a class, in each space."""
    scale: float = 20.0
    """Of the similarities, in [-1, 1], in the softmax over classes."""
    gamma: float = 0.1
    """Temperature of the softmax over a class's proxies."""
    margin: float = 0.01
    """By which the own class has to be more similar."""
    merging: float = 0.2
    """Weight of the term that draws a class's proxies together."""
    hyperbolic_weight: float = 1.0
    """α: of the ball's SoftTriple."""
    hierarchy_weight: float = 0.1
    """β: of the hierarchical clustering of the ball's proxies."""
    hierarchy_temperature: float = 0.05
    """Of the softmax over the depths of common ancestors."""
    anneal_steps: int = 0
    """Steps in which that temperature falls from 1."""
    triples: int = 4096
    """Of the hierarchy, a step, at most."""
    multi_similarity: Literal["none", "added", "alone"] = "none"
    """A multi-similarity loss of pairs in each space: added to SoftTriple, or alone in its place."""
    rate: float = 100.0
    """The proxies' learning rate, as a multiple of the optimiser's."""


@dataclass(frozen=True)
class LibraryConfig:
    """A loss of pytorch-metric-learning, on distances of the space."""

    kind: Annotated[Literal["library"], tyro.conf.Suppress] = "library"
    name: str = "MultiSimilarityLoss"
    """Its class in pytorch_metric_learning.losses."""
    options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Options of the loss; distance is what it is told: distance, squared or similarity, on the scale of the unit sphere."""
    miner: str | None = None
    """A class of pytorch_metric_learning.miners, or nothing."""
    miner_options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Options of the miner; distance as for the loss."""
    memory: int = 0
    """Points of earlier batches that serve as pairs too (XBM); 0 for none."""
    memory_start: int = 0
    """Steps before the memory begins to fill."""
    entropy: float = 0.0
    """Weight of the entropy regulariser (IRT_R)."""
    rate: float = 100.0
    """The learning rate of the loss's own proxies, as a multiple of the optimiser's."""

    def __post_init__(self):
        check(
            "loss",
            memory=(self.memory, self.memory >= 0, "a number of points, or 0 for no memory"),
            memory_start=(
                self.memory_start,
                self.memory_start == 0 or (self.memory_start > 0 and self.memory > 0),
                "a number of steps, and 0 where there is no memory",
            ),
            entropy=(self.entropy, self.entropy >= 0, "0 or more"),
            rate=(self.rate, self.rate > 0, "a positive number"),
        )
        if self.miner_options and self.miner is None:
            raise InputError("loss.miner_options are given, but no loss.miner: name one, or leave them out")


LossConfig = PairwiseConfig | SoftTripleConfig | ProxyAnchorConfig | ChestConfig | LibraryConfig
