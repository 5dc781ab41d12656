"""A report as text, for the terminal."""


def text_table(report: dict) -> str:
    """The rows of a report (see `Judgement.to_dict`) as an aligned table, in percent, then what the geometry did, and
    what the training warns of.

    Of a run on scenes, what it learned, in a few lines.
    """
    if report.get("kind") == "scenes":
        return _scenes(report)
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
    first, top = metrics[0], rows[report["headline"]]
    interval = top["intervals"].get(first)
    if interval:
        low, high = (100 * bound for bound in interval)
        name = titles.get(first, first.replace("recall", "R"))
        text.append(f"* 95 % interval of {name} over classes: {low:.1f} to {high:.1f}")
    text.append(f"{top['queries']:,} queries of {top['classes']:,} classes against {top['gallery']:,} images")
    if top["skipped"]:
        text.append(f"{top['skipped']:,} queries have no other image of their class and are left out")
    if count := report["failures"]["count"]:
        text.append(f"{count:,} images could not be read and are left out, first: {next(iter(report['failures']['first']))}")
    for name, agreement in report["cosine_agreement"].items():
        text += ["", f"{name}: {agreement['verdict']}", "  " + _radius(name, agreement, report["geometry"])]
    return "\n".join(text + _warnings(report))


def _scenes(report: dict) -> str:
    lines = [f"after {report['steps']:,} steps, queues {100 * report['queue_fill']:.0f} % full"]
    for name, term in report["terms"].items():
        lines.append(f"{name:<12}loss {term['loss']:.4f}, own key nearest {100 * term['accuracy']:.1f} %")
    if (found := report["found"]) is not None:
        lines += ["", f"{found['scenes']:,} {report['judged_on']} scenes with {found['objects']:,} objects"]
        for name, radius in found["radius"].items():
            lines.append(f"radius of {name:<9}{', '.join(f'{value:.3f}' for value in radius.values())} (5, 50, 95 %)")
        lines.append(f"own scene farther out than the object: {100 * found['own_scene_outside']:.1f} %")
        nearest = found["own_scene_nearest"]
        lines.append(
            f"own scene nearest of all: {100 * nearest['distance']:.1f} % by distance, {100 * nearest['cosine']:.1f} % by "
            f"cosine, {100 * found['chance']:.1f} % by chance"
        )
    if count := report["failures"]["count"]:
        lines.append(f"{count:,} images could not be read, first: {next(iter(report['failures']['first']))}")
    return "\n".join(lines + _warnings(report))


def _warnings(report: dict) -> list[str]:
    """A line a warning; what was only judged, or reported by an earlier version, has none."""
    warnings = report.get("warnings", [])
    return [""] * bool(warnings) + [f"warning: {warning['seen']}; try: {warning['advice']}" for warning in warnings]


def _radius(name: str, agreement: dict, geometry: dict) -> str:
    """Clip fraction, quantiles of √c‖v‖ and the rank correlation of one hyperbolic part."""
    own = {key.split("/")[-1]: value for key, value in geometry.items() if "/" not in key or key.startswith(f"{name}/")}
    parts = []
    if "clip_fraction" in own:
        parts.append(f"{100 * own['clip_fraction']:.1f} % of points at the clip")
    quantiles = ", ".join(f"{own[f'sqrt_c_norm_q{q}']:.3f}" for q in ("05", "50", "95"))
    parts.append(f"√c‖v‖ {'n/a' if agreement['in_disguise'] else f'at 5, 50, 95 %: {quantiles}'}")
    correlation = agreement["rank_correlation"]
    parts.append(f"rank correlation with cosine {'n/a' if correlation is None else f'{correlation:.4f}'}")
    return "; ".join(parts)


def _line(cells: list[str], widths: list[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)])
