"""COCO's annotation files: one JSON a split, boxes as left, top, width, height."""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from ...errors import InputError
from ..trees import Tree, first_few
from .dataset import SceneData
from .reading import Scenes, split_of

_NAMES = re.compile(r"(^|/)(instances_[^/]*|[^/]*\.coco)\.json$")


def find_coco(tree: Tree) -> list[str]:
    """The files that hold COCO's boxes: by their usual names, or else by what is in them."""
    names = [name for name in tree.files() if name.endswith(".json")]
    usual = [name for name in names if _NAMES.search(name)]
    return usual or [name for name in names if b'"annotations"' in tree.read(name) and b'"bbox"' in tree.read(name)]


def load_coco(tree: Tree, annotations: Sequence[str] | None = None) -> SceneData:
    """The images of COCO's JSON files; crowds are left out and counted.

    The file's name says the split (instances_val2017.json), or its folder; otherwise its images train.
    """
    files = list(annotations or find_coco(tree))
    absent = [file for file in files if not tree.exists(file)]
    if absent or not files:
        raise InputError(
            f"{tree}: no annotation file {first_few(absent) if absent else 'in the COCO format'}; expected such as "
            f"annotations/instances_train2017.json. Found {first_few(tree.names())}."
        )
    scenes = Scenes(tree, tree.name)
    classes: dict[str, int] = {}
    superclasses: list[str] = []
    for file in files:
        content = _read(tree, file)
        position = {}
        for category in sorted(content["categories"], key=lambda category: category["id"]):
            if category["name"] not in classes:
                classes[category["name"]] = len(classes)
                superclasses.append(str(category.get("supercategory") or ""))
            position[category["id"]] = classes[category["name"]]
        _add(scenes, file, content, position)
    return scenes.data(list(classes), superclasses if any(superclasses) else None)


def _add(scenes: Scenes, file: str, content: dict, position: dict) -> None:
    by_image = defaultdict(list)
    for annotation in content["annotations"]:
        by_image[annotation.get("image_id")].append(annotation)
    split = split_of(file) or "train"
    # instances_val2017.json speaks of the images in val2017/, train/_annotations.coco.json of those beside it.
    near = PurePosixPath(file).stem.removeprefix("instances_") if "instances_" in file else str(PurePosixPath(file).parent)
    for image in content["images"]:
        annotations = by_image.pop(image["id"], [])
        path = scenes.find(str(image["file_name"]), near)
        if path is None:
            scenes.dropped["missing images"] += 1
            continue
        boxes, labels, masks = [], [], []
        for annotation in annotations:
            if annotation.get("iscrowd"):
                scenes.dropped["crowds"] += 1
            elif annotation.get("category_id") not in position:
                scenes.dropped["boxes of an unknown class"] += 1
            elif (box := _box(annotation.get("bbox"))) is None:
                scenes.dropped["malformed boxes"] += 1
            else:
                boxes.append(box)
                labels.append(position[annotation["category_id"]])
                masks.append(annotation.get("segmentation") or None)
        size = image.get("width"), image.get("height")
        known = all(isinstance(side, int) and side > 0 for side in size)
        scenes.add(path, size if known else None, split, boxes, labels, masks, file)
    scenes.dropped["boxes of an unknown image"] += sum(map(len, by_image.values()))


def _box(given) -> tuple[float, float, float, float] | None:
    try:
        left, top, width, height = map(float, given)
    except (TypeError, ValueError):
        return None
    return left, top, left + width, top + height


def _read(tree: Tree, file: str) -> dict:
    try:
        content = json.loads(tree.read(file))
    except ValueError as error:
        raise InputError(f"{tree}: {file} is not JSON: {error}. Get the file again.") from error
    absent = [
        key
        for key, needed in (("images", ("id", "file_name")), ("annotations", ()), ("categories", ("id", "name")))
        if not isinstance(content, dict)
        or not isinstance(content.get(key), list)
        or not all(isinstance(row, dict) and all(part in row for part in needed) for row in content[key])
    ]
    if absent:
        raise InputError(
            f"{tree}: {file} has no usable {', '.join(absent)}; expected COCO's lists images (id, file_name), annotations "
            "(image_id, category_id, bbox) and categories (id, name)."
        )
    return content
