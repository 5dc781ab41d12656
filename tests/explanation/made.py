"""Small subjects, made without images of a data set."""

import numpy as np
import torch

from horosphere.explanation import Subject
from horosphere.spaces import Hyperbolic, Mixed, Sphere

SUPERCLASSES = tuple(("beast", f"family{i // 4}") for i in range(24))


def subject(space=None, *, classes=24, each=12, noise=0.35, superclasses=True, image=True, seed=0, **changes) -> Subject:
    """Classes in clusters, near to one another where they are of one family."""
    generator = torch.Generator().manual_seed(seed)
    labels = np.repeat(np.arange(classes), each)
    families = torch.randn(6, 8, generator=generator)
    centres = families[torch.arange(classes) // 4 % 6] + 0.5 * torch.randn(classes, 8, generator=generator)
    features = centres[torch.from_numpy(labels)] + noise * torch.randn(len(labels), 8, generator=generator)
    space = space or Hyperbolic(clip=None)
    pictures = np.random.default_rng(seed).integers(0, 255, (len(labels), 8, 8, 1), dtype=np.uint8)
    names = tuple(f"class {i}" for i in range(classes))
    own = {
        "superclasses": SUPERCLASSES[:classes] if superclasses else None,
        "encodings": features,
        "image": (lambda i: pictures[i]) if image else None,
    } | changes
    return Subject("made", space, space(0.3 * features), labels, names, np.arange(len(labels)).astype(str), **own)


def mixed() -> Mixed:
    return Mixed([Sphere(), Hyperbolic(clip=None)], [1.0, 2.0])
