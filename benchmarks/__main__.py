"""Run benchmarks and write their figures into RESULTS.md: python -m benchmarks [NAME ...], or make bench for all."""

import argparse
import platform
import re
from datetime import date
from pathlib import Path

import torch

from horosphere.files import write_text

from . import (
    contrast,
    cuda,
    data,
    delta,
    embedding,
    milvus,
    negatives,
    pairwise,
    proxies,
    retrieval,
    scaling,
    search,
    serving,
    training,
)

RESULTS = Path(__file__).parent / "RESULTS.md"
HEAD = """# Results of the benchmarks

Written by `make bench`. Each section's ratios are of figures measured in one run on the same threads; what each row is, its
module's docstring says."""
#: In the order of the file: a module, and what it should reach.
SECTIONS = {
    pairwise: "at K = 900 and at 32,768 at most 2 × the floor, at d = 9 at least 300 × faster than the published loop; at "
    "32,768 less than 300 MB more memory.",
    cuda: "on an H100 K = 65,536 in at most 160 ms, in TF32 60 ms; K = 131,072 runs; at 32,768 at least 5 × faster than "
    "plain autograd.",
    proxies: "none; SoftTriple against plain autograd, in time and memory.",
    retrieval: "Recall@K at most 1.3 × one product, all metrics at most 2 ×, of a mixture 3 × its products; a gallery of a "
    "million in bounded memory.",
    search: "of the realistic set the graph's recall@10 at least 0.99 in at most 0.1 × the time of exact search; of the "
    "hard set exact search, and the index says so.",
    milvus: "none; a server beside the embedded index, by `make bench-milvus`.",
    negatives: "none; what the weights of negatives cost beside the products of their distances, in bounded memory.",
    delta: "at least 10 × faster than the n³ tensor at n = 1,000, so at most 0.1 × its time; 2,000 points in well under "
    "1 GB.",
    training: "4/3 of the time in chunks; at most 2 ms of the loop's own a step.",
    data: "2 × (500 × 375) and 3 × (1024 × 768) timm's images per second, at 48 dB or more.",
    embedding: "at least 95 % of bare timm's speed, so at most 1.05 × its time.",
    contrast: "a step with scenes at most 1.23 × one without, the published code's own ratio, though by passes it is 1.5.",
    serving: "no request lost, and memory that does not grow.",
    scaling: "none; how time and memory grow.",
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
        if "note" in row:
            lines.append(f"| {row['name']} | {row['note']} | | |")
            continue
        took = f"{row['seconds']:,.2f} s" if row["seconds"] >= 1 else f"{1e3 * row['seconds']:.2f} ms"
        memory = f"{row['megabytes']:.0f} MB" if "megabytes" in row else ""
        lines.append(f"| {row['name']} | {took} | {row['ratio']:,.2f} | {memory} |")
    return "\n".join(lines)


def section(module, target: str) -> str:
    """A module's heading, command, target and figures, as Markdown."""
    rows = list(module.run())
    figures = getattr(module, "table", table)(rows) if rows else "Not run: no CUDA device."
    command = f"`python -m {module.__name__}`, {date.today():%Y-%m-%d}, {machine()}. Target: {target}"
    lines = [f"## {_heading(module)}", command, figures]
    if module is pairwise:
        took = {row["name"]: row["seconds"] for row in rows}
        speedups = [f"{took[f'published loop, d = {d}'] / took[f'ours, d = {d}']:,.0f} × at d = {d}" for d in (9, 2)]
        lines.append(f"Faster than the published loop: {', '.join(speedups)}.")
    return "\n\n".join(lines)


def _heading(module) -> str:
    return module.__doc__.splitlines()[0].split(": python")[0]


def main() -> None:
    names = {module.__name__.rpartition(".")[2]: module for module in SECTIONS}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help=f"what to run, all by default: {', '.join(names)}")
    # A Milvus server is not to be had everywhere.
    wanted = parser.parse_args().name or [name for name in names if name != "milvus"]
    if unknown := set(wanted) - set(names):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    torch.set_num_threads(2)
    # Sections that are not run again stay as they are.
    found = re.split(r"^(?=## )", RESULTS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:] if RESULTS.exists() else []
    known = {text.splitlines()[0][3:]: text.strip() for text in found}
    for name in wanted:
        print(f"running {name} …", flush=True)
        module = names[name]
        known[_heading(module)] = section(module, SECTIONS[module])
        print(known[_heading(module)], flush=True)
        ordered = [known[_heading(module)] for module in SECTIONS if _heading(module) in known]
        write_text(RESULTS, "\n\n".join([HEAD, *ordered]) + "\n")


if __name__ == "__main__":
    main()
