"""Paragraphs, tables and pictures as a document: for the terminal, in Markdown, and as one page that holds everything."""

import base64
import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from ..files import replacing, write_text

if TYPE_CHECKING:  # it takes long to import, and most processes draw nothing
    from matplotlib.figure import Figure


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
        lines = [list(map(printable, line)) for line in (self.header, *self.rows)]
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


def printable(text: str) -> str:
    """The text with what a terminal might take for a command, such as ESC and a new line, spelled out."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


@dataclass(frozen=True)
class Picture:
    """A figure, the name of its file without suffix, and its caption."""

    name: str
    caption: str
    figure: "Figure"

    @property
    def kind(self) -> str:
        return "picture"

    @cached_property
    def png(self) -> bytes:
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png")
        return buffer.getvalue()

    def base64(self) -> str:
        """The PNG as text, for a page."""
        return base64.b64encode(self.png).decode("ascii")

    def write(self, folder: Path) -> None:
        """NAME.png and NAME.svg."""
        with replacing(folder / f"{self.name}.png") as temporary:
            temporary.write_bytes(self.png)
        with replacing(folder / f"{self.name}.svg") as temporary:
            self.figure.savefig(temporary, format="svg")


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it; paragraphs are plain text. `numbers` are for programs, as JSON has them."""

    heading: str
    blocks: Sequence[str | Table | Picture]
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pictures(self) -> list[Picture]:
        return [block for block in self.blocks if isinstance(block, Picture)]


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
        return template("document.html").render(document=self)

    def write(self, folder: Path, name: str) -> None:
        """NAME.md, NAME.html, and each picture as .png and .svg."""
        for section in self.sections:
            for picture in section.pictures:
                picture.write(folder)
        self.write_pages(folder, name)

    def write_pages(self, folder: Path, name: str) -> None:
        """NAME.md and NAME.html, whose pictures' files are there already."""
        write_text(folder / f"{name}.md", self.markdown())
        write_text(folder / f"{name}.html", self.html())


def template(name: str) -> jinja2.Template:
    """One of the pages beside this file."""
    folder = files("horosphere.report")
    loader = jinja2.FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8"))
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=loader)
    environment.filters["percent"] = lambda value: "" if value is None else f"{100 * value:.1f}"
    return environment.get_template(name)
