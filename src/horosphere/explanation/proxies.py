"""What a run's loss has learned to stand for its classes."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from .. import build
from ..data import RetrievalData
from ..errors import InputError
from ..losses import Chest, Loss
from ..losses.proxies import ProxyLoss
from ..spaces import Space
from .subject import Subject


def proxies_of(subject: Subject) -> tuple[RetrievalData, dict[str, tuple[Space, Tensor, Tensor | None]]] | None:
    """The training data of a run, whose classes in order the proxies stand for, and by name a space, the centroid of each
    class's proxies (C, p), and the one norm at which a hierarchy was trained over them, if any; None where there are none.

    Raises InputError where the training data cannot be read, so that nobody knows the classes, and where the file of what
    the loss has learned does not fit the loss.
    """
    run = subject.run
    if run is None or not run.loss_path.is_file():
        return None
    config = run.retrieval
    try:
        data = build.training_split(config, build.data(config.data))
    except (InputError, OSError) as error:
        raise InputError(f"the training classes are not known: {error}") from None
    classes = len(np.unique(data.labels))
    loss = build.loss(config, subject.space, classes)
    if not isinstance(loss, ProxyLoss | Chest):
        return None
    _load(loss, run.loss_path)
    losses = {"proxies": loss}
    norms = {}
    if isinstance(loss, Chest):
        losses = {"proxies, sphere": loss.spherical, "proxies, hyperbolic": loss.hyperbolic}
        if loss.hierarchy is not None:
            norms["proxies, hyperbolic"] = loss.hierarchy.norm.detach()
    found = {}
    with torch.no_grad():
        for name, own in losses.items():
            if isinstance(own, ProxyLoss):
                owner = torch.arange(classes).repeat_interleave(own.centres)
                found[name] = own.space, own.space.centroids(own.proxies(), owner, classes), norms.get(name)
    return (data, found) if found else None


def _load(loss: Loss, path: Path) -> None:
    """Give a loss all that it has learned, and nothing else: what the file lacked would stay random."""
    own = {id(parameter) for group in loss.parameter_groups() for parameter in group["params"]}
    expected = {name: parameter for name, parameter in loss.named_parameters() if id(parameter) in own}
    given = load_file(path)
    shapes = [{name: tuple(tensor.shape) for name, tensor in tensors.items()} for tensors in (given, expected)]
    if shapes[0] != shapes[1]:
        raise InputError(f"{path} does not fit the run's loss: it holds {shapes[0]}, and the loss has learned {shapes[1]}")
    loss.load_state_dict(given, strict=False)  # proxies of a part of weight 0 are not learned, nor saved
