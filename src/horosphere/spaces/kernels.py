"""`log_partition` as Triton kernels: no distance leaves the chip, and no two programs write to one place.

A program has a block of rows and walks over the columns: the forward kernel keeps a running sum for a group of columns, the
gradient kernel makes every distance again and adds up its pull on the rows. The gradient to the columns is that of the
transposed problem; of rows against themselves one walk serves both sides. With TRITON_INTERPRET=1 set before the first
import the kernels run on the CPU, slowly, for tests.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .gram import KINDS
from .precision import first_order

_LN_2 = 0.6931471805599453
_LOG2_E = tl.constexpr(1 / _LN_2)
_EUCLIDEAN = tl.constexpr(KINDS.index("euclidean"))
_HYPERBOLIC = tl.constexpr(KINDS.index("hyperbolic"))
#: Rows of a program, columns of a step, and numbers of a vector multiplied at a time.
_ROWS, _COLUMNS, _DEPTH = 64, 64, 64
#: Numbers of a vector whose gradient one program makes: more would need more registers than there are.
_PULLED = 128


class Kernels(torch.autograd.Function):
    """`partition.Plan` and the lifted points (p, a of every part of the rows, then of the columns) → (n, groups)."""

    @staticmethod
    def forward(ctx, plan, slopes, *lifted):
        problem = _Problem(plan, slopes, lifted)
        x, y = problem.x, problem.y
        sums = slopes.new_empty(x.size, plan.groups)
        group = y.size // plan.groups
        with torch.cuda.device_of(slopes):
            _forward[(triton.cdiv(x.size, _ROWS), plan.groups)](
                *x.tensors, *y.tensors, slopes, sums, x.size, y.size, group, plan.groups, num_warps=8, **problem.constants
            )
        ctx.save_for_backward(slopes, sums, *lifted)
        ctx.plan = plan
        return sums * _LN_2

    @staticmethod
    @first_order
    def backward(ctx, grad):
        slopes, sums, *lifted = ctx.saved_tensors
        plan, problem = ctx.plan, _Problem(ctx.plan, slopes, lifted)
        # An empty sum has no gradient, and −inf − (−inf) would make one.
        sums, grad = sums.masked_fill(sums == -torch.inf, torch.inf), grad.contiguous()
        x, y, groups = problem.x, problem.y, plan.groups

        def walk(rows: _Side, columns: _Side, *, own: bool, other: bool) -> tuple[list[Tensor], Tensor]:
            """The gradient to the rows' p and a, part after part, and to the slopes (of the rows' own sums)."""
            grad_p, grad_a = torch.empty_like(rows.p), torch.empty_like(rows.a)
            grad_slopes = slopes.new_zeros(len(slopes), rows.size)
            # A block of rows, or of columns, lies in one group where the sums are grouped by it.
            row_groups, column_groups = groups if other else 1, groups if own else 1
            pulled = min(_PULLED, max(16, triton.next_power_of_2(rows.p.shape[2])))
            blocks = row_groups * triton.cdiv(rows.size // row_groups, _ROWS)
            with torch.cuda.device_of(slopes):
                _backward[(blocks, triton.cdiv(rows.p.shape[2], pulled), len(slopes))](
                    *rows.tensors,
                    *columns.tensors,
                    slopes,
                    sums,
                    grad,
                    grad_p,
                    grad_a,
                    grad_slopes,
                    rows.size,
                    columns.size,
                    rows.size // row_groups,
                    columns.size // column_groups,
                    groups,
                    OWN=own,
                    OTHER=other,
                    PULLED=pulled,
                    num_warps=8,
                    **problem.constants,
                )
            return rows.split(grad_p, grad_a), grad_slopes.sum(1)

        if problem.itself:
            to_rows, to_slopes = walk(x, y, own=True, other=True)
            return None, to_slopes, *to_rows
        to_rows, to_slopes = walk(x, y, own=True, other=False)
        if any(ctx.needs_input_grad[-len(lifted) // 2 :]):
            to_columns, _ = walk(y, x, own=False, other=True)
        else:
            to_columns = [None] * (len(lifted) // 2)  # a queue's keys
        return None, to_slopes, *to_rows, *to_columns


class _Side:
    """Rows or columns: p of all parts (parts, n, widest) filled up with zeros, a (parts, n), labels (n,)."""

    def __init__(self, lifted: tuple[Tensor, ...], labels: Tensor | None):
        self.widths = [p.shape[1] for p in lifted[::2]]
        self.size = len(lifted[0])
        self.p = lifted[0].new_zeros(len(self.widths), self.size, max(self.widths))
        for own, p in zip(self.p, lifted[::2], strict=True):
            own[:, : p.shape[1]] = p
        self.a = torch.stack([a.squeeze(1) for a in lifted[1::2]])
        # A pointer that is never read where there are no labels.
        self.labels = self.a if labels is None else labels.contiguous()

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.p, self.a, self.labels

    def split(self, p: Tensor, a: Tensor) -> list[Tensor]:
        """p and a as `lifted` had them."""
        return [t for i, width in enumerate(self.widths) for t in (p[i, :, :width], a[i, :, None])]


class _Problem:
    def __init__(self, plan, slopes: Tensor, lifted):
        parts = len(plan.kinds)
        self.itself = len(lifted) == 2 * parts
        x_labels, y_labels = plan.labels or (None, None)
        self.x = _Side(lifted[: 2 * parts], x_labels)
        self.y = self.x if self.itself else _Side(lifted[2 * parts :], y_labels)
        dot = {"float32": "ieee" if _without_tf32(slopes.device) else "tf32x3", "tf32": "tf32", "bf16": "ieee"}
        self.constants = {
            "WIDTH": self.x.p.shape[2],
            "KINDS": tuple(KINDS.index(kind) for kind in plan.kinds),
            "ITSELF": self.itself,
            "LABELLED": plan.labels is not None,
            "DOT": dot[plan.precision],
            "HALF": plan.precision == "bf16",
            "ROWS": _ROWS,
            "COLUMNS": _COLUMNS,
            "DEPTH": _DEPTH,
        }


def _without_tf32(device: torch.device) -> bool:
    """Whether float32 products must go without tensor cores, three of whose TF32 products make one of float32."""
    return device.type != "cuda" or torch.version.hip is not None or torch.cuda.get_device_capability(device)[0] < 8


@triton.jit
def _product(p, q, i, j, n, m, part, WIDTH: tl.constexpr, DEPTH: tl.constexpr, DOT: tl.constexpr, HALF: tl.constexpr):
    """p_i · q_j of a part, for rows i and columns j: float32 (rows, columns)."""
    z = tl.zeros((i.shape[0], j.shape[0]), tl.float32)
    for start in range(0, WIDTH, DEPTH):
        k = start + tl.arange(0, DEPTH)
        left = tl.load(p + (part * n + i[:, None]).to(tl.int64) * WIDTH + k, mask=(i[:, None] < n) & (k < WIDTH), other=0.0)
        right = tl.load(q + (part * m + j[:, None]).to(tl.int64) * WIDTH + k, mask=(j[:, None] < m) & (k < WIDTH), other=0.0)
        if HALF:
            left, right = left.to(tl.bfloat16), right.to(tl.bfloat16)
        z = tl.dot(left, tl.trans(right), z, input_precision=DOT)
    return z


@triton.jit
def _distance(z, KIND: tl.constexpr):
    """f(z) and f'(z) of a kind of geometry; f' is 0 where z is."""
    value = z
    slope = tl.full(z.shape, 1.0, tl.float32)
    if KIND == _EUCLIDEAN:
        value = tl.sqrt(z)
        slope = tl.where(z > 0, 0.5 / tl.where(z > 0, value, 1.0), 0.0)
    if KIND == _HYPERBOLIC:
        w = tl.sqrt(z) * tl.sqrt(z + 2)
        slope = tl.where(w > 0, 1 / tl.where(w > 0, w, 1.0), 0.0)
        s = z + w
        # The rounding of 1 + s is put right to first order.
        one_more = 1 + s
        value = tl.log(one_more) + (s - (one_more - 1)) / one_more
    return value, slope


@triton.jit
def _measure(
    p,
    a,
    q,
    b,
    i,
    j,
    n,
    m,
    part,
    WIDTH: tl.constexpr,
    KIND: tl.constexpr,
    ITSELF: tl.constexpr,
    DEPTH: tl.constexpr,
    DOT: tl.constexpr,
    HALF: tl.constexpr,
):
    """f and f' of a part between rows i and columns j."""
    own = tl.load(a + part * n + i, mask=i < n, other=0.0)[:, None]
    other = tl.load(b + part * m + j, mask=j < m, other=0.0)[None]
    z = own + other - _product(p, q, i, j, n, m, part, WIDTH, DEPTH, DOT, HALF)
    if KIND == _HYPERBOLIC:
        z += own * other
    z = tl.where(z < 0, 0.0, z)  # not tl.maximum, which takes NaN for 0
    if ITSELF:
        z = tl.where(i[:, None] == j[None], 0.0, z)
    return _distance(z, KIND)


