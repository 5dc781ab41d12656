"""The data sets of the papers, in the folders their authors publish: CUB, Cars, SOP, In-Shop, Omniglot.

Each loader takes the tree that holds the layout's files and returns RetrievalData with the published split.
"""

import io

import numpy as np

from ..errors import InputError
from .dataset import RetrievalData
from .trees import Tree, first_few, is_image

# Where to get each set, said by errors.
ORIGINS = {
    "cub": "CUB-200-2011, Caltech Vision Lab: https://www.vision.caltech.edu/datasets/cub_200_2011/ (CUB_200_2011.tgz)",
    "cars": "Cars-196, Krause et al. 2013, 3D Object Representations for Fine-Grained Categorization: car_ims.tgz with "
    "cars_annos.mat, or cars_train, cars_test, devkit and cars_test_annos_withlabels.mat",
    "sop": "Stanford Online Products: https://cvgl.stanford.edu/projects/lifted_struct/ (Stanford_Online_Products.zip)",
    "inshop": "DeepFashion, In-shop Clothes Retrieval: https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion.html "
    "(Img/img.zip, Eval/list_eval_partition.txt)",
    "omniglot": "Omniglot: https://github.com/brendenlake/omniglot (python/images_background.zip and "
    "images_evaluation.zip, unpacked side by side)",
}
# One of these at the top says which layout it is.
MARKERS = {
    "cub": ("image_class_labels.txt",),
    "cars": ("cars_annos.mat", "car_ims", "cars_train", "devkit/cars_train_annos.mat"),
    "sop": ("Ebay_train.txt", "Ebay_test.txt"),
    "inshop": ("Eval/list_eval_partition.txt", "list_eval_partition.txt"),
    "omniglot": ("images_background", "images_evaluation"),
}


def find_layout(tree: Tree, layout: str) -> Tree | None:
    """The tree itself or the folder in it that holds one of the layout's markers; None if neither does."""
    if any(map(tree.exists, MARKERS[layout])):
        return tree
    for name in tree.names():
        if tree.is_folder(name) and any(tree.exists(f"{name}/{marker}") for marker in MARKERS[layout]):
            return tree.sub(name)
    return None


def load_published(tree: Tree, layout: str) -> RetrievalData:
    """Load one of the layouts of MARKERS from its folder, the folder above, or a zip of either."""
    found = find_layout(tree, layout)
    if found is None:
        raise wrong_folder(tree, layout, MARKERS[layout], any_of=True)
    return _LOADERS[layout](found)


def wrong_folder(tree: Tree, layout: str, wanted, *, any_of: bool = False) -> InputError:
    """The error for a folder that lacks files of the layout."""
    return InputError(
        f"{tree} is not a complete {layout!r} layout: looked for "
        f"{' or '.join(wanted) if any_of else ', '.join(wanted)}; "
        f"found {first_few(tree.names())}. Get it from {ORIGINS[layout]}."
    )


def assemble(tree: Tree, name: str, paths, labels, classes, split, superclasses=None, origin: str = "") -> RetrievalData:
    """RetrievalData of images in `tree`, after checking that every image of the index is there."""
    missing = tree.missing(paths)
    if missing:
        get = f" Get the complete set: {origin}." if origin else " Check the paths, or leave those rows out."
        raise InputError(f"{tree}: {len(missing)} of {len(paths)} images are missing: {first_few(missing)}.{get}")
    labels, split = np.asarray(labels, dtype=np.int64), np.asarray(split, dtype=np.str_)
    # Ids are the paths in the tree, so that a folder and its zip give the same.
    return RetrievalData(name, tree.images(paths), None, labels, classes, superclasses, split, np.asarray(paths, np.str_))


def _require(tree: Tree, layout: str, *wanted: str) -> None:
    absent = [path for path in wanted if not tree.exists(path)]
    if absent:
        raise wrong_folder(tree, layout, absent)


def _table(tree: Tree, layout: str, path: str) -> list[list[str]]:
    """The lines `number value` of a CUB index; some copies write `number, value`."""
    lines = [line.replace(",", " ", 1).split(None, 1) for line in _text(tree, path).splitlines() if line.strip()]
    if not lines or any(len(line) != 2 for line in lines):
        raise InputError(f"{tree}: {path} is not a list of `number value` lines. Get it from {ORIGINS[layout]}.")
    return [[number, value.strip()] for number, value in lines]


def _text(tree: Tree, path: str) -> str:
    return tree.read(path).decode("utf-8-sig", errors="replace")


