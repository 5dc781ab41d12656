"""What a run's loss has learned to stand for its classes."""

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from .. import build
from ..data import RetrievalData
from ..losses import Chest
from ..losses.proxies import ProxyLoss
from ..spaces import Space
from .subject import Subject


def proxies_of(subject: Subject) -> tuple[RetrievalData, dict[str, tuple[Space, Tensor, Tensor | None]]] | None:
    """The training data of a run, whose classes in order the proxies stand for, and by name a space, the centroid of each
    class's proxies (C, p), and the one norm at which a hierarchy was trained over them, if any; None where there are none.
    """
    run = subject.run
    if run is None or not run.loss_path.is_file():
        return None
    config = run.retrieval
    data = build.training_split(config, build.data(config.data))
    classes = len(np.unique(data.labels))
    loss = build.loss(config, subject.space, classes)
    loss.load_state_dict(load_file(run.loss_path), strict=False)
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
