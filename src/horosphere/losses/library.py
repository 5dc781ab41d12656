"""The losses and miners of pytorch-metric-learning, on distances of any space.

Its losses ask a distance object how far apart points are; here that object asks the space, on the scale of the unit
sphere (`scale`), so that the library's constants keep their meaning. What a loss learns to stand for classes are points of
the space too: a raw vector each, which the space places.
"""

import contextlib
import difflib
import inspect
import math
from collections.abc import Callable, Generator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..errors import InputError
from ..spaces import Mixed, Space, Sphere
from .entropy import spread
from .loss import Loss, share
from .proxies import start
from .scale import chord, similarity

try:
    from pytorch_metric_learning import distances, losses, miners
except ImportError:
    raise InputError(
        "this loss is pytorch-metric-learning's, which is not installed: pip install 'horosphere[baselines]'"
    ) from None

#: Losses and miners that cannot serve, and why.
_WRAPPER = "it is a base class or wraps other losses; name the loss itself"
REFUSED = {
    "BaseMetricLossFunction": _WRAPPER,
    "BaseLossWrapper": _WRAPPER,
    "GenericPairLoss": _WRAPPER,
    "MultipleLosses": _WRAPPER,
    "CrossBatchMemory": "name the loss itself and give memory=",
    "SelfSupervisedLoss": "it takes two views of an image and no labels",
    "VICRegLoss": "it takes two views of an image and no labels, and measures coordinates instead of distances",
    "ManifoldLoss": "it draws classes of its own and takes no labels",
    "SignalToNoiseRatioContrastiveLoss": "it measures the variance of coordinates, which is no distance of a space",
    "InstanceLoss": "of a batch with several images a class the library takes the n-th image for the n-th class",
    "SmoothAPLoss": "the library cuts the batch into groups of as many images as there are classes, instead of into classes",
    "BaseMiner": "it is a base class; name the miner itself",
    "EmbeddingsAlreadyPackagedAsTriplets": "batches here are whole classes, no triplets",
}
#: What takes sums and products of the vectors themselves, which are those of the geometry on the sphere alone.
ON_SPHERE = ("AngularLoss", "AngularMiner", "P2SGradLoss", "ThresholdConsistentMarginLoss")
#: What takes the angle of a similarity, or bins over all distances.
BOUNDED = (
    "ArcFaceLoss",
    "DistanceWeightedMiner",
    "DynamicSoftMarginLoss",
    "FastAPLoss",
    "HistogramLoss",
    "LargeMarginSoftmaxLoss",
    "SphereFaceLoss",
    "SubCenterArcFaceLoss",
    "TupletMarginLoss",
)
#: The library's names of what stands for classes, and whether it stands there in columns.
PROXIES = {"proxies": False, "W": True, "fc": True, "weight": True}
MEASURES = ("distance", "squared", "similarity")
#: Options that follow from the data and the heads.
FOLLOW = {"num_classes": "classes", "embedding_size": "dim", "descriptors_dim": "dim"}
#: Options that the library takes as they come, and divides by or multiplies with at the first batch.
POSITIVE = (
    "temperature",
    "scale",
    "softmax_scale",
    "alpha",
    "gamma",
    "num_bins",
    "n_bins",
    "centers_per_class",
    "sub_centers",
)


