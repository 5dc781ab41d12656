"""How good embeddings are: streamed, exact retrieval metrics with intervals, and the cosine-in-disguise check.

Imports `spaces`, `errors` and `processes` only. Training calls it between epochs, studies and the command line at the end.
"""

from .bootstrap import class_bootstrap
from .correlation import CosineAgreement, cosine_agreement, rank_correlation
from .hierarchy import Dendrogram, average_linkage, dasgupta_cost, decode, dendrogram_purity, random_dendrogram
from .report import RetrievalReport
from .retrieval import evaluate_retrieval

__all__ = [
    "CosineAgreement",
    "Dendrogram",
    "RetrievalReport",
    "average_linkage",
    "class_bootstrap",
    "cosine_agreement",
    "dasgupta_cost",
    "decode",
    "dendrogram_purity",
    "evaluate_retrieval",
    "random_dendrogram",
    "rank_correlation",
]
