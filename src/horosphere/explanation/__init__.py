"""`horosphere explain`: what the geometry of a run, or of any file of points, does.

A section asks `insight` and `evaluation` about the subject and puts the answers into words, tables and pictures. Imports
`report`, `models`, `data`, `insight` and `evaluation`; the command line calls it.
"""

from .explain import SECTIONS, explain
from .subject import NotHere, Subject, read_subject

__all__ = ["SECTIONS", "NotHere", "Subject", "explain", "read_subject"]
