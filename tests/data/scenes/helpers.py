"""Small scenes in memory and in each layout."""

import json

import numpy as np

from horosphere.data import FileImages, SceneData
from tests.data.helpers import encoded, photograph, write


def jpeg(width=80, height=60, seed=0) -> bytes:
    """A photograph's file."""
    return encoded(photograph(width, height, seed))


def scenes(root, n=6, boxes=3, seed=0) -> SceneData:
    """n readable scenes of several sizes, with random boxes of at least 12 pixels a side and 4 classes."""
    rng = np.random.default_rng(seed)
    sizes = np.stack([rng.integers(50, 90, n), rng.integers(50, 90, n)], 1)
    write(root, {f"{i}.jpg": jpeg(*map(int, sizes[i]), seed=i) for i in range(n)})
    edges = [rng.uniform(0, sizes[i] - 20, (boxes, 2)) for i in range(n)]
    given = [np.concatenate([e, np.minimum(e + rng.uniform(12, 50, (boxes, 2)), sizes[i])], 1) for i, e in enumerate(edges)]
    return SceneData(
        "made",
        FileImages(root, [f"{i}.jpg" for i in range(n)]),
        tuple(given),
        tuple(rng.integers(0, 4, boxes) for _ in range(n)),
        None,
        tuple("abcd"),
        None,
        sizes,
        np.full(n, "train"),
        np.array([f"{i}.jpg" for i in range(n)]),
        {},
    )


def coco(images, annotations, categories=((3, "cat", "animal"), (7, "cup", "kitchen"))) -> str:
    """A JSON file of COCO's from (id, file name, width, height) and dicts of annotations."""
    return json.dumps(
        {
            "images": [{"id": i, "file_name": name, "width": w, "height": h} for i, name, w, h in images],
            "annotations": annotations,
            "categories": [{"id": i, "name": name, "supercategory": above} for i, name, above in categories],
        }
    )


def box(image, left, top, width, height, category=3, **more) -> dict:
    """A COCO annotation."""
    return {"image_id": image, "category_id": category, "bbox": [left, top, width, height], **more}


def voc(name, objects, width=80, height=60) -> str:
    """An XML file of Pascal VOC's from (class, xmin, ymin, xmax, ymax)."""
    things = "".join(
        f"<object><name>{c}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{x}</xmax><ymax>{y}</ymax></bndbox></object>"
        for c, a, b, x, y in objects
    )
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}</filename>{size}{things}</annotation>"
