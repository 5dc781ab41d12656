"""How the geometry fared while training."""

from dataclasses import asdict

from ..config import ExplainConfig
from ..insight import TrainingWarning
from ..report.document import Section, Table
from ..report.telemetry import training_picture, warnings_of
from .subject import NotHere, Subject


def telemetry(subject: Subject, options: ExplainConfig, progress: bool) -> Section:
    """The run's curves, what they warn of, and the numbers of its first and last lines. Of nothing but a run."""
    if subject.run is None:
        raise NotHere("a file of points has no telemetry: explain the run that it came from.")
    lines = [entry for entry in subject.run.metrics() if entry.get("loss") is not None]
    if not lines:
        raise NotHere(f"{subject.run.metrics_path} has no line yet.")
    warnings = warnings_of(subject.run, subject.space)
    words = [_sentence(warning) for warning in warnings] or ["Nothing in the telemetry stands out."]
    last = {name: value for name, value in lines[-1].items() if name != "images_per_second"}
    rows = [[name, _figure(lines[0].get(name)), _figure(value)] for name, value in last.items() if name != "step"]
    header = ["in the batch", f"step {lines[0]['step']:,}", f"step {last['step']:,}"]
    return Section(
        "Telemetry",
        [*words, training_picture(subject.run, subject.space), Table(header, rows)],
        {"warnings": [asdict(warning) for warning in warnings], "last": last},
    )


def _sentence(warning: TrainingWarning) -> str:
    return f"{warning.kind.capitalize()}. {warning.text}"


def _figure(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4g}"
