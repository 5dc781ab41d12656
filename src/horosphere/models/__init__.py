"""How images become points: timm encoders, heads, and the Embedder that joins them with a space.

Imports `spaces` and `data`; `losses` beside it judges what it returns, `training` above it moves its weights.
"""

from .embedder import Embedder
from .embedding import Embedded, EmbeddedBatch, embed_data, embedded_batches
from .encoders import create_encoder, freeze_encoder
from .heads import Heads
from .momentum import MomentumEncoder, Projection, Projector
from .onnx import export_onnx

__all__ = [
    "Embedded",
    "EmbeddedBatch",
    "Embedder",
    "Heads",
    "MomentumEncoder",
    "Projection",
    "Projector",
    "create_encoder",
    "embed_data",
    "embedded_batches",
    "export_onnx",
    "freeze_encoder",
]