def from_pml(
    name: str,
    space: Space,
    *,
    classes: int | None = None,
    dim: int | None = None,
    miner: str | None = None,
    miner_options: Mapping[str, Any] | None = None,
    memory: int = 0,
    memory_start: int = 0,
    entropy: float = 0.0,
    rate: float = 100.0,
    **options: Any,
) -> "LibraryLoss":
    """A loss of pytorch-metric-learning by its class's name, on distances of `space`.

    Args:
        name: a class of `pytorch_metric_learning.losses`.
        space: where the points live.
        classes: training classes, labelled from 0 on; for losses with proxies.
        dim: features of a head; for losses with proxies, and for a memory.
        miner: a class of `pytorch_metric_learning.miners`.
        miner_options: its options.
        memory: so many points of earlier batches serve as pairs too (XBM, Wang et al., 2020); 0 for none.
        memory_start: steps before it begins to fill.
        entropy: weight of the entropy regulariser (IRT_R, El-Nouby et al., 2021).
        rate: learning rate of what the loss itself learns, as a multiple of the optimiser's.
        options: options of the loss, scalars all. `distance`, here and for the miner, is what the library is told:
            "distance" d, "squared" d², or "similarity" s, of `losses.scale`. By default what the class takes of itself.

    Raises:
        InputError: for a loss or miner that there is not, or that has no meaning in this space, with the reason; for an
            option that it refuses; for proxies without `classes` and `dim`.
    """
    loss_class, mined = _find(name, losses, space), None
    accepts = _parameters(loss_class)
    if told := [option for option in FOLLOW if option in options and option in accepts]:
        raise InputError(f"{name} takes {told[0]} from {FOLLOW[told[0]]}=: leave the option out")
    given = dict(options)
    if "num_classes" in accepts and (name != "MarginLoss" or options.get("learn_beta")):
        given["num_classes"] = _needed(classes, f"{name} learns something for each class", "classes")
    columns = dim and space.dim(dim)
    for width in {"embedding_size", "descriptors_dim"} & accepts:
        given[width] = _needed(columns, f"{name} learns proxies", "dim")
    loss = _make(loss_class, space, given)
    for proxies in PROXIES.keys() & dict(loss.named_parameters()).keys():
        parametrize.register_parametrization(loss, proxies, _Placed(space, PROXIES[proxies]))
    if "hist_" in vars(loss):  # what a resumed run has to know
        loss.register_buffer("hist_", vars(loss).pop("hist_"))
    if miner is not None:
        mined = _make(_find(miner, miners, space), space, dict(miner_options or {}))
    if memory:
        if name not in _Memory.supported_losses():
            raise InputError(f"memory={memory}: {name} pairs no points of two batches; leave the memory out")
        _needed(columns, "a memory holds points", "dim")
        loss = _Memory(loss, columns, memory_size=memory, miner=mined)
    return LibraryLoss(space, loss, None if memory else mined, memory_start, entropy, rate)


class LibraryLoss(Loss):
    """What `from_pml` makes. What its miner draws is a function of the global seed when it was made and of the step."""

    def __init__(
        self, space: Space, loss: nn.Module, miner: nn.Module | None, memory_start: int, entropy: float, rate: float
    ):
        super().__init__()
        self.space, self.loss, self.miner = space, loss, miner
        self.memory_start, self.entropy, self.rate = memory_start, entropy, rate
        self.seed, self.steps = int(torch.randint(2**31, ())), 0

    def forward(self, points: Tensor, labels: Tensor, anchors: slice | None = None) -> Tensor:
        labels = self._checked_labels(points, labels).to(points.device)
        with self._own_draws(points.device):
            value = self._value(points, labels)
        if self.entropy:
            value = value + self.entropy * spread(self.space, points)
        self.steps += 1
        # Terms of one batch hang together in too many ways to share them out, so a process takes its part of the whole.
        return value * share(anchors, len(points))

    def _value(self, points: Tensor, labels: Tensor) -> Tensor:
        loss = self.loss
        if isinstance(loss, _Memory):
            if len(points) > loss.memory_size:
                raise InputError(f"a memory of {loss.memory_size} points does not hold a batch of {len(points)}: raise it")
            if self.steps >= self.memory_start:
                return loss(points, labels)
            loss, miner = loss.loss, loss.miner
        else:
            miner = self.miner
        value = loss(points, labels, miner and miner(points, labels))
        for name, running in loss.named_buffers(recurse=False):
            setattr(loss, name, running.detach())  # a running histogram would keep the graphs of all batches
        return value

    @contextlib.contextmanager
    def _own_draws(self, device: torch.device) -> Generator[None]:
        """Every process draws the same triplets, and what else is drawn does not change."""
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(self.seed + self.steps)
            yield

    def get_extra_state(self) -> dict[str, int]:
        return {"seed": self.seed, "steps": self.steps}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.seed, self.steps = state["seed"], state["steps"]

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Proxies, or the learned boundary of MarginLoss; what the space learns is not the loss's."""
        of_space = set(self.space.parameters())
        own = [parameter for parameter in self.parameters() if parameter not in of_space]
        return [{"name": "proxies", "params": own, "rate": self.rate, "weight_decay": 0.0}] if own else []


class _Answers:
    """What the library wants to know of a distance: the matrix, and that points are where they are and have no norm."""

    def __init__(self, space: Space, scale: Callable[[Space, Tensor], Tensor], **options):
        super().__init__(**options)
        self.space, self.scale = space, scale

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        return self.scale(self.space, self.space.pairwise(query_emb, None if ref_emb is query_emb else ref_emb))

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        return self.scale(self.space, self.space.distance(query_emb, ref_emb))

    def normalize(self, embeddings: Tensor, dim: int = 1, **_) -> Tensor:
        return embeddings

    def get_norm(self, embeddings: Tensor, dim: int = 1, **_) -> Tensor:
        return embeddings.new_ones(embeddings.shape[:dim] + embeddings.shape[dim + 1 :])


