"""The judgement of a run: numbers (report.json) and a page that explains them (report.html).

Imports `models`, `data`, `evaluation` and `insight`; `training` and the command line call it at the end.
"""

from .judge import Judgement, Row, judge
from .page import write_report

__all__ = ["Judgement", "Row", "judge", "write_report"]
