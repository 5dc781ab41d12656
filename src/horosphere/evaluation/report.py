"""What an evaluation found."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class RetrievalReport:
    """Retrieval metrics as fractions in [0, 1], means over the queries judged.

    Attributes:
        recall: Recall@K for each K.
        map_at_r, r_precision: None where not asked for.
        intervals: 95 % intervals over classes, by metric: "recall@1", …, "map_at_r", "r_precision"; empty without bootstrap.
        queries: queries judged. `skipped`: queries left out, because the gallery has no other image of their class.
        gallery: items searched. `classes`: classes of the queries judged.
        per_query: arrays (queries,) in the order the queries were given: `index` and `label`; `rank`, the number of items of
            other classes strictly closer than the nearest of its own; `positives`; and with MAP@R `average_precision`,
            `r_precision`, and `nearest`, the index of the nearest item.
    """

    recall: dict[int, float]
    map_at_r: float | None
    r_precision: float | None
    intervals: dict[str, tuple[float, float]]
    queries: int
    skipped: int
    gallery: int
    classes: int
    per_query: dict[str, np.ndarray] = field(repr=False, compare=False)

    def metrics(self) -> dict[str, float]:
        """Every metric by name, as in `intervals`."""
        named: dict[str, float | None] = {f"recall@{k}": value for k, value in self.recall.items()}
        named |= {"map_at_r": self.map_at_r, "r_precision": self.r_precision}
        return {name: value for name, value in named.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values, without the per-query arrays."""
        return self.metrics() | {
            "intervals": {name: list(bounds) for name, bounds in self.intervals.items()},
            "queries": self.queries,
            "skipped": self.skipped,
            "gallery": self.gallery,
            "classes": self.classes,
        }

    def __str__(self) -> str:
        skipped = f", {self.skipped:,} without a positive left out" if self.skipped else ""
        lines = [f"{self.queries:,} queries of {self.classes:,} classes against {self.gallery:,} items{skipped}"]
        for name, value in self.metrics().items():
            label = {"map_at_r": "MAP@R", "r_precision": "R-precision"}.get(name, name.replace("recall", "Recall"))
            low, high = (100 * bound for bound in self.intervals.get(name, (np.nan, np.nan)))
            interval = f"   95 % {low:.2f} to {high:.2f}" if name in self.intervals else ""
            lines.append(f"{label:<12} {100 * value:6.2f} %{interval}")
        return "\n".join(lines)
