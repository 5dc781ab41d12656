"""A page of sections about one subject."""

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from ..config import ExplainConfig, SectionName, is_points_file
from ..errors import InputError
from ..files import write_text
from ..report.document import Document, Section
from .delta import delta
from .disk import disk
from .hierarchy import hierarchy
from .negatives import negatives
from .neighbours import neighbours
from .radius import radius
from .subject import NotHere, Subject, read_subject
from .telemetry import telemetry

#: What makes each section, in the order of the page.
SECTIONS: dict[SectionName, Callable[[Subject, ExplainConfig, bool], Section]] = {
    "telemetry": telemetry,
    "neighbours": neighbours,
    "negatives": negatives,
    "radius": radius,
    "hierarchy": hierarchy,
    "disk": disk,
    "delta": delta,
}


def explain(options: ExplainConfig, *, progress: bool = True) -> tuple[Document, Path]:
    """Explain a run or a file of points: writes report.html, report.md, the pictures and explain.json; gives their folder.

    Each section is on the page as soon as it is made, so that one that is stopped leaves those before it.

    Raises:
        InputError: where there is nothing to explain, or the folder holds something else.
    """
    folder = _folder(options)
    subject = read_subject(options, progress)
    folder.mkdir(parents=True, exist_ok=True)
    _remove_pictures(folder)
    title, subtitle = f"What the geometry of {subject.name} does", _line(subject)
    document = Document(title, subtitle, [])
    record = {
        "horosphere": version("horosphere"),
        "target": str(options.target),
        "points": len(subject),
        "space": subject.space.describe(settled=True),
        "pictures": [],
        "sections": {},
    }
    _write_record(folder, record)  # from here on the folder is known as an explanation's
    for name in (name for name in SECTIONS if name in options.sections):
        try:
            section = SECTIONS[name](subject, options, progress)
        except NotHere as why:
            section = Section(name.capitalize(), [f"Not here: {why}"], {"not_here": str(why)})
        record["pictures"] += [picture.name for picture in section.pictures]
        _write_record(folder, record)
        for picture in section.pictures:
            picture.write(folder)
        document = Document(title, subtitle, [*document.sections, section])
        document.write_pages(folder, "report")
        record["sections"][name] = section.numbers
        _write_record(folder, record)
    return document, folder


def _write_record(folder: Path, record: dict) -> None:
    write_text(folder / "explain.json", json.dumps(record, indent=2, allow_nan=False) + "\n")


def _remove_pictures(folder: Path) -> None:
    """Those of an earlier call, which may have had other sections."""
    if (path := folder / "explain.json").exists():
        for name in json.loads(path.read_text(encoding="utf-8")).get("pictures", []):
            for suffix in ("png", "svg"):
                (folder / f"{name}.{suffix}").unlink(missing_ok=True)


def _line(subject: Subject) -> str:
    present = len(set(subject.labels.tolist()))
    return f"{len(subject):,} points of {present:,} classes · Horosphere {version('horosphere')}"


def _folder(options: ExplainConfig) -> Path:
    target = options.target
    if options.output is not None:
        folder = options.output
    elif is_points_file(target):
        folder = target.with_name(f"{target.stem}-explain")
    else:
        folder = target / "explain"
    if folder.exists() and not (folder.is_dir() and ((folder / "explain.json").exists() or not any(folder.iterdir()))):
        raise InputError(f"{folder} holds other files; give another folder with -o")
    return folder
