"""Heads: linear maps from an encoding to features."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError

NORMALISE = {
    "none": lambda encodings: encodings,
    "l2": lambda encodings: F.normalize(encodings, dim=-1),
    "layer": lambda encodings: F.layer_norm(encodings, encodings.shape[-1:]),
}


class Heads(nn.Module):
    """Encodings (n, width) → features (n, dim), or with `parts` a list of such, one a part of a mixture.

    Each head is a Linear with orthogonal weight and zero bias (Hyp-ViT §4.1). With more rows than columns or the other
    way round, the shorter side is orthonormal.

    Args:
        width: columns of an encoding.
        dim: columns of a head's features.
        parts: None for one head that all share (HypMix's code), else how many heads (HypMix's two branches).
        normalise_encoding: what an encoding goes through first: "none" (Hyp-ViT), "l2" to unit length (HypMix's paper),
            or "layer", to zero mean and unit variance across its columns, without parameters.

    Raises:
        InputError: for a size below 1 or an unknown normalisation.
    """

    def __init__(
        self,
        width: int,
        dim: int,
        *,
        parts: int | None = None,
        normalise_encoding: Literal["none", "l2", "layer"] = "none",
    ):
        super().__init__()
        if width < 1 or dim < 1:
            raise InputError(f"a head from {width} to {dim} columns; expected at least 1 of each")
        if normalise_encoding not in NORMALISE:
            raise InputError(f"normalise_encoding={normalise_encoding!r}; expected one of {', '.join(NORMALISE)}")
        self.shared = parts is None
        self.normalise_encoding = normalise_encoding
        self.linears = nn.ModuleList(_head(width, dim) for _ in range(parts or 1))

    def forward(self, encodings: Tensor) -> Tensor | list[Tensor]:
        """Encodings (n, width) → features (n, dim), or a list of them."""
        encodings = NORMALISE[self.normalise_encoding](encodings)
        features = [linear(encodings) for linear in self.linears]
        return features[0] if self.shared else features


def _head(width: int, dim: int) -> nn.Linear:
    linear = nn.Linear(width, dim)
    nn.init.orthogonal_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
