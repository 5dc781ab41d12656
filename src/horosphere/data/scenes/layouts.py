"""`load_scenes`: any of the layouts below from a folder or a zip, to SceneData."""

import difflib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from ...errors import InputError
from ..trees import Tree, first_few, open_tree
from .coco import find_coco, load_coco
from .dataset import SceneData
from .openimages import find_openimages, load_openimages
from .reading import Scenes, split_of
from .voc import find_voc, load_voc


def load_scenes(root: str | Path, layout: str = "auto", **options) -> SceneData:
    """Load images with boxes.

    layout: "coco": images and JSON files such as annotations/instances_train2017.json; option annotations, which of
    the files;
    "voc": images and Annotations/*.xml, with ImageSets/Main where there is one;
    "openimages": images and tables such as train-annotations-bbox.csv, with class-descriptions-boxable.csv;
    "images": images without boxes, for `with_proposals`;
    "auto": whichever of the first three `root` is.

    root: a folder, a zip, read in place, or one annotation file of COCO. Boxes and files that cannot be used are left out
    and counted in the data's `dropped`. Raises InputError.
    """
    if layout not in ("auto", *LAYOUTS):
        near = difflib.get_close_matches(layout, ["auto", *LAYOUTS], 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(f"Unknown layout {layout!r} of scenes; expected auto, {', '.join(LAYOUTS)}.{hint}")
    root = Path(root).expanduser()
    if root.suffix.lower() == ".json" and root.is_file():
        if layout not in ("auto", "coco"):
            raise InputError(f"{root} is one JSON file, which layout {layout!r} does not read; give the folder.")
        folder = root.parent.parent if root.parent.name == "annotations" else root.parent
        return load_coco(open_tree(folder), [root.relative_to(folder).as_posix()])
    tree = open_tree(root)
    load, allowed, _ = LAYOUTS[_recognise(tree) if layout == "auto" else layout]
    unknown = [name for name in options if name not in allowed]
    if unknown:
        raise InputError(f"Scenes have no option {unknown[0]!r} here; there is {', '.join(allowed) or 'none'}.")
    return load(tree, **options)


def _recognise(tree: Tree) -> str:
    for layout, (_, _, find) in LAYOUTS.items():
        if find is not None and find(tree):
            return layout
    raise InputError(
        f"{tree}: no boxes in a known layout. Looked for COCO's JSON files, Pascal VOC's XML files and OpenImages' "
        f"tables *-annotations-bbox.csv. Found {first_few(tree.names())}. Check the path, or for images without boxes give "
        "the layout images and make boxes with with_proposals."
    )


def _load_images(tree: Tree) -> SceneData:
    scenes = Scenes(tree, tree.name)
    for path in scenes.paths:
        scenes.add(path, None, split_of(PurePosixPath(path).parent.as_posix()) or "train", (), ())
    return scenes.data((), boxes=False)


# Layout → (loader, its options, what says that a tree is in this layout).
LAYOUTS: dict[str, tuple[Callable[..., SceneData], tuple[str, ...], Callable[[Tree], object] | None]] = {
    "coco": (load_coco, ("annotations",), find_coco),
    "voc": (load_voc, (), find_voc),
    "openimages": (load_openimages, (), find_openimages),
    "images": (_load_images, (), None),
}
