"""How good embeddings are: streamed, exact retrieval metrics with intervals, and the cosine-in-disguise check.

Imports `spaces`, `errors` and `processes` only. Training calls it between epochs, studies and the command line at the end.
"""

from .bootstrap import class_bootstrap
from .correlation import CosineAgreement, cosine_agreement, rank_correlation
from .report import RetrievalReport
from .retrieval import evaluate_retrieval

__all__ = [
    "CosineAgreement",
    "RetrievalReport",
    "class_bootstrap",
    "cosine_agreement",
    "evaluate_retrieval",
    "rank_correlation",
]
