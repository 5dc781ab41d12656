"""Heads: linear maps, or small networks, from an encoding to features."""

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
        layers: 1, or 2 for a hidden layer of `width` units with ReLU before it, as torch draws them (MoCo v2).

    Raises:
        InputError: for a size below 1, an unknown normalisation, or another number of layers.
    """

    def __init__(
        self,
        width: int,
        dim: int,
        *,
        parts: int | None = None,
        normalise_encoding: Literal["none", "l2", "layer"] = "none",
        layers: Literal[1, 2] = 1,
    ):
        super().__init__()
        if width < 1 or dim < 1:
            raise InputError(f"a head from {width} to {dim} columns; expected at least 1 of each")
        if normalise_encoding not in NORMALISE:
            raise InputError(f"normalise_encoding={normalise_encoding!r}; expected one of {', '.join(NORMALISE)}")
        if layers not in (1, 2):
            raise InputError(f"a head of {layers} layers; expected 1 or 2")
        self.shared, self.layers = parts is None, layers
        self.normalise_encoding = normalise_encoding
        head = _head if layers == 1 else _two_layers
        self.linears = nn.ModuleList(head(width, dim) for _ in range(parts or 1))

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


def _two_layers(width: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dim))
