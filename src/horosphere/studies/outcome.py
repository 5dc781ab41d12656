"""What a comparison found: means over seeds, paired differences, and the document that says so."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean, stdev

from ..report.document import Document, Picture, Section, Table
from . import pictures
from .contenders import short, words
from .pictures import metric_title
from .statistics import holm, paired, verdict


def outcome(plan: dict, entries: Mapping[str, dict]) -> dict:
    """The result of a comparison, as far as it is known: what study.json holds.

    plan: what was asked for. entries: for each method what differs, its choices, and its reports by seed.
    """
    recipes = {name: _summary(entry) for name, entry in entries.items()}
    metrics = next((entry["metrics"] for entry in recipes.values() if entry["metrics"]), [])
    complete = all(len(entry["reports"]) == plan["seeds"] for entry in entries.values())
    comparisons = []
    for row in ("headline", "encoder"):
        for metric in metrics:
            comparisons += _family(recipes, plan["reference"], row, metric)
    return plan | {"complete": complete, "metrics": metrics, "recipes": recipes, "comparisons": comparisons}


def _summary(entry: dict) -> dict:
    """One method: its reports turned into values by row, metric and seed."""
    entry = dict(entry)
    reports: dict[int, dict] = entry.pop("reports")
    if not reports:
        return entry | {"seeds": [], "headline": None, "metrics": [], "rows": {}, "agreement": {}}
    first = next(iter(reports.values()))
    headline = first["headline"]
    metrics = [next(name for name in first["rows"][headline] if name.startswith("recall@")), "map_at_r"]
    names = [headline, *(name for name in first["rows"] if name != headline)]
    measures = ("clip_fraction", "rank_correlation", "in_disguise")
    return entry | {
        "seeds": list(reports),
        "headline": headline,
        "metrics": metrics,
        "rows": {
            name: {
                "meaning": first["rows"][name]["meaning"],
                **{metric: [report["rows"][name][metric] for report in reports.values()] for metric in metrics},
            }
            for name in names
        },
        "agreement": {
            part: {
                measure: [report["cosine_agreement"][part][measure] for report in reports.values()] for measure in measures
            }
            for part in first["cosine_agreement"]
        },
    }


def _family(recipes: Mapping[str, dict], reference: str, row: str, metric: str) -> list[dict]:
    """The differences of one row and metric to the reference, which share Holm's correction."""
    found = []
    for name, entry in recipes.items():
        values, against = _by_seed(entry, row, metric), _by_seed(recipes[reference], row, metric)
        seeds = [seed for seed in values if seed in against]
        if name != reference and seeds:
            found.append((name, seeds, paired([values[seed] for seed in seeds], [against[seed] for seed in seeds])))
    corrected = holm([difference.p for *_, difference in found if difference.p is not None])
    comparisons = []
    for name, seeds, difference in found:
        p = corrected.pop(0) if difference.p is not None else None
        comparisons.append(
            {"recipe": name, "row": row, "metric": metric, "seeds": seeds}
            | asdict(difference)
            | {"p_holm": p, "verdict": verdict(difference, p)}
        )
    return comparisons


def _by_seed(entry: dict, row: str, metric: str) -> dict[int, float]:
    values = entry["rows"].get(entry["headline"] if row == "headline" else row)
    return dict(zip(entry["seeds"], values[metric], strict=True)) if values else {}


def comparison_document(result: dict) -> Document:
    """The result as a document."""
    recipes, reference, metrics = result["recipes"], result["reference"], result["metrics"]
    judged = {name: entry for name, entry in recipes.items() if entry["rows"]}
    seeds = result["seeds"]
    over = f"{seeds} seed{'s' if seeds > 1 else ''}"
    sections = []
    if remarks := _remarks(result):
        sections.append(Section("To know before reading on", remarks))
    if judged:
        picture = Picture(
            "compare",
            f"Each dot is a seed; diamonds are means with 95 % intervals. The dashed line is the mean of {reference}.",
            pictures.dots(judged, metrics, reference),
        )
        note = f"Per cent, mean ± standard deviation over {over}. Under each method: other ways to rank the same images."
        sections.append(Section("On the test classes", [picture, note, _rows(judged, metrics)]))
    headline = [each for each in result["comparisons"] if each["row"] == "headline"]
    if headline:
        picture = Picture(
            "differences",
            f"Differences to {reference}, paired over seeds, with 95 % intervals. Hollow: the interval holds 0, a tie.",
            pictures.forest(headline, metrics),
        )
        note = (
            "In points, paired over seeds, with Student's 95 % interval; p after Holm's correction for the methods. "
            "A tie: the interval holds 0. A hint: it does not, but p is 0.05 or more."
        )
        table = _differences(headline, metrics, result["comparisons"])
        sections.append(Section(f"Differences to {reference}", [picture, note, table]))
    within = _within(judged, metrics)
    if within.rows:
        sections.append(
            Section(
                "Within each method",
                ["The other ways to rank the same images, against the method's own ranking; without correction.", within],
            )
        )
    ball = _agreement(judged)
    if ball.rows:
        sections.append(Section("What the radius did", [ball]))
    tried = _choices(recipes, metrics)
    if tried.rows:
        sections.append(
            Section(
                "Chosen on validation classes", ["The best by Recall, on held-out training classes; * is chosen.", tried]
            )
        )
    sections.append(Section(f"What differs from {reference}", [_apart(recipes)]))
    return Document(
        f"Comparison of {len(recipes)} methods",
        f"{over} each, reference {reference} · Horosphere {result['horosphere']}",
        sections,
    )


