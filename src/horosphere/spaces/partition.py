"""The core that losses stand on: log Σ exp(−distance/temperature) over many points, in blocks, with its gradient.

The matrix of distances is never kept where it is large: blocks of it are made, summed and thrown away, and made again for
the gradient. Beside the inputs and their lifted copies that takes O(K·D) memory.
"""

import importlib.util
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .gram import values_
from .precision import first_order, full_precision
from .space import Space

BACKENDS = ("auto", "triton", "blocked", "reference")
#: What inner products may be rounded to.
PRECISIONS = ("float32", "tf32", "bf16")
LOG2_E = math.log2(math.e)
#: Rows and columns of a block: a few of its size stay in cache together. A block is no higher than wide.
_ROWS, _COLUMNS = 256, 1024
#: Pairs whose logits and slopes are kept for the gradient instead of being made again: 16 MB each, in float32, a part.
_KEPT = 2**22
#: Where distance / temperature moves faster than this with log(1 + z), the rounding of 1 + z is put right (see `gram`).
STEEP = 64.0


def log_partition(
    space: Space,
    x: Tensor,
    y: Tensor | None = None,
    *,
    temperature: float | Tensor,
    groups: int = 1,
    labels: tuple[Tensor, Tensor] | None = None,
    precision: str = "float32",
    backend: str = "auto",
) -> Tensor:
    """log Σ_j exp(−D(x_i, y_j)/τ) over each group of columns: (n, groups), float32 or the points' float64.

    The reference, in float64, is the back-end of that name:

        logits = -space.pairwise(x, y) / temperature
        logits[labels[0][:, None] == labels[1]] = -inf
        logits.view(n, groups, m // groups).logsumexp(2)

    It serves batches against themselves, proxies and queues alike. The gradient reaches the points, what the space learns,
    and the temperature. All back-ends are deterministic: none adds in an order that may change.

    Args:
        space: where the points live; its distance is D.
        x: points (n, p), the rows.
        y: points (m, p), the columns; by default x itself, which halves the work.
        temperature: τ > 0, a number or a scalar tensor.
        groups: how many runs of m / groups consecutive columns are summed apart.
        labels: integers of the rows (n,) and of the columns (m,), int32 for speed. Pairs of equal labels are left out;
            where that leaves a sum empty it is −inf. Without labels every pair counts, a point with itself too.
        precision: of the inner products, on CUDA. "float32": exact to float32's rounding. "tf32" and "bf16" round the
            vectors p of `spaces.gram` to 11 and 8 significant bits first: an error of up to 1e-3 and 8e-3 of ‖p‖‖p'‖ in z,
            of which close pairs lose most. bf16 rounds the gradient's weights too. Sums stay float32.
        backend: "triton" (CUDA), "blocked" (PyTorch, any device), "reference", or "auto": triton where there is CUDA and
            Triton for float32 points, and else blocked.

    Raises:
        ValueError: for columns that do not divide into the groups, labels that do not fit, or an unknown option.
    """
    columns = x if y is None else y
    if groups < 1 or len(columns) == 0 or len(columns) % groups:
        raise ValueError(f"{len(columns)} columns do not divide into {groups} groups of one size")
    if not isinstance(temperature, Tensor) and not temperature > 0:
        raise ValueError(f"temperature={temperature}: expected a positive number")
    if columns.dtype != x.dtype:
        raise ValueError(f"rows of {x.dtype} and columns of {columns.dtype}: give both in one precision")
    if labels is not None and (labels[0].shape, labels[1].shape) != (x.shape[:1], columns.shape[:1]):
        raise ValueError(
            f"expected a label for each of {len(x)} rows and {len(columns)} columns; given: {tuple(labels[0].shape)} and "
            f"{tuple(labels[1].shape)}"
        )
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend!r}: expected one of {', '.join(BACKENDS)}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r}: expected one of {', '.join(PRECISIONS)}")
    single = x.dtype != torch.float64  # half precision is computed in float32
    if backend == "auto":
        backend = "triton" if x.is_cuda and single and has_triton() else "blocked"
    if backend == "triton" and not single:
        raise ValueError(f"backend='triton' is for float32 points; given: {x.dtype}. Use 'blocked'")
    if precision != "float32" and backend != "triton":
        raise ValueError(f"precision={precision!r} is the triton back-end's, for float32 points on CUDA; use float32")
    if backend == "reference":
        return _reference(space, x, y, temperature, groups, labels)
    rows, others = space.gram(x), [] if y is None else space.gram(y)
    slopes = [gram.scale / temperature for gram in rows]
    slopes = torch.stack([s.to(rows[0].a) if isinstance(s, Tensor) else rows[0].a.new_full((), s) for s in slopes])
    plan = Plan(
        kinds=tuple(gram.kind for gram in rows),
        groups=groups,
        labels=None if labels is None else tuple(v.to(x.device, non_blocking=True) for v in labels),
        precision=precision,
        # A GPU is not asked for what it has learned: it would have to be waited for.
        compensated=slopes.is_cuda or bool((slopes > STEEP).any()),
        aligned=labels is not None and y is None and _aligned(labels, groups),
    )
    lifted = [tensor for gram in (*rows, *others) for tensor in (gram.p, gram.a)]
    if backend == "triton":
        from .kernels import Kernels

        return Kernels.apply(plan, slopes, *lifted)
    return _Blocked.apply(plan, slopes, *lifted)


