"""A report as text, for the terminal."""


def text_table(report: dict) -> str:
    """The rows of a report (see `Judgement.to_dict`) as an aligned table, in percent, then what the geometry did."""
    rows = report["rows"]
    metrics = [
        name for name in next(iter(rows.values())) if name.startswith("recall@") or name in ("map_at_r", "r_precision")
    ]
    titles = {"map_at_r": "MAP@R", "r_precision": "R-precision"}
    header = ["rank by", *(titles.get(name, name.replace("recall", "R")) for name in metrics)]
    lines = [header]
    for name, row in rows.items():
        mark = " *" if name == report["headline"] else ""
        lines.append([name + mark, *(f"{100 * row[metric]:.1f}" for metric in metrics)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    text = [_line(line, widths) for line in lines]
    text.insert(1, "-" * len(text[0]))
    first = metrics[0]
    interval = rows[report["headline"]]["intervals"].get(first)
    if interval:
        text.append(
            f"* 95 % interval of {titles.get(first, first.replace('recall', 'R'))} over classes: "
            f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"
        )
    text += [f"{name}: {agreement['verdict']}" for name, agreement in report["cosine_agreement"].items()]
    return "\n".join(text)


def _line(cells: list[str], widths: list[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)])