# The library checks that a distance is of the class it expects, not what it answers.
class _Distance(_Answers, distances.LpDistance):
    pass


class _Similarity(_Answers, distances.CosineSimilarity):
    pass


class _Placed(nn.Module):
    """Raw vectors (n, p), or (p, n) `in_columns`, → points of the space; a raw vector for each part of a mixture."""

    def __init__(self, space: Space, in_columns: bool):
        super().__init__()
        self.space, self.in_columns = space, in_columns

    def forward(self, raw: Tensor) -> Tensor:
        raw = raw.T if self.in_columns else raw
        parts = zip(_parts(self.space), _split(self.space, raw), strict=True)
        points = torch.cat([part(own) for part, own in parts], 1)
        return points.T if self.in_columns else points

    def right_inverse(self, first: Tensor) -> Tensor:
        """The library's first values, but off the sphere at the norm where our own proxies start."""
        first = first.T if self.in_columns else first
        parts = zip(_parts(self.space), _split(self.space, first), strict=True)
        raw = torch.cat([own if isinstance(part, Sphere) else start(part, own) for part, own in parts], 1)
        return raw.T if self.in_columns else raw


def _parts(space: Space) -> list[Space]:
    return list(space.parts) if isinstance(space, Mixed) else [space]


def _split(space: Space, points: Tensor) -> tuple[Tensor, ...]:
    return space.split(points) if isinstance(space, Mixed) else (points,)


class _Memory(losses.CrossBatchMemory):
    """The library's memory, whose place in the ring is in its `state_dict` too."""

    def get_extra_state(self) -> dict[str, int | bool]:
        return {"next": self.queue_idx, "full": self.has_been_filled}

    def set_extra_state(self, state: dict[str, int | bool]) -> None:
        self.queue_idx, self.has_been_filled = state["next"], state["full"]


def _find(name: str, module: Any, space: Space) -> type:
    """A class of the library. Raises InputError where there is none, or none that serves in this space."""
    known = [n for n, c in vars(module).items() if inspect.isclass(c) and issubclass(c, nn.Module)]
    what = module.__name__.rpartition(".")[2]
    if name in REFUSED:
        raise InputError(f"{name} is not to be had here: {REFUSED[name]}")
    if name not in known:
        near = difflib.get_close_matches(str(name), known, 1, 0)
        raise InputError(f"pytorch-metric-learning has no {name!r} among its {what}; did you mean {near[0]}?")
    if name in ON_SPHERE and not isinstance(space, Sphere):
        raise InputError(
            f"{name} adds and multiplies the vectors themselves, so it needs a sphere; this space is {space.name}"
        )
    if name in BOUNDED and not math.isfinite(space.diameter):
        raise InputError(f"{name} takes angles or bins of distances, so it needs a space of bounded distances, a clip say")
    return getattr(module, name)


def _make(kind: type, space: Space, options: dict[str, Any]) -> nn.Module:
    """A loss or miner on distances of the space."""
    measure = options.pop("distance", None) or _own_measure(kind)
    if measure not in MEASURES:
        raise InputError(f"distance={measure!r}: expected one of {', '.join(MEASURES)}")
    if measure == "similarity":
        distance = _Similarity(space, similarity)
    else:
        distance = _Distance(space, chord, power=2 if measure == "squared" else 1)
    if unknown := options.keys() - _parameters(kind):
        raise InputError(
            f"{kind.__name__} has no option {', '.join(sorted(unknown))}; it has: {', '.join(sorted(_parameters(kind)))}"
        )
    for option in POSITIVE:
        value = options.get(option)
        if value is not None and not (isinstance(value, int | float) and value > 0):
            raise InputError(f"{kind.__name__} with {option}={value!r}: expected a positive number")
    try:
        return kind(distance=distance, **options)
    except (AssertionError, TypeError, ValueError) as error:
        raise InputError(f"{kind.__name__} with {options or 'no options'}, distance={measure}: {error}") from None


def _own_measure(kind: Any) -> str:
    """What a class measures of itself."""
    own = kind.get_default_distance(None)
    return "similarity" if own.is_inverted else "squared" if own.power == 2 else "distance"


def _parameters(kind: type) -> set[str]:
    """Options by name, those of the base classes included."""
    named = {
        parameter.name
        for base in kind.__mro__
        if base.__module__.startswith("pytorch_metric_learning")
        for parameter in inspect.signature(base.__init__).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    return named - {"self", "distance"}


def _needed(value: int | None, why: str, name: str) -> int:
    if not value:
        raise InputError(f"{why}: give {name}=")
    return value