def has_triton() -> bool:
    """Whether Triton is installed, as it is with most builds of torch for CUDA."""
    return importlib.util.find_spec("triton") is not None


def _aligned(labels: tuple[Tensor, Tensor], groups: int) -> bool:
    x_labels, y_labels = labels
    if x_labels.is_cuda or x_labels is not y_labels:
        return False
    first = x_labels[: len(x_labels) // groups]
    return bool((x_labels.view(groups, -1) == first).all()) and len(first.unique()) == len(first)


def _reference(
    space: Space,
    x: Tensor,
    y: Tensor | None,
    temperature: float | Tensor,
    groups: int,
    labels: tuple[Tensor, Tensor] | None,
) -> Tensor:
    logits = -space.pairwise(x.double(), None if y is None else y.double()) / temperature
    if labels is not None:
        logits = logits.masked_fill((labels[0][:, None] == labels[1]).to(logits.device), -torch.inf)
    return logits.view(len(x), groups, -1).logsumexp(2)


@dataclass(frozen=True)
class Plan:
    """What is summed: the parts' kinds, the number of groups of columns, and both sides' labels; and how.

    `aligned`: every group has the same labels in the same order, each once.
    """

    kinds: tuple[str, ...]
    groups: int
    labels: tuple[Tensor, ...] | None
    precision: str
    compensated: bool
    aligned: bool


@dataclass(frozen=True)
class Cut:
    """A run of rows or columns: whole groups (`count` of them from group `first`), or a piece of one."""

    start: int
    stop: int
    first: int
    count: int

    @property
    def items(self) -> slice:
        return slice(self.start, self.stop)

    @property
    def groups(self) -> slice:
        return slice(self.first, self.first + self.count)


def _cuts(start: int, size: int, group: int, most: int) -> Iterator[Cut]:
    """`size` items, of which every `group` are one group, from `start` in runs of about `most`."""
    while start < size:
        first, inside = divmod(start, group)
        if inside or group > most:
            stop, count = min(start + most, (first + 1) * group, size), 1
        else:
            count = min(most // group, (size - start) // group)
            stop = start + count * group
        yield Cut(start, stop, first, count)
        start = stop


class _Blocked(torch.autograd.Function):
    """Blocks of base-2 logits: exp2 is several times as fast as exp on a CPU, and the factor costs nothing.

    Of rows against themselves only the blocks on and above the diagonal are made, and each serves both sides.
    """

    @staticmethod
    def forward(ctx, plan, slopes, *lifted):
        wanted = any(ctx.needs_input_grad)
        blocks = Blocks(plan, slopes, lifted, keep_values=ctx.needs_input_grad[1])
        sums = slopes.new_full((blocks.shape[0], plan.groups), -torch.inf)
        keep = wanted and math.prod(blocks.shape) <= _KEPT
        kept = []
        for rows, columns in blocks:
            block = blocks.make(rows, columns)
            own, across = _row_and_column_sums(block.logits, columns.count, rows.count, block.above)
            _add(sums[rows.items, columns.groups], own)
            if across is not None:
                _add(sums[columns.stop - block.above : columns.stop, rows.groups], across)
            if keep:
                kept.append(block)
        ctx.save_for_backward(slopes, sums, *lifted)
        ctx.plan, ctx.kept = plan, (blocks, kept) if keep else None
        return sums / LOG2_E

    @staticmethod
    @first_order
    def backward(ctx, grad):
        slopes, sums, *lifted = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        blocks, kept = ctx.kept or (Blocks(ctx.plan, slopes, lifted, keep_values=wanted[1]), [])
        # A queue's keys want no gradient, and its product is saved.
        blocks.prepare(rows=blocks.itself or any(wanted[2 : 2 + len(lifted) // 2]), columns=any(wanted[-len(lifted) // 2 :]))
        ctx.kept = None  # written over below
        kept = iter(kept)
        # An empty sum has no gradient, and −inf − (−inf) would make one.
        sums = sums.masked_fill(sums == -torch.inf, torch.inf)
        for rows, columns in blocks:
            block = next(kept, None) or blocks.make(rows, columns)
            own = sums[rows.items, columns.groups], grad[rows.items, columns.groups]
            beyond = slice(columns.stop - block.above, columns.stop)
            other = (sums[beyond, rows.groups], grad[beyond, rows.groups]) if block.above else None
            blocks.pull(_shares(block.logits, own, other), block, rows, columns)
        return None, blocks.grad_slopes, *blocks.gradients()


def _row_and_column_sums(logits: Tensor, groups: int, row_groups: int, above: int) -> tuple[Tensor, Tensor | None]:
    """log2 Σ 2^logits of each row over groups of columns (rows, groups), and of the last `above` columns over groups of
    rows (above, row groups)."""
    own = _log2_sum(logits.unflatten(1, (groups, -1)), 2)
    return own, _log2_sum(logits[:, -above:].unflatten(0, (row_groups, -1)), 1).T if above else None


def _log2_sum(logits: Tensor, dim: int) -> Tensor:
    """−inf where all logits are."""
    top = logits.amax(dim, keepdim=True).clamp_min_(torch.finfo(logits.dtype).min / 2)
    return (logits - top).exp2_().sum(dim).log2_().add_(top.squeeze(dim))


def _add(sums: Tensor, more: Tensor) -> None:
    """Add to sums kept as base-2 logarithms."""
    torch.logaddexp2(sums, more, out=sums)


def _shares(logits: Tensor, own: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor] | None) -> Tensor:
    """The gradient to each logit, in base e: its share of each sum that it is in, times the gradient of that sum.

    `own` are the rows' sums and their gradients (rows, groups), `other` those of the columns above the diagonal.
    """
    sums, grad = own
    shares = logits.unflatten(1, (sums.shape[1], -1)) - sums.unsqueeze(2)
    shares = shares.exp2_().mul_(grad.unsqueeze(2)).flatten(1)
    if other is not None:
        sums, grad = other
        above = logits[:, -len(sums) :].unflatten(0, (sums.shape[1], -1)) - sums.T.unsqueeze(1)
        shares[:, -len(sums) :] += above.exp2_().mul_(grad.T.unsqueeze(1)).flatten(0, 1)
    return shares


@dataclass
class Block:
    """What is kept of a block; of its last `above` columns, beyond the rows' own, the rows are columns too."""

    logits: Tensor
    values: list[Tensor]
    over_slopes: list[Tensor | None]
    above: int


class Blocks:
    """The blocks of a problem, and the gradients that they add up to."""

    def __init__(self, plan: Plan, slopes: Tensor, lifted: Sequence[Tensor], keep_values: bool):
        count = 2 * len(plan.kinds)
        self.plan, self.keep_values, self.slopes = plan, keep_values, slopes
        self.itself = len(lifted) == count
        own, others = lifted[:count], lifted[-count:]
        # left · right = z
        self.left = [_left(kind, *own[2 * part : 2 * part + 2]) for part, kind in enumerate(plan.kinds)]
        self.right = [_right(*others[2 * part : 2 * part + 2]) for part in range(len(plan.kinds))]
        self.shape = len(self.left[0]), len(self.right[0])
        self.grad_slopes = torch.zeros_like(slopes) if keep_values else None
        self.row_grads, self.column_grads = [], []

    def __iter__(self) -> Iterator[tuple[Cut, Cut]]:
        height, width = self.shape
        group = width // self.plan.groups
        # Only where rows are columns do the groups cut the rows too.
        for rows in _cuts(0, height, group if self.itself else height, _ROWS):
            for columns in _cuts(rows.start if self.itself else 0, width, group, _COLUMNS):
                yield rows, columns

    def make(self, rows: Cut, columns: Cut) -> Block:
        terms, values, over_slopes = [], [], []
        for kind, left, right, slope in zip(self.plan.kinds, self.left, self.right, self.slopes, strict=True):
            with full_precision(left.device):
                z = left[rows.items] @ right[columns.items].mT
            if self.itself and columns.start == rows.start:
                z.diagonal().zero_()
            value, over_slope = values_(kind, z, compensated=self.plan.compensated)
            over_slopes.append(over_slope)
            if self.keep_values:
                values.append(value.clone())
            terms.append(value.mul_(-LOG2_E * slope))
        logits = terms[0]
        for term in terms[1:]:
            logits += term
        if self.plan.aligned:
            # Comparing labels would take as long as the logarithms.
            groups = logits.unflatten(1, (columns.count, -1)).unflatten(0, (rows.count, -1))
            group = self.shape[1] // self.plan.groups
            groups.diagonal(rows.start % group - columns.start % group, 1, 3).fill_(-torch.inf)
        elif self.plan.labels is not None:
            x_labels, y_labels = self.plan.labels
            logits.masked_fill_(x_labels[rows.items, None] == y_labels[columns.items], -torch.inf)
        above = max(0, columns.stop - max(columns.start, rows.stop)) if self.itself else 0
        return Block(logits, values, over_slopes, above)

    def prepare(self, *, rows: bool, columns: bool) -> None:
        """Make room for the gradients that are wanted."""
        self.row_grads = [torch.zeros_like(side) if rows else None for side in self.left]
        self.column_grads = [torch.zeros_like(side) if columns else None for side in self.right if not self.itself]

    def pull(self, shares: Tensor, block: Block, rows: Cut, columns: Cut) -> None:
        """Add a block's gradient to each side, from that to its logits, which it uses up. Signs and slopes come last."""
        for part, over_slope in enumerate(block.over_slopes):
            if self.grad_slopes is not None:
                self.grad_slopes[part] -= (shares * block.values[part]).sum()
            weights = shares if over_slope is None else torch.div(shares, over_slope, out=over_slope)
            right, to_rows = self.right[part], self.row_grads[part]
            with full_precision(weights.device):
                if to_rows is not None:
                    to_rows[rows.items].addmm_(weights, right[columns.items])
                    if self.itself:
                        # z is symmetric: a column is a row of the transposed weights.
                        to_rows[columns.items].addmm_(weights.mT, right[rows.items])
                if not self.itself and (to_columns := self.column_grads[part]) is not None:
                    to_columns[columns.items].addmm_(weights.mT, self.left[part][rows.items])

    def gradients(self) -> list[Tensor | None]:
        """To p and a of every part of the rows, then of the columns; of both together where they are the same."""
        out = []
        for kind, grad, slope in zip(self.plan.kinds, self.row_grads, self.slopes, strict=True):
            if grad is None:
                out += [None, None]
                continue
            grad.mul_(slope)  # a logit falls with z, and z with p
            grad_a = grad[:, -2:].sum(1, keepdim=True) if kind == "hyperbolic" else grad[:, -2:-1]
            out += [grad[:, :-2], -grad_a]
        for grad, slope in zip(self.column_grads, self.slopes, strict=False):
            out += [None, None] if grad is None else [grad.mul_(-slope)[:, :-2], grad[:, -1:]]
        return out


def _left(kind: str, p: Tensor, a: Tensor) -> Tensor:
    return torch.cat([-p, a, 1 + a if kind == "hyperbolic" else torch.ones_like(a)], 1)


def _right(p: Tensor, a: Tensor) -> Tensor:
    return torch.cat([p, torch.ones_like(a), a], 1)
