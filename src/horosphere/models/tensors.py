"""Tensors of a file into a module: strictly, or not at all."""

from collections.abc import Mapping

from torch import Tensor, nn

from ..errors import InputError


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy `tensors` into the parameters and buffers of `module`, cast to their types.

    Raises:
        InputError: where a name is missing or unexpected, or a shape differs; nothing is copied then.
    """
    own = module.state_dict()
    shapes = [
        f"{name} is {tuple(tensors[name].shape)} where the model's is {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    faults = {
        "missing": [name for name in own if name not in tensors],
        "unexpected": [name for name in tensors if name not in own],
        "of another shape": shapes,
    }
    if any(faults.values()):
        found = "; ".join(
            f"{len(names)} {fault}: {', '.join(names[:3])}{', …' if len(names) > 3 else ''}"
            for fault, names in faults.items()
            if names
        )
        raise InputError(
            f"{source} does not fit this model ({found}); expected exactly its {len(own)} tensors: "
            "check the model's name and options against the ones the file was written with"
        )
    module.load_state_dict(tensors)
