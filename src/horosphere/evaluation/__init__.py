"""How good embeddings are: streamed, exact retrieval metrics with intervals, collapse, the cosine-in-disguise check, what a
radius and a distance say about scenes, and COCO's average precision.

Imports `spaces`, `errors` and `processes` only. Training calls it between epochs, studies and the command line at the end.
"""

from .bootstrap import class_bootstrap, mean_interval
from .collapse import alignment, effective_rank, uniformity
from .context import ContextReport, auroc, out_of_context
from .correlation import CosineAgreement, cosine_agreement, disguise, rank_correlation
from .detection import DetectionReport, Objects, average_precision
from .hierarchy import Dendrogram, average_linkage, dasgupta_cost, decode, dendrogram_purity, random_dendrogram
from .negatives import effective_negatives
from .report import RetrievalReport
from .retrieval import evaluate_retrieval
from .uncertainty import LabelUncertainty, label_uncertainty

__all__ = [
    "ContextReport",
    "CosineAgreement",
    "Dendrogram",
    "DetectionReport",
    "LabelUncertainty",
    "Objects",
    "RetrievalReport",
    "alignment",
    "auroc",
    "average_linkage",
    "average_precision",
    "class_bootstrap",
    "cosine_agreement",
    "dasgupta_cost",
    "decode",
    "dendrogram_purity",
    "disguise",
    "effective_negatives",
    "effective_rank",
    "evaluate_retrieval",
    "label_uncertainty",
    "mean_interval",
    "out_of_context",
    "random_dendrogram",
    "rank_correlation",
    "uniformity",
]