@triton.jit
def _counts(x_labels, y_labels, i, j, last_row, last_column, LABELLED: tl.constexpr):
    """Which pairs are summed: those inside, of other labels."""
    counts = (i[:, None] < last_row) & (j[None] < last_column)
    if LABELLED:
        own = tl.load(x_labels + i, mask=i < last_row, other=0)
        other = tl.load(y_labels + j, mask=j < last_column, other=0)
        counts = counts & (own[:, None] != other[None])
    return counts


@triton.jit
def _forward(
    p,
    a,
    x_labels,
    q,
    b,
    y_labels,
    slopes,
    sums,
    n,
    m,
    group,
    groups,
    WIDTH: tl.constexpr,
    KINDS: tl.constexpr,
    ITSELF: tl.constexpr,
    LABELLED: tl.constexpr,
    DOT: tl.constexpr,
    HALF: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """log2 Σ 2^logit of a block of rows over one group of columns."""
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    first = tl.program_id(1) * group
    top = tl.full((ROWS,), -1e38, tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    for start in range(0, group, COLUMNS):
        j = first + start + tl.arange(0, COLUMNS)
        logits = tl.zeros((ROWS, COLUMNS), tl.float32)
        for part in tl.static_range(len(KINDS)):
            value, _ = _measure(p, a, q, b, i, j, n, m, part, WIDTH, KINDS[part], ITSELF, DEPTH, DOT, HALF)
            logits -= tl.load(slopes + part) * _LOG2_E * value
        counts = _counts(x_labels, y_labels, i, j, n, first + group, LABELLED)
        logits = tl.where(counts, logits, -float("inf"))
        higher = tl.maximum(top, tl.max(logits, 1))
        total = total * tl.exp2(top - higher) + tl.sum(tl.exp2(logits - higher[:, None]), 1)
        top = higher
    # A sum of NaN stays NaN.
    result = tl.where(total == 0, -float("inf"), top + tl.log2(tl.where(total == 0, 1.0, total)))
    tl.store(sums + i.to(tl.int64) * groups + tl.program_id(1), result, mask=i < n)


@triton.jit
def _backward(
    p,
    a,
    x_labels,
    q,
    b,
    y_labels,
    slopes,
    sums,
    grad,
    grad_p,
    grad_a,
    grad_slopes,
    n,
    m,
    row_group,
    column_group,
    groups,
    OWN: tl.constexpr,
    OTHER: tl.constexpr,
    PULLED: tl.constexpr,
    WIDTH: tl.constexpr,
    KINDS: tl.constexpr,
    ITSELF: tl.constexpr,
    LABELLED: tl.constexpr,
    DOT: tl.constexpr,
    HALF: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """The gradient to some columns of p, and to a, of one part of a block of rows.

    OWN: the rows' pairs count in the rows' sums. OTHER: they count in the columns' sums, of the group that the rows are in.
    """
    blocks = tl.cdiv(row_group, ROWS)
    rows_group = tl.program_id(0) // blocks
    last_row = (rows_group + 1) * row_group
    i = rows_group * row_group + tl.program_id(0) % blocks * ROWS + tl.arange(0, ROWS)
    # Beyond the rows' group is another program's work, and memory that may not be ours.
    i = tl.where(i < last_row, i, n)
    k = tl.program_id(1) * PULLED + tl.arange(0, PULLED)
    target = tl.program_id(2)
    pull = tl.zeros((ROWS, PULLED), tl.float32)
    lift = tl.zeros((ROWS,), tl.float32)
    steep = tl.zeros((ROWS,), tl.float32)
    slope_of_target = tl.load(slopes + target)
    for columns_group in range(0, m // column_group):
        first = columns_group * column_group
        if OWN:
            own_sums = tl.load(sums + i.to(tl.int64) * groups + columns_group, mask=i < n, other=float("inf"))[:, None]
            own_grad = tl.load(grad + i.to(tl.int64) * groups + columns_group, mask=i < n, other=0.0)[:, None]
        for start in range(0, column_group, COLUMNS):
            j = first + start + tl.arange(0, COLUMNS)
            last_column = first + column_group
            logits = tl.zeros((ROWS, COLUMNS), tl.float32)
            value_of_target = tl.zeros((ROWS, COLUMNS), tl.float32)
            weights = tl.zeros((ROWS, COLUMNS), tl.float32)
            hyperbolic = 0.0
            for part in tl.static_range(len(KINDS)):
                value, slope = _measure(p, a, q, b, i, j, n, m, part, WIDTH, KINDS[part], ITSELF, DEPTH, DOT, HALF)
                logits -= tl.load(slopes + part) * _LOG2_E * value
                value_of_target = tl.where(part == target, value, value_of_target)
                weights = tl.where(part == target, slope, weights)
                if KINDS[part] == _HYPERBOLIC:
                    hyperbolic = tl.where(part == target, 1.0, hyperbolic)
            counts = _counts(x_labels, y_labels, i, j, n, last_column, LABELLED)
            logits = tl.where(counts, logits, -float("inf"))
            shares = tl.zeros((ROWS, COLUMNS), tl.float32)
            if OWN:
                shares += tl.exp2(logits - own_sums) * own_grad
                steep -= tl.sum(tl.where(counts, shares * value_of_target, 0.0), 1)
            if OTHER:
                inside = j < last_column
                other_sums = tl.load(sums + j.to(tl.int64) * groups + rows_group, mask=inside, other=float("inf"))[None]
                other_grad = tl.load(grad + j.to(tl.int64) * groups + rows_group, mask=inside, other=0.0)[None]
                shares += tl.exp2(logits - other_sums) * other_grad
            weights *= -slope_of_target * shares
            other_a = tl.load(b + target * m + j, mask=j < last_column, other=0.0)
            lift += tl.sum(weights * (1 + hyperbolic * other_a)[None], 1)
            place = (target * m + j[:, None]).to(tl.int64) * WIDTH + k
            right = tl.load(q + place, mask=(j[:, None] < last_column) & (k < WIDTH), other=0.0)
            if HALF:
                pull = tl.dot(weights.to(tl.bfloat16), right.to(tl.bfloat16), pull, input_precision=DOT)
            else:
                pull = tl.dot(weights, right, pull, input_precision=DOT)
    tl.store(grad_p + (target * n + i[:, None]).to(tl.int64) * WIDTH + k, -pull, mask=(i[:, None] < n) & (k < WIDTH))
    if tl.program_id(1) == 0:
        tl.store(grad_a + target * n + i, lift, mask=i < n)
        tl.store(grad_slopes + target * n + i, steep, mask=i < n)
