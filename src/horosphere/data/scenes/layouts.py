"""`load_scenes`: any of the layouts below from a folder or a zip, to SceneData."""

import difflib
from collections.abc import Callable
from pathlib import Path

from ...errors import InputError
from ..trees import Tree, first_few, open_tree
from .coco import find_coco, load_coco
from .dataset import SceneData


def load_scenes(root: str | Path, layout: str = "auto", **options) -> SceneData:
    """Load images with boxes.

    layout: "coco": images and JSON files such as annotations/instances_train2017.json; option annotations, which of
    the files;
    "auto": whichever of these `root` is.

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
        if find(tree):
            return layout
    raise InputError(
        f"{tree}: no boxes in a known layout. Looked for COCO's JSON files. Found {first_few(tree.names())}. Check the path."
    )


# Layout → (loader, its options, what it finds in a tree that is in its layout).
LAYOUTS: dict[str, tuple[Callable[..., SceneData], tuple[str, ...], Callable[[Tree], object]]] = {
    "coco": (load_coco, ("annotations",), find_coco),
}
