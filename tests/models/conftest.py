from pathlib import Path

import pytest
import torch

from horosphere.models import Embedder
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

SHARED = Path(__file__).parents[3] / "shared" / "data"

SPACES = {
    "sphere": lambda: Sphere(),
    "euclidean": lambda: Euclidean(),
    "hyperbolic": lambda: Hyperbolic(),
    "learned": lambda: Hyperbolic(0.3, clip=2.0, clipping="soft", learnable_curvature=True),
    "mixed": lambda: Mixed(
        [Sphere(), Hyperbolic(0.1, learnable_curvature=True), Hyperbolic(1.0, radius=1.0)],
        weights=[1.0, 3.0, 0.5],
        learnable_weights=True,
    ),
}


@pytest.fixture
def make():
    """A tiny vision transformer's Embedder for 32 × 32 images, with 16 features."""

    def make(space="sphere", **options) -> Embedder:
        torch.manual_seed(0)
        options = {"encoder": "test_vit", "dim": 16, "encoder_options": {"img_size": 32}} | options
        space = SPACES[space]() if isinstance(space, str) else space
        return Embedder(options.pop("encoder"), space, options.pop("dim"), **options)

    return make


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def shared():
    """A file of the shared data; the test skips where it is absent."""

    def shared(name: str) -> Path:
        if not (path := SHARED / name).exists():
            pytest.skip(f"needs shared/data/{name} beside the repository")
        return path

    return shared
