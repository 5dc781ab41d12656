"""`log_partition` over classes of several centres each: the core of losses with many proxies.

Blocks of classes are made, summed and thrown away, and made again for the gradient, so that neither the matrix of
distances (n × classes × centres) nor that of classes is ever kept.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from .partition import LOG2_E, STEEP, Blocks, Cut, Plan, log_partition
from .precision import at_least_float32, first_order
from .space import Space

#: Rows and columns of a block: on a CPU a few of its size stay in cache, on a GPU calls must be few.
_CPU, _CUDA = (256, 1024), (1024, 16_384)


def log_class_partition(
    space: Space,
    x: Tensor,
    centres: Tensor,
    *,
    count: int,
    temperature: float,
    softness: float,
    labels: Tensor,
) -> Tensor:
    """log Σ_c exp(−D̄(x_i, c)/τ) over all classes c but the row's own: (n,), float32 or the points' float64.

    D̄ is the distance to a class: the mean over its `count` centres, weighted by the softmax of −D/softness, so that near
    centres count (SoftTriple, Qian et al., ICCV 2019, Eq. 6). The reference, in float64:

        d = space.pairwise(x, centres).view(n, classes, count)
        soft = ((-d / softness).softmax(2) * d).sum(2)
        soft[arange(n), labels] = inf
        (-soft / temperature).logsumexp(1)

    The gradient reaches the points, the centres and what the space learns. Beside the inputs and their lifted copies it
    takes O(n) memory.

    Args:
        space: where the points live; its distance is D.
        x: points (n, p), the rows.
        centres: points (classes × count, p), class after class.
        count: centres a class.
        temperature, softness: τ and the softness of the nearest centre, positive.
        labels: the rows' own classes (n,), from 0 on.

    Raises:
        ValueError: for centres that do not divide into classes, or a temperature or softness that is not positive.
    """
    if count < 1 or len(centres) == 0 or len(centres) % count:
        raise ValueError(f"{len(centres)} centres do not divide into classes of {count}")
    if not (temperature > 0 and softness > 0):
        raise ValueError(f"temperature={temperature}, softness={softness}: expected positive numbers")
    x, centres, classes = at_least_float32(x), at_least_float32(centres), len(centres) // count
    labels = labels.to(x.device, non_blocking=True)
    if count == 1:
        own = labels.int(), torch.arange(classes, dtype=torch.int32, device=x.device)
        return log_partition(space, x, centres, temperature=temperature, labels=own).squeeze(1)
    width = max(1, (_CUDA if x.is_cuda else _CPU)[1] // count)
    # Block after block of classes, in each the first centres of all classes, then the second: sums over centres then run
    # along whole rows.
    blocks = torch.arange(len(centres), device=x.device).view(classes, count).split(width)
    rows, others = space.gram(x), space.gram(centres.index_select(0, torch.cat([b.T.reshape(-1) for b in blocks])))
    slopes = [gram.scale / softness for gram in rows]
    slopes = torch.stack([s.to(rows[0].a) if isinstance(s, Tensor) else rows[0].a.new_full((), s) for s in slopes])
    plan = Plan(
        kinds=tuple(gram.kind for gram in rows),
        groups=1,
        labels=None,
        precision="float32",
        compensated=slopes.is_cuda or bool((slopes > STEEP).any()),
        aligned=False,
    )
    lifted = [tensor for gram in (*rows, *others) for tensor in (gram.p, gram.a)]
    return _ClassBlocks.apply(plan, labels, count, width, softness / temperature, slopes, *lifted)


class _ClassBlocks(torch.autograd.Function):
    """Blocks of base-2 logits ℓ = −log2(e) D/softness. A class's is ratio · Σ_k q_k ℓ_k, q their softmax."""

    @staticmethod
    def forward(ctx, plan, labels, count, width, ratio, slopes, *lifted):
        blocks = Blocks(plan, slopes, lifted, keep_values=False)
        sums = slopes.new_full(blocks.shape[:1], -torch.inf)
        for rows, columns in _cuts(blocks, count, width):
            _, _, soft = _soften(blocks.make(rows, columns).logits, count)
            soft = _without_own(soft.mul_(ratio), labels[rows.items] - columns.first)
            top = soft.amax(1, keepdim=True).clamp_min_(torch.finfo(soft.dtype).min / 2)
            more = (soft - top).exp2_().sum(1).log2_().add_(top.squeeze(1))
            torch.logaddexp2(sums[rows.items], more, out=sums[rows.items])
        ctx.save_for_backward(slopes, labels, sums, *lifted)
        ctx.choices = plan, count, width, ratio
        return sums / LOG2_E

    @staticmethod
    @first_order
    def backward(ctx, grad):
        slopes, labels, sums, *lifted = ctx.saved_tensors
        (plan, count, width, ratio), wanted = ctx.choices, ctx.needs_input_grad[5:]
        blocks = Blocks(plan, slopes, lifted, keep_values=wanted[0])
        sides = wanted[1 : 1 + len(lifted) // 2], wanted[1 + len(lifted) // 2 :]
        blocks.prepare(rows=any(sides[0]), columns=any(sides[1]))
        sums = sums.masked_fill(sums == -torch.inf, torch.inf)
        for rows, columns in _cuts(blocks, count, width):
            block = blocks.make(rows, columns)
            weights, total, soft = _soften(block.logits, count)
            shares = _without_own(soft * ratio, labels[rows.items] - columns.first).sub_(sums[rows.items, None]).exp2_()
            shares.mul_(grad[rows.items, None] * ratio).div_(total)
            # A class's logit moves with ℓ_k by q_k (1 + ln 2 (ℓ_k − Σ q ℓ)).
            logits = block.logits.unflatten(1, (count, -1))
            logits.sub_(soft.unsqueeze(1)).mul_(math.log(2)).add_(1).mul_(weights).mul_(shares.unsqueeze(1))
            blocks.pull(block.logits, block, rows, columns)
        return None, None, None, None, None, blocks.grad_slopes, *blocks.gradients()


def _cuts(blocks: Blocks, count: int, width: int) -> Iterator[tuple[Cut, Cut]]:
    """Runs of rows, and of columns by `width` whole classes, whose `first` and `count` are in classes."""
    height, columns = blocks.shape
    most = (_CUDA if blocks.slopes.is_cuda else _CPU)[0]
    for row in range(0, height, most):
        for first in range(0, columns // count, width):
            stop = min(first + width, columns // count)
            yield Cut(row, min(row + most, height), 0, 1), Cut(first * count, stop * count, first, stop - first)


def _soften(logits: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """A block's logits (rows, count × classes) → 2^(logits − largest of the class) (rows, count, classes), their sums over
    the class (rows, classes), and the softmax-weighted mean of its logits (rows, classes)."""
    logits = logits.unflatten(1, (count, -1))
    weights = (logits - logits.amax(1, keepdim=True)).exp2_()
    total = weights.sum(1)
    return weights, total, (weights * logits).sum(1).div_(total)


def _without_own(soft: Tensor, own: Tensor) -> Tensor:
    """−inf in the column `own` of each row, where there is such a column."""
    inside = (own >= 0) & (own < soft.shape[1])
    at = own.clamp(0, soft.shape[1] - 1).unsqueeze(1)
    kept = soft.gather(1, at).masked_fill_(inside.unsqueeze(1), -torch.inf)
    return soft.scatter_(1, at, kept)
