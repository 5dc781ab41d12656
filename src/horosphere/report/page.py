"""report.json and report.html of a run, with its pictures."""

import base64
import json
from dataclasses import replace
from importlib.metadata import version
from importlib.resources import files

import jinja2

from ..config import to_yaml
from ..files import replacing, write_text
from ..models import Embedded, Embedder
from ..runs import Run
from .judge import Judgement


def write_report(run: Run, model: Embedder, embedded: Embedded, judgement: Judgement, *, page: bool = True) -> Judgement:
    """Write a run's pictures, report.html and, last, report.json, which marks the run as finished; return what is in it.

    Args:
        run: the run's folder.
        model: the trained model, on the CPU.
        embedded: the images it was judged on, through the model.
        judgement: by `judge_model`, of those images.
        page: without it, only report.json.
    """
    config = run.config
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
        **judgement.to_dict(),
    }
    if page:
        _write_page(run, model, embedded, judgement, report)
    write_text(run.report_path, json.dumps(report, indent=2) + "\n")
    return judgement


def _write_page(run: Run, model: Embedder, embedded: Embedded, judgement: Judgement, report: dict) -> None:
    from .pictures import pictures_of, png  # most processes draw nothing, and matplotlib takes long to import

    config = run.config
    pictures = pictures_of(run, model, embedded, judgement)
    (run.folder / "pictures").mkdir(exist_ok=True)
    embedded_pictures = []
    for name, (caption, figure) in pictures.items():
        content = png(figure)
        with replacing(run.folder / "pictures" / f"{name}.png") as temporary:
            temporary.write_bytes(content)
        embedded_pictures.append((name, caption, base64.b64encode(content).decode("ascii")))
    ks = config.evaluation.ks
    metrics = [*(f"recall@{k}" for k in ks), "map_at_r", "r_precision"]
    html = _template().render(report=report, config_yaml=to_yaml(config), pictures=embedded_pictures, ks=ks, metrics=metrics)
    write_text(run.page_path, html)


def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["percent"] = lambda value: "" if value is None else f"{100 * value:.1f}"
    return environment.from_string(files("horosphere.report").joinpath("report.html").read_text(encoding="utf-8"))
