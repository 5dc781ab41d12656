"""The judgement of a run, an encoder or a file of points: numbers (report.json), and a page that explains them.

Imports `models`, `data`, `evaluation` and `insight`; `training` and the command line call it at the end.
"""

from .evaluate import (
    embed_to_file,
    evaluate_encoder,
    evaluate_points,
    evaluate_run,
    rewrite_report,
    rewrite_scene_report,
    write_per_query,
)
from .judge import Judgement, Row, check_headline, judge, judge_model
from .page import write_report
from .scenes import write_scene_report
from .table import text_table

__all__ = [
    "Judgement",
    "Row",
    "check_headline",
    "embed_to_file",
    "evaluate_encoder",
    "evaluate_points",
    "evaluate_run",
    "judge",
    "judge_model",
    "rewrite_report",
    "rewrite_scene_report",
    "text_table",
    "write_per_query",
    "write_report",
    "write_scene_report",
]
