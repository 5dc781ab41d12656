"""What the telemetry of a run warns of, in words: what is seen, why it matters, and what to try."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluation import disguise
from ..evaluation.correlation import CLIPPED, ONE_RADIUS, SAME_RANKING
from ..spaces import Hyperbolic, Mixed, Space
from .series import Series

#: Fewer lines of metrics than this show no course.
LINES = 4
#: A loss whose last quarter is not 2 % below its first has learned less than batches differ. It can be told only where the
#: first line is of the first eighth of the steps: later, most may have been learned before.
NOT_FALLING, BEGINNING = 0.02, 1 / 8
#: A gradient so short is rounding in float32, and below AdamW's ε of 1e-8 for each of ten thousand weights.
VANISHED = 1e-6
#: A gradient may grow while a temperature sharpens or a queue fills, but not a hundredfold.
EXPLODED = 100
#: A gradient that is cut to a third at every line: clipping has become the learning rate.
CUT = 3
#: Points on a line, nearly: two equal singular values would make it 2.
RANK_NEAR_ONE = 1.5
#: Of the directions that there could be: those of the width, and no more than classes in a batch.
RANK_SHARE = 0.1
#: A learned weight that has lost so much of its start takes no part.
LEFT_OF_WEIGHT = 0.05
#: A curvature in the outer 2 % of its range, in log c, would be outside it if it could.
AT_BOUND = 0.02
#: A softmax with less is the hardest negative alone; with nearly all, no negative counts more than another.
FEWEST_NEGATIVES, EVEN_NEGATIVES = 1.5, 0.95
#: Recall@1 that was lost since its best: two points are more than validation's own noise on a thousand queries.
FALLEN = 0.02

_TO_FREE_THE_RADIUS = (
    "start inside the clip with --model.normalise-encoding l2, raise the part's clip, or set clipping: soft"
)


@dataclass(frozen=True)
class TrainingWarning:
    """Something in a run's telemetry that a reader should know.

    Attributes:
        kind: one word or two, the same for every run.
        seen: what is seen, with its number and step.
        why: why it matters.
        advice: what to try.
    """

    kind: str
    seen: str
    why: str
    advice: str

    @property
    def text(self) -> str:
        """All of it, as sentences."""
        return f"{self.seen}. {self.why}. To try: {self.advice}."


def training_warnings(
    metrics: Sequence[dict],
    space: Space,
    *,
    width: int | None = None,
    classes: int | None = None,
    clip_norm: float | None = None,
    held_out: bool = False,
    settled: int = 0,
) -> list[TrainingWarning]:
    """What the lines of a run's metrics.jsonl warn of; the thresholds are the constants of this module.

    Judged are medians of the first and the last quarter of the lines. What a line lacks, as those of earlier versions do,
    is not judged.

    Args:
        metrics: the lines.
        space: the run's space, whose parts' names are in the lines.
        width: columns of a part's points.
        classes: in a batch; of scenes the images.
        clip_norm: what the gradient's norm is clipped to.
        held_out: classes are held out, so the run could have been validated while it trained.
        settled: step from which on the loss is measured against as much at every step: before it a memory fills, say.
    """
    warnings = [*_of_loss(metrics, settled), *_of_gradients(metrics, clip_norm)]
    for prefix, name, part in _parts(space):
        warnings += _of_rank(metrics, prefix, name, min(width or math.inf, classes or math.inf))
        if isinstance(part, Hyperbolic):
            warnings += _of_radius(metrics, prefix, name, part)
            warnings += _of_curvature(metrics, prefix, name, part)
        warnings += _of_weight(metrics, prefix, name)
        if prefix:
            warnings += _of_negatives(metrics, prefix, f"{name}: ")
    return [*warnings, *_of_negatives(metrics, "", ""), *_of_validation(metrics, held_out)]


def _parts(space: Space) -> list[tuple[str, str, Space]]:
    """(prefix in the lines, name, part) of what counts in the distance."""
    if not isinstance(space, Mixed):
        return [("", space.name, space)]
    parts = zip(space.names, space.parts, space.weights, strict=True)
    return [(f"{name}/", name, part) for name, part, weight in parts if weight]


def _of_loss(metrics: Sequence[dict], settled: int) -> Iterator[TrainingWarning]:
    # While a queue of negatives fills, the loss rises because there is more to tell apart.
    lines = [e for e in metrics if "loss" in e and e["step"] >= settled and e.get("queue_fill", 1) == 1]
    loss = Series.read(lines, "loss")
    begun = len(loss) > 1 and loss.steps[0] <= BEGINNING * loss.steps[-1]
    if begun and loss.last > loss.first - NOT_FALLING * abs(loss.first):
        yield TrainingWarning(
            "loss not falling",
            f"The loss is {loss.last:.4g} in the last quarter of the run, to step {loss.steps[-1]:,}, and was "
            f"{loss.first:.4g} in the first",
            "The model has learned no more than batches differ",
            "another --optimiser.lr, ten times up or down, more steps, or another temperature",
        )


def _of_gradients(metrics: Sequence[dict], clip_norm: float | None) -> Iterator[TrainingWarning]:
    names = sorted({name for entry in metrics for name in entry if name.startswith("gradient/")}) or ["gradient_norm"]
    for name in names:
        norm, part = Series.read(metrics, name), name.removeprefix("gradient/").replace("gradient_norm", "all parts")
        if len(norm) < LINES:
            continue
        if norm.last < VANISHED:
            yield TrainingWarning(
                "gradient vanished",
                f"The gradient of {part} has norm {norm.last:.1e} {norm.when(lambda v: v < VANISHED)}",
                "That is rounding: this part learns nothing more",
                "look whether the loss is near 0 already; if not, raise the temperature, or free the points from the clip",
            )
        elif norm.last > EXPLODED * norm.first > 0:
            yield TrainingWarning(
                "gradient exploded",
                f"The gradient of {part} has norm {norm.last:.3g} in the last quarter of the run, to step "
                f"{norm.steps[-1]:,}, and had {norm.first:.3g} in the first",
                "Steps of such different lengths end in NaN sooner or later",
                "lower --optimiser.lr, set --optimiser.clip-norm, or raise the temperature",
            )
    norm = Series.read(metrics, "gradient_norm")
    if clip_norm is not None and len(norm) >= LINES and (norm.values > CUT * clip_norm).all():
        yield TrainingWarning(
            "always clipped",
            f"The gradient's norm is {norm.last:.3g} {norm.when(lambda v: v > CUT * clip_norm)}: over {CUT} × the clip of "
            f"{clip_norm:g}",
            "Every step is cut to one length, whatever the loss says; AdamW forgives that, SGD does not",
            "raise --optimiser.clip-norm, or set --loss.reduction mean where it is published",
        )


def _of_rank(metrics: Sequence[dict], prefix: str, name: str, possible: float) -> Iterator[TrainingWarning]:
    rank = Series.read(metrics, f"{prefix}effective_rank")
    least = max(RANK_NEAR_ONE, RANK_SHARE * possible if possible < math.inf else 0.0)
    if len(rank) and rank.last < least:
        of = "" if possible == math.inf else f" of {possible:g} that the width and the batch's classes allow"
        yield TrainingWarning(
            "collapse",
            f"{name}: the points fill {rank.last:.1f} directions{of} (effective rank) {rank.when(lambda v: v < least)}",
            "Most columns of the points say nothing, and classes that differ in other directions cannot be told apart",
            "a lower --optimiser.lr, a lower temperature, more classes in a batch, or the entropy of IRT_R",
        )


def _of_radius(metrics: Sequence[dict], prefix: str, name: str, part: Hyperbolic) -> Iterator[TrainingWarning]:
    if part.fixed_radius is not None:
        return  # one radius is what was asked for
    names = {"clip": "clip_fraction", "radius": "radius_spread", "ranking": "cosine_correlation"}
    series = {kind: Series.read(metrics, f"{prefix}{name}") for kind, name in names.items()}
    last = {kind: own.last if own else None for kind, own in series.items()}
    if not (found := disguise(last["ranking"], last["clip"], last["radius"])):
        return
    kind, reason = found
    holds = {"clip": lambda v: v >= CLIPPED, "radius": lambda v: v < ONE_RADIUS, "ranking": lambda v: v > SAME_RANKING}
    yield TrainingWarning(
        {"clip": "at the clip", "radius": "one radius", "ranking": "cosine in disguise"}[kind],
        f"{name}: {reason} {series[kind].when(holds[kind])}",
        "The part ranks as cosine does, and its radius says nothing",
        f"{_TO_FREE_THE_RADIUS}; or a sphere at its own best temperature"
        if kind == "clip"
        else "a larger curvature, so that a radius has room to matter, or a sphere at its own best temperature",
    )


def _of_curvature(metrics: Sequence[dict], prefix: str, name: str, part: Hyperbolic) -> Iterator[TrainingWarning]:
    if part.log_curvature is None or not (curvature := Series.read(metrics, f"{prefix}curvature")):
        return
    low, high = (math.log(bound) for bound in part.curvature_bounds)
    place = (math.log(curvature.last) - low) / (high - low)
    if not AT_BOUND < place < 1 - AT_BOUND:
        bound = part.curvature_bounds[place > 0.5]

        def holds(c: np.ndarray) -> np.ndarray:
            return np.abs((np.log(c) - low) / (high - low) - 0.5) > 0.5 - AT_BOUND

        yield TrainingWarning(
            "curvature at its bound",
            f"{name}: the learned curvature is {curvature.last:.3g}, at its bound of {bound:g}, {curvature.when(holds)}",
            "Near a bound its gradient vanishes, so the value is the bound's and not the data's",
            "fix it with learnable_curvature: false and compare a few values (horosphere sweep), or a space without it: "
            + ("flat distances served better" if bound < 1 else "the clip and the temperature set the scale too"),
        )


def _of_weight(metrics: Sequence[dict], prefix: str, name: str) -> Iterator[TrainingWarning]:
    weight = Series.read(metrics, f"{prefix}weight")
    if prefix and len(weight) and weight.last < LEFT_OF_WEIGHT * weight.first:
        yield TrainingWarning(
            "weight to 0",
            f"{name}: the learned weight has fallen from {weight.first:.3g} to {weight.last:.3g} "
            f"{weight.when(lambda v: v < LEFT_OF_WEIGHT * weight.first)}",
            "The mixture has become its other parts",
            "leave the part out, or fix the weights: a weight falls first where distances are long, whatever they are worth",
        )


def _of_negatives(metrics: Sequence[dict], prefix: str, name: str) -> Iterator[TrainingWarning]:
    number = Series.read(metrics, f"{prefix}effective_negatives")
    share = Series.read(metrics, f"{prefix}effective_negatives_share")
    if len(number) and number.last < FEWEST_NEGATIVES:
        yield TrainingWarning(
            "temperature too low",
            f"{name}The softmax over negatives weighs {number.last:.2f} of them (effective number) "
            f"{number.when(lambda v: v < FEWEST_NEGATIVES)}",
            "Each image learns from its hardest negative alone, mislabelled ones first",
            "double --loss.temperature; distances are many times as long as it",
        )
    elif len(share) and share.last > EVEN_NEGATIVES:
        yield TrainingWarning(
            "temperature too high",
            f"{name}The softmax weighs {share.last:.1%} of all negatives (effective number) "
            f"{share.when(lambda v: v > EVEN_NEGATIVES)}",
            "Distances are short against the temperature, so near negatives count no more than far ones",
            "halve --loss.temperature",
        )


def _of_validation(metrics: Sequence[dict], held_out: bool) -> Iterator[TrainingWarning]:
    recall = Series.read(metrics, "validation/recall@1")
    if not len(recall):
        if held_out:
            yield TrainingWarning(
                "not validated",
                "Classes are held out, but none was looked at while training",
                "Nobody can tell whether fewer or more steps would have been better",
                "--training.validate-every, a tenth of the steps say",
            )
        return
    best = int(recall.values.argmax())
    if recall.values[best] - recall.values[-1] > FALLEN:
        yield TrainingWarning(
            "past its best",
            f"Held-out Recall@1 was {recall.values[best]:.1%} at step {recall.steps[best]:,} and is "
            f"{recall.values[-1]:.1%} at step {recall.steps[-1]:,}",
            "The model has begun to learn what holds for the training classes alone",
            f"--training.steps {recall.steps[best]}, a lower --optimiser.lr, or more of the encoder frozen",
        )
