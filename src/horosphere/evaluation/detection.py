"""COCO's average precision, by COCO's own code."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

#: COCOeval's summary: name → place in its `stats`.
_STATS = {"AP": 0, "AP50": 1, "AP75": 2, "AP small": 3, "AP medium": 4, "AP large": 5}


@dataclass(frozen=True, eq=False)
class Objects:
    """What is, or was found, in one image.

    boxes: (m, 4) left, top, right, bottom in pixels. labels: int (m,), positions in the class names.
    scores: (m,), for what was found; None for what is.
    masks: for each box compressed run lengths, as `data.run_lengths` gives them; or None.
    """

    boxes: NDArray
    labels: NDArray
    scores: NDArray | None = None
    masks: Sequence | None = None


@dataclass(frozen=True)
class DetectionReport:
    """COCO's average precision as fractions; None where there is nothing to find.

    Attributes:
        box: "AP" (mean over IoU from 0.5 to 0.95), "AP50", "AP75", and AP of "small" (under 32² px), "medium" and "large"
            (96² px and over) objects.
        mask: the same of masks, or None.
        per_class: class → AP, AP50 of its boxes, and how many there are.
        images, objects: what was judged.
    """

    box: dict[str, float | None]
    mask: dict[str, float | None] | None
    per_class: dict[str, dict[str, Any]] = field(repr=False)
    images: int
    objects: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "images": self.images,
            "objects": self.objects,
            "box": self.box,
            "mask": self.mask,
            "per_class": self.per_class,
        }


def average_precision(
    truth: Sequence[Objects], found: Sequence[Objects], classes: Sequence[str], *, masks: bool = False
) -> DetectionReport:
    """Score what was found in n images against what is there; at most 100 boxes an image count.

    Raises:
        InputError: without pycocotools, for lists of other lengths, labels that are no classes, or no object at all.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
        from pycocotools.mask import area
    except ImportError:
        raise InputError("COCO's average precision needs pycocotools: pip install 'horosphere[detection]'") from None
    objects = sum(len(each.boxes) for each in truth)
    if len(truth) != len(found) or not objects:
        raise InputError(
            f"{len(truth)} images with {objects} objects and detections of {len(found)}; expected as many of each, and an "
            "object to find"
        )
    for each in (*truth, *found):
        labels = np.asarray(each.labels)
        if len(labels) and not (labels.min() >= 0 and labels.max() < len(classes)):
            raise InputError(
                f"labels from {labels.min()} to {labels.max()}; expected 0 to {len(classes) - 1}, positions of the classes"
            )

    def coco(images: Sequence[Objects]) -> Any:
        annotations = []
        for image, each in enumerate(images):
            for i, (left, top, right, bottom) in enumerate(np.asarray(each.boxes, np.float64).reshape(-1, 4).tolist()):
                width, height = right - left, bottom - top
                annotation: dict[str, Any] = {
                    "id": len(annotations) + 1,  # an id of 0 would count as no match
                    "image_id": image,
                    "category_id": int(each.labels[i]),
                    "bbox": [left, top, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                }
                if each.scores is not None:
                    annotation["score"] = float(each.scores[i])
                if masks:
                    if each.masks is None or each.masks[i] is None:
                        raise InputError(f"image {image} has a box without a mask; score boxes alone, or leave it out")
                    annotation["segmentation"] = each.masks[i]
                    annotation["area"] = float(area(each.masks[i]))
                annotations.append(annotation)
        data = COCO()
        data.dataset = {
            "images": [{"id": i} | _size(each) for i, each in enumerate(images)],
            "categories": [{"id": i, "name": name} for i, name in enumerate(classes)],
            "annotations": annotations,
        }
        data.createIndex()
        return data

    with contextlib.redirect_stdout(io.StringIO()):
        known, given = coco(truth), coco(found)
        results = {}
        for kind in ("bbox", "segm") if masks else ("bbox",):
            results[kind] = evaluation = COCOeval(known, given, kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
    # (IoU thresholds, recall thresholds, classes, areas, most detections): all areas, 100 detections.
    precision = results["bbox"].eval["precision"][:, :, :, 0, -1]
    counts = np.bincount(np.concatenate([np.asarray(each.labels, np.int64) for each in truth]), minlength=len(classes))
    per_class = {
        name: {"AP": _mean(precision[:, :, i]), "AP50": _mean(precision[:1, :, i]), "objects": int(counts[i])}
        for i, name in enumerate(classes)
        if counts[i]
    }
    box, mask = (_stats(results.get(kind)) for kind in ("bbox", "segm"))
    assert box is not None  # boxes are always scored
    return DetectionReport(box, mask, per_class, len(truth), objects)


def _size(each: Objects) -> dict[str, int]:
    """Height and width of an image with masks, where COCO looks for them."""
    return dict(zip(("height", "width"), each.masks[0]["size"], strict=True)) if each.masks else {}


def _stats(evaluation: Any) -> dict[str, float | None] | None:
    if evaluation is None:
        return None
    # -1 is COCO's word for nothing to find.
    return {name: None if evaluation.stats[i] < 0 else float(evaluation.stats[i]) for name, i in _STATS.items()}


def _mean(precision: NDArray) -> float | None:
    known = precision[precision > -1]
    return float(known.mean()) if len(known) else None
