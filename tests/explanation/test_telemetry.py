"""The section of a run's telemetry."""

import json

import numpy as np
import pytest
import torch

from horosphere.config import ExplainConfig
from horosphere.explanation import NotHere, Subject
from horosphere.explanation.telemetry import telemetry
from horosphere.report.document import Picture, Table
from horosphere.runs import Run
from horosphere.spaces import Hyperbolic, Mixed, Sphere

from ..training import tiny


def subject(run):
    space = Mixed([Sphere(), Hyperbolic()])
    labels = np.arange(6) // 2
    return Subject("run", space, space(torch.randn(6, 4)), labels, ("a", "b", "c"), np.array(list("abcdef")), run=run)


def options(tmp_path):
    return ExplainConfig(tmp_path)


def test_curves_warnings_and_numbers_of_a_run(tmp_path):
    run = Run(tmp_path / "run")
    run.begin(tiny.config())
    lines = [{"step": i, "loss": 1.0 / i, "images_per_second": 9.0, "hyperbolic/clip_fraction": 0.99} for i in (2, 4)]
    lines += [{"step": 4, "validation/recall@1": 0.5}]
    run.metrics_path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    section = telemetry(subject(run), options(tmp_path), False)
    words, picture, table = section.blocks
    assert isinstance(words, str) and words.startswith("At the clip. hyperbolic: 99.0% of the points")
    assert isinstance(picture, Picture) and isinstance(table, Table)
    assert ["loss", "0.5", "0.25"] in table.rows and table.header[1:] == ["step 2", "step 4"]
    assert section.numbers["last"] == {"step": 4, "loss": 0.25, "hyperbolic/clip_fraction": 0.99}
    assert [warning["kind"] for warning in json.loads(json.dumps(section.numbers))["warnings"]] == ["at the clip"]


def test_a_file_has_none_and_neither_has_a_run_that_wrote_nothing(tmp_path):
    with pytest.raises(NotHere, match="file of points"):
        telemetry(subject(None), options(tmp_path), False)
    run = Run(tmp_path / "run")
    run.begin(tiny.config())
    with pytest.raises(NotHere, match="no line yet"):
        telemetry(subject(run), options(tmp_path), False)
