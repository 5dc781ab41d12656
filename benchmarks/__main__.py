"""Run every benchmark, print its ratios and write RESULTS.md: python -m benchmarks, or make bench."""

import platform
from datetime import date
from pathlib import Path

import torch

from horosphere.files import write_text

from . import pairwise, retrieval

RESULTS = Path(__file__).parent / "RESULTS.md"
TARGETS = {
    "pairwise": "at most 5 × the floor, and more than 100 × faster than the published loop at d = 9.",
    "retrieval": "Recall@K at most 1.3 × the floor, all metrics at most 2 ×, of a mixture at most 3 ×, in bounded memory.",
}


def machine() -> str:
    """The processor, its cores and the library, in words."""
    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def table(rows: list[dict]) -> str:
    """Rows as Markdown."""
    lines = ["| what | time | × floor | more memory |", "| --- | ---: | ---: | ---: |"]
    for row in rows:
        took = f"{row['seconds']:,.2f} s" if row["seconds"] >= 1 else f"{1e3 * row['seconds']:.2f} ms"
        memory = f"{row['megabytes']:.0f} MB" if "megabytes" in row else ""
        lines.append(f"| {row['name']} | {took} | {row['ratio']:,.2f} | {memory} |")
    return "\n".join(lines)


def main() -> None:
    torch.set_num_threads(2)
    sections = []
    for name, module in (("pairwise", pairwise), ("retrieval", retrieval)):
        print(f"running {name} …", flush=True)
        rows = module.run()
        heading = module.__doc__.splitlines()[0].split(": python")[0]
        lines = [f"## {heading}", f"`python -m benchmarks.{name}`. Target: {TARGETS[name]}", table(rows)]
        if name == "pairwise":
            took = {row["name"]: row["seconds"] for row in rows}
            speedups = [f"{took[f'published loop, d = {d}'] / took[f'ours, d = {d}']:,.0f} × at d = {d}" for d in (9, 2)]
            lines.append(f"Faster than the published loop: {', '.join(speedups)}.")
        sections.append("\n\n".join(lines))
        print(sections[-1], flush=True)
    head = (
        "# Results of the benchmarks\n\n"
        f"Written by `make bench` on {date.today():%Y-%m-%d}: {machine()}. Ratios are of figures measured in one run on the "
        "same threads; what each row is, its module's docstring says."
    )
    write_text(RESULTS, "\n\n".join([head, *sections]) + "\n")


if __name__ == "__main__":
    main()
