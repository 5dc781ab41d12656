"""How good embeddings are: streamed, exact retrieval metrics with intervals, collapse, the cosine-in-disguise check, what a
radius and a distance say about scenes, and COCO's average precision.

Imports `spaces`, `errors` and `processes` only. Training calls it between epochs, studies and the command line at the end.
"""

from .bootstrap import class_bootstrap, mean_interval, too_few
from .calibration import Calibration, calibrate, calibration_error, in_bins, wilson
from .collapse import alignment, effective_rank, uniformity
from .context import ContextReport, out_of_context
from .correlation import CosineAgreement, cosine_agreement, disguise, rank_correlation
from .depth import RadiusByDepth, radius_by_depth
from .detection import DetectionReport, Objects, average_precision
from .hierarchy import Dendrogram, average_linkage, dasgupta_cost, decode, dendrogram_purity, random_dendrogram
from .label_tree import LabelTree
from .mistakes import HierarchicalReport, hierarchical_retrieval
from .nearest import nearest
from .negatives import effective_negatives
from .report import RetrievalReport
from .retrieval import evaluate_retrieval
from .roc import areas_under_roc, auroc
from .selective import SelectionReport, aurc, risk_coverage, selective_risk
from .tree_agreement import TreeAgreement, tree_agreement
from .uncertainty import LabelUncertainty, label_uncertainty

__all__ = [
    "Calibration",
    "ContextReport",
    "CosineAgreement",
    "Dendrogram",
    "DetectionReport",
    "HierarchicalReport",
    "LabelTree",
    "LabelUncertainty",
    "Objects",
    "RadiusByDepth",
    "RetrievalReport",
    "SelectionReport",
    "TreeAgreement",
    "alignment",
    "areas_under_roc",
    "aurc",
    "auroc",
    "average_linkage",
    "average_precision",
    "calibrate",
    "calibration_error",
    "class_bootstrap",
    "cosine_agreement",
    "dasgupta_cost",
    "decode",
    "dendrogram_purity",
    "disguise",
    "effective_negatives",
    "effective_rank",
    "evaluate_retrieval",
    "hierarchical_retrieval",
    "in_bins",
    "label_uncertainty",
    "mean_interval",
    "nearest",
    "out_of_context",
    "radius_by_depth",
    "random_dendrogram",
    "rank_correlation",
    "risk_coverage",
    "selective_risk",
    "too_few",
    "tree_agreement",
    "uniformity",
    "wilson",
]