def _cub(tree: Tree) -> RetrievalData:
    """First half of the classes train, second half test (100/100 of the full set), in order of their names.

    The official names carry their number ("001.Black_footed_Albatross"), so this is the official order; subsets without
    numbers are cut alphabetically. The superclass is the last word of the bird's name (Albatross): a grouping by common
    name, not the taxonomy.
    """
    _require(tree, "cub", "images.txt", "image_class_labels.txt", "classes.txt", "images")
    name_of = dict(_table(tree, "cub", "classes.txt"))
    class_of = dict(_table(tree, "cub", "image_class_labels.txt"))
    classes = sorted(name_of.values())
    position = {name: i for i, name in enumerate(classes)}
    paths, labels = [], []
    for number, path in _table(tree, "cub", "images.txt"):
        if class_of.get(number) not in name_of:
            raise InputError(f"{tree}: image {number} of images.txt has no class in image_class_labels.txt and classes.txt.")
        paths.append("images/" + path)
        labels.append(position[name_of[class_of[number]]])
    families = [(name.rsplit("_", 1)[-1].rsplit(".", 1)[-1],) for name in classes]
    split = _by_class(labels, len(classes) // 2)
    return assemble(tree, "CUB-200-2011", paths, labels, classes, split, families, ORIGINS["cub"])


def _cars(tree: Tree) -> RetrievalData:
    """Classes 1 to 98 train, 99 to 196 test, whichever of the two published folders it is."""
    if tree.exists("cars_annos.mat") or tree.exists("car_ims"):
        _require(tree, "cars", "cars_annos.mat", "car_ims")
        content = _mat(tree, "cars_annos.mat")
        classes = [str(name) for name in np.atleast_1d(content["class_names"])]
        items = [(str(a["relative_im_path"]), int(a["class"])) for a in np.atleast_1d(content["annotations"])]
    else:
        _require(tree, "cars", "cars_train", "cars_test", "devkit/cars_meta.mat", "devkit/cars_train_annos.mat")
        labelled = "cars_test_annos_withlabels.mat"  # published beside the devkit, whose own test list has no classes
        labelled = next((path for path in (labelled, f"devkit/{labelled}") if tree.exists(path)), None)
        if labelled is None:
            raise wrong_folder(tree, "cars", ["cars_test_annos_withlabels.mat (beside or in devkit)"])
        classes = [str(name) for name in np.atleast_1d(_mat(tree, "devkit/cars_meta.mat")["class_names"])]
        items = [
            (f"{folder}/{a['fname']}", int(a["class"]))
            for folder, path in (("cars_train", "devkit/cars_train_annos.mat"), ("cars_test", labelled))
            for a in np.atleast_1d(_mat(tree, path)["annotations"])
        ]
    paths, labels = [path for path, _ in items], [number - 1 for _, number in items]
    return assemble(tree, "Cars-196", paths, labels, classes, _by_class(labels, len(classes) // 2), origin=ORIGINS["cars"])


def _mat(tree: Tree, path: str) -> dict:
    from scipy.io import loadmat  # imported late: only this layout needs it

    try:
        return loadmat(io.BytesIO(tree.read(path)), simplify_cells=True)
    except Exception as error:  # scipy raises many types on damaged files
        raise InputError(
            f"{tree}: {path} cannot be read as a MATLAB file ({error}). Get it from {ORIGINS['cars']}."
        ) from error


def _sop(tree: Tree) -> RetrievalData:
    """The lists Ebay_train.txt and Ebay_test.txt; the superclass is the kind of product."""
    _require(tree, "sop", "Ebay_train.txt", "Ebay_test.txt")
    paths, numbers, kinds, split = [], [], {}, []
    for part in ("train", "test"):
        for line in _text(tree, f"Ebay_{part}.txt").splitlines()[1:]:  # the first line names the columns
            if not line.strip():
                continue
            try:
                _, number, _, path = line.split(None, 3)
                numbers.append(int(number))
            except ValueError:
                raise InputError(
                    f"{tree}: Ebay_{part}.txt has the line {line!r}; expected `image_id class_id super_class_id path`."
                ) from None
            paths.append(path.strip())
            kinds[numbers[-1]] = path.split("/")[0].removesuffix("_final")
            split.append(part)
    present, labels = np.unique(numbers, return_inverse=True)
    classes = [str(number) for number in present]
    superclasses = [(kinds[number],) for number in present.tolist()]
    return assemble(tree, "SOP", paths, labels, classes, split, superclasses, ORIGINS["sop"])


def _inshop(tree: Tree) -> RetrievalData:
    """The partition train, query and gallery; ancestors are the folders of the item (WOMEN, Dresses)."""
    index = next(path for path in MARKERS["inshop"] if tree.exists(path))
    rows = [line.split() for line in _text(tree, index).splitlines()]
    rows = [row for row in rows if len(row) == 3 and row[2] in ("train", "query", "gallery")]  # two header lines drop out
    if not rows:
        raise InputError(f"{tree}: {index} has no line `image_name item_id train|query|gallery`. See {ORIGINS['inshop']}.")
    prefix = "Img/" if not tree.exists(rows[0][0]) and tree.exists("Img/" + rows[0][0]) else ""
    classes = sorted({item for _, item, _ in rows})
    position = {item: i for i, item in enumerate(classes)}
    ancestors = {item: tuple(path.split("/")[1:-2]) for path, item, _ in reversed(rows)}  # the first image decides
    return assemble(
        tree,
        "In-Shop",
        [prefix + path for path, _, _ in rows],
        [position[item] for _, item, _ in rows],
        classes,
        [part for _, _, part in rows],
        [ancestors[item] for item in classes],
        ORIGINS["inshop"],
    )


def _omniglot(tree: Tree) -> RetrievalData:
    """images_background trains, images_evaluation tests; a class is alphabet/character, its superclass the alphabet."""
    parts = {"images_background": "train", "images_evaluation": "test"}
    _require(tree, "omniglot", *parts)
    items = []
    for path in tree.files():
        levels = path.split("/")
        if len(levels) == 4 and levels[0] in parts and is_image(path):
            items.append((path, f"{levels[1]}/{levels[2]}", parts[levels[0]]))
    if {part for _, _, part in items} != {"train", "test"}:
        raise wrong_folder(tree, "omniglot", [f"{folder}/ALPHABET/CHARACTER/*.png" for folder in parts])
    classes = sorted({name for _, name, _ in items})
    position = {name: i for i, name in enumerate(classes)}
    paths, labels, split = zip(*((path, position[name], part) for path, name, part in items), strict=True)
    superclasses = [(name.split("/")[0],) for name in classes]
    return assemble(tree, "Omniglot", paths, labels, classes, split, superclasses, ORIGINS["omniglot"])


def _by_class(labels, train: int) -> np.ndarray:
    return np.where(np.asarray(labels) < train, "train", "test")


_LOADERS = {"cub": _cub, "cars": _cars, "sop": _sop, "inshop": _inshop, "omniglot": _omniglot}
