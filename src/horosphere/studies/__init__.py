"""What is trained on top of a model, or beside it, to learn what it is worth: probes and transfer to detection.

Imports every room below it; the command line calls it.
"""

from .detector import make_detector
from .probe import LinearProbe, linear_probe, neighbour_votes, probe, probe_table
from .source import load_model
from .transfer import load_detector, resume_transfer, transfer, transfer_table

__all__ = [
    "LinearProbe",
    "linear_probe",
    "load_detector",
    "load_model",
    "make_detector",
    "neighbour_votes",
    "probe",
    "probe_table",
    "resume_transfer",
    "transfer",
    "transfer_table",
]