def _remarks(result: dict) -> list[str]:
    """What a reader must know first: failures, what is missing, and terms that are not equal."""
    remarks = [
        f"{name}, seed {seed}, failed: {reason}"
        for name, entry in result["recipes"].items()
        for seed, reason in entry["failed"].items()
    ]
    if not result["complete"]:
        remarks.append("Not all runs are there: the same command goes on with them.")
    if result["unequal"]:
        unequal = "; ".join(f"{name} ({_each(values)})" for name, values in result["unequal"].items())
        remarks.append(f"Not on equal terms. These differ in more than the method: {unequal}")
    return remarks


def _each(values: Mapping) -> str:
    return ", ".join(f"{name} {short(value)}" for name, value in values.items())


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * fmean(values):.1f}{spread}"


def _signed(value: float) -> str:
    return f"{100 * value:+.2f}".replace("-", "−")


def _interval(difference: Mapping) -> str:
    bounds = difference["interval"]
    return _signed(difference["mean"]) + (f" [{_signed(bounds[0])}, {_signed(bounds[1])}]" if bounds else "")


def _p(value: float | None) -> str:
    return "" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"


def _rows(judged: Mapping[str, dict], metrics: Sequence[str]) -> Table:
    rows = []
    for name, entry in judged.items():
        chosen = words(entry["chosen"] or {})
        for row, values in entry["rows"].items():
            top = row == entry["headline"]
            rows.append([name if top else f"– {row}", chosen if top else "", *(_mean(values[metric]) for metric in metrics)])
    return Table(["ranked by", "chosen", *map(metric_title, metrics)], rows, frozenset(judged))


def _differences(headline: Sequence[dict], metrics: Sequence[str], comparisons: Sequence[dict]) -> Table:
    rows = []
    names = list(dict.fromkeys(each["recipe"] for each in headline))
    for name in names:
        for row in ("headline", "encoder"):
            found = {each["metric"]: each for each in comparisons if (each["recipe"], each["row"]) == (name, row)}
            if found:
                cells = [name if row == "headline" else "– encoder"]
                for metric in metrics:
                    cells += [_interval(found[metric]), _p(found[metric]["p_holm"]), found[metric]["verdict"]]
                rows.append(cells)
    header = ["method"]
    for metric in metrics:
        header += [metric_title(metric), "p", "in words"]
    return Table(header, rows, frozenset(names))


def _within(judged: Mapping[str, dict], metrics: Sequence[str]) -> Table:
    rows = []
    for name, entry in judged.items():
        own = entry["rows"][entry["headline"]]
        others = [row for row in entry["rows"] if row != entry["headline"]]
        for row in others:
            cells = [f"{name}: {row}", entry["rows"][row]["meaning"]]
            for metric in metrics:
                difference = paired(entry["rows"][row][metric], own[metric])
                cells.append(
                    _interval(asdict(difference)) + (", a tie" if difference.interval and difference.holds_zero else "")
                )
            rows.append(cells)
    return Table(["ranked by", "what it is", *map(metric_title, metrics)], rows)


def _agreement(judged: Mapping[str, dict]) -> Table:
    rows = []
    for name, entry in judged.items():
        for part, own in entry["agreement"].items():
            clipped = [value for value in own["clip_fraction"] if value is not None]
            correlations = [value for value in own["rank_correlation"] if value is not None]
            count, disguised = len(own["in_disguise"]), sum(own["in_disguise"])
            rows.append(
                [
                    f"{name}: {part}",
                    f"{100 * fmean(clipped):.1f} %" if clipped else "no clip",
                    f"{fmean(correlations):.4f}" if correlations else "n/a",
                    "cosine in disguise"
                    if disguised == count
                    else f"cosine in disguise in {disguised} of {count} seeds"
                    if disguised
                    else "the radius takes part",
                ]
            )
    return Table(["ball", "at the clip", "rank correlation with cosine", "verdict"], rows)


def _choices(recipes: Mapping[str, dict], metrics: Sequence[str]) -> Table:
    rows = []
    for name, entry in recipes.items():
        if len(entry["choices"]) < 2:
            continue
        for choice in entry["choices"]:
            best = choice["options"] == entry["chosen"]
            remark = choice["failed"] and f"failed: {choice['failed']}"
            if best and (edge := _edges(entry)):
                remark = f"{edge} is the last value tried: the best may lie beyond"
            score = [f"{100 * choice[key]:.1f}" if choice[key] is not None else "" for key in ("recall", "map_at_r")]
            rows.append([name, words(choice["options"]) + (" *" if best else ""), *score, remark or ""])
    return Table(["method", "tried", *(map(metric_title, metrics) if metrics else ("Recall", "MAP@R")), "remark"], rows)


def _edges(entry: dict) -> str:
    """The chosen options that are the smallest or the largest tried."""
    found = []
    for name, value in (entry["chosen"] or {}).items():
        values = {choice["options"][name] for choice in entry["choices"]}
        numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in values)
        if numbers and len(values) > 1 and value in (min(values), max(values)):
            found.append(words({name: value}))
    return ", ".join(found)


def _apart(recipes: Mapping[str, dict]) -> Table:
    rows = [
        [name, "; ".join(f"{option} {short(value)}" for option, value in entry["differs"].items()) or "nothing"]
        for name, entry in recipes.items()
    ]
    return Table(["method", "its own options"], rows)
