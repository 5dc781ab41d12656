"""How good embeddings are: streamed, exact retrieval metrics with intervals, the cosine-in-disguise check, what a radius and
a distance say about scenes, and COCO's average precision.

Imports `spaces`, `errors` and `processes` only. Training calls it between epochs, studies and the command line at the end.
"""

from .bootstrap import class_bootstrap
from .context import ContextReport, auroc, out_of_context
from .correlation import CosineAgreement, cosine_agreement, rank_correlation
from .detection import DetectionReport, Objects, average_precision
from .report import RetrievalReport
from .retrieval import evaluate_retrieval
from .uncertainty import LabelUncertainty, label_uncertainty

__all__ = [
    "ContextReport",
    "CosineAgreement",
    "DetectionReport",
    "LabelUncertainty",
    "Objects",
    "RetrievalReport",
    "auroc",
    "average_precision",
    "class_bootstrap",
    "cosine_agreement",
    "evaluate_retrieval",
    "label_uncertainty",
    "out_of_context",
    "rank_correlation",
]
