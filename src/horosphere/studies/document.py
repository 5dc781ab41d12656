"""A study's result as a document of paragraphs, tables and pictures: for the terminal, in Markdown, and as a page."""

import base64
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jinja2
from matplotlib.figure import Figure

from ..files import replacing, write_text
from ..report.pictures import png


@dataclass(frozen=True)
class Table:
    """Rows of cells under a header; a row whose first cell is in `strong` stands out."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    strong: frozenset[str] = frozenset()

    @property
    def kind(self) -> str:
        return "table"

    def text(self) -> str:
        """Aligned columns: the first to the left, numbers to the right."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]
        left = [
            column == 0 or not any(row[column][:1] in "+−0123456789<" for row in self.rows if row[column])
            for column in range(len(self.header))
        ]
        text = [
            "  ".join(
                cell.ljust(width) if to_left else cell.rjust(width)
                for cell, width, to_left in zip(line, widths, left, strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join([text[0], "-" * max(map(len, text)), *text[1:]])

    def markdown(self) -> str:
        rows = [[f"**{row[0]}**", *row[1:]] if row[0] in self.strong else row for row in self.rows]
        lines = [self.header, ["---"] * len(self.header), *rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


@dataclass(frozen=True)
class Picture:
    """A figure, the name of its file without suffix, and its caption."""

    name: str
    caption: str
    figure: Figure

    @property
    def kind(self) -> str:
        return "picture"

    def png(self) -> str:
        """The file in base 64."""
        return base64.b64encode(png(self.figure)).decode("ascii")


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it; paragraphs are plain text."""

    heading: str
    blocks: Sequence[str | Table | Picture]


@dataclass(frozen=True)
class Document:
    """A title, a line under it, and sections."""

    title: str
    subtitle: str
    sections: Sequence[Section]

    def text(self) -> str:
        """For the terminal, without pictures."""
        parts = [f"{self.title}\n{self.subtitle}"]
        for section in self.sections:
            texts = [
                f"\n{block.text()}\n" if isinstance(block, Table) else textwrap.fill(block, 125)
                for block in section.blocks
                if not isinstance(block, Picture)
            ]
            if texts:
                parts.append("\n".join([section.heading, *texts]))
        return "\n\n".join(part.rstrip() for part in parts)

    def markdown(self) -> str:
        parts = [f"# {self.title}", self.subtitle]
        for section in self.sections:
            parts.append(f"## {section.heading}")
            for block in section.blocks:
                if isinstance(block, Picture):
                    parts.append(f"![{block.caption}]({block.name}.png)\n\n{block.caption}")
                else:
                    parts.append(block if isinstance(block, str) else block.markdown())
        return "\n\n".join(parts) + "\n"

    def html(self) -> str:
        environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        template = files("horosphere.studies").joinpath("study.html").read_text(encoding="utf-8")
        return environment.from_string(template).render(document=self)

    def write(self, folder: Path, name: str) -> None:
        """NAME.md, NAME.html, and each picture as .png and .svg."""
        for picture in (block for section in self.sections for block in section.blocks if isinstance(block, Picture)):
            for suffix in ("png", "svg"):
                with replacing(folder / f"{picture.name}.{suffix}") as temporary:
                    picture.figure.savefig(temporary, format=suffix)
        write_text(folder / f"{name}.md", self.markdown())
        write_text(folder / f"{name}.html", self.html())
