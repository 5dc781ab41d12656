"""report.json and report.html of a run, with its pictures."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version

from ..config import to_yaml
from ..files import write_text
from ..models import Embedded, Embedder
from ..runs import Run
from .document import Picture, template
from .judge import Judgement
from .telemetry import warnings_of


def write_report(run: Run, model: Embedder, embedded: Embedded, judgement: Judgement, *, page: bool = True) -> Judgement:
    """Write a run's pictures, report.html and, last, report.json, which marks the run as finished; return what is in it.

    Args:
        run: the run's folder.
        model: the trained model, on the CPU.
        embedded: the images it was judged on, through the model.
        judgement: by `judge_model`, of those images.
        page: without it, only report.json.
    """
    config = run.retrieval
    training = run.training
    judgement = replace(judgement, failures=training.pop("failures") | judgement.failures)
    report = {
        "horosphere": version("horosphere"),
        "recipe": config.recipe,
        "seed": config.seed,
        "judged_on": config.evaluation.judge,
        "data": embedded.data.name,
        "images": len(embedded.data),
        "space": model.space.describe(settled=True),
        "training": training,
        "warnings": [asdict(warning) for warning in warnings_of(run, model.space)],
        **judgement.to_dict(),
    }
    if page:
        _write_page(run, model, embedded, judgement, report)
    write_text(run.report_path, json.dumps(report, indent=2) + "\n")
    return judgement


def _write_page(run: Run, model: Embedder, embedded: Embedded, judgement: Judgement, report: dict) -> None:
    from .pictures import pictures_of  # most processes draw nothing, and matplotlib takes long to import

    config = run.retrieval
    pictures = pictures_of(run, model, embedded, judgement)
    write_pictures(run, pictures)
    ks = config.evaluation.ks
    metrics = [*(f"recall@{k}" for k in ks), "map_at_r", "r_precision"]
    html = template("report.html").render(
        report=report, config_yaml=to_yaml(config), pictures=pictures, ks=ks, metrics=metrics
    )
    write_text(run.page_path, html)


def write_pictures(run: Run, pictures: Sequence[Picture]) -> None:
    """The pictures' files, in the run's folder."""
    folder = run.folder / "pictures"
    folder.mkdir(exist_ok=True)
    for picture in pictures:
        picture.write(folder)
