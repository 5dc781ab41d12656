"""Studies: methods compared and swept, and what a model is worth beyond retrieval: probes, transfer to detection, scenes.

Imports `training` and all below it; the command line calls them.
"""

from .compare import compare
from .curves import sweep_document
from .delta import delta_table, measure_deltas
from .detector import make_detector
from .outcome import comparison_document
from .probe import LinearProbe, linear_probe, neighbour_votes, probe, probe_table
from .scenes import scenes
from .source import load_model
from .sweep import sweep
from .transfer import load_detector, resume_transfer, transfer, transfer_table

__all__ = [
    "LinearProbe",
    "compare",
    "comparison_document",
    "delta_table",
    "linear_probe",
    "load_detector",
    "load_model",
    "make_detector",
    "measure_deltas",
    "neighbour_votes",
    "probe",
    "probe_table",
    "resume_transfer",
    "scenes",
    "sweep",
    "sweep_document",
    "transfer",
    "transfer_table",
]
