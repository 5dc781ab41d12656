"""Pascal VOC's annotation files: one XML an image."""

from pathlib import PurePosixPath
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ...errors import InputError
from ..trees import Tree, first_few
from .dataset import SceneData
from .reading import Scenes, split_of

# ImageSets' lists, the later the stronger: trainval repeats train and val.
_LISTS = {"trainval": "train", "train": "train", "val": "validation", "test": "test"}


def find_voc(tree: Tree) -> list[str]:
    """The XML files: those in folders named Annotations, or else all."""
    names = [name for name in tree.files() if name.lower().endswith(".xml")]
    return [name for name in names if "Annotations" in PurePosixPath(name).parts[:-1]] or names


def load_voc(tree: Tree) -> SceneData:
    """The images of Pascal VOC's XML files, with classes in sorted order.

    ImageSets/Main beside the folder of the files gives the split (test.txt, val.txt, train.txt or trainval.txt), and an
    image in none of its lists is left out and counted; without it folders named train, val or test do, otherwise all images
    train. Pixels are counted from 1 in VOC, and the last one belongs to its box.
    """
    files = find_voc(tree)
    if not files:
        raise InputError(
            f"{tree}: no annotation file in the layout voc; expected such as Annotations/000001.xml. "
            f"Found {first_few(tree.names())}."
        )
    scenes = Scenes(tree, tree.name)
    read, lists = [], {}
    for file in files:
        *above, name = PurePosixPath(file).parts
        folder = PurePosixPath(*above[: above.index("Annotations")]) if "Annotations" in above else None
        if folder not in lists:
            lists[folder] = _splits(tree, folder) if folder else {}
        stem = PurePosixPath(name).stem
        split = lists[folder].get(stem) if lists[folder] else split_of(file) or "train"
        if split is None:
            scenes.dropped["images in no list of ImageSets"] += 1
            continue
        try:
            root = parse(tree.read(file))
        except ValueError:
            scenes.dropped["unreadable annotation files"] += 1
            continue
        near = str(PurePosixPath(file).parent if folder is None else folder / "JPEGImages")
        path = scenes.find(stem, near) or scenes.find(_text(root, "filename"), near)
        if path is None:
            scenes.dropped["missing images"] += 1
            continue
        read.append((file, path, split, root))
    names = sorted({_text(thing, "name") for *_, root in read for thing in root.findall("object")} - {""})
    position = {name: i for i, name in enumerate(names)}
    for file, path, split, root in read:
        boxes, labels = [], []
        for thing in root.findall("object"):
            box, name = _box(thing), _text(thing, "name")
            if name and box:
                boxes.append(box)
                labels.append(position[name])
            else:
                scenes.dropped["malformed boxes" if name else "boxes of an unknown class"] += 1
        scenes.add(path, _size(root), split, boxes, labels, source=file)
    return scenes.data(names)


def parse(content: bytes) -> Element:
    """The root of an XML document. Raises ValueError where it is malformed, or declares a document type.

    Declarations are where entities come from, which may expand without end or read other files; annotations need none.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def refuse(*_):
        raise ValueError("it declares a document type")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise ValueError(str(error)) from error
    return builder.close()


def _splits(tree: Tree, folder: PurePosixPath) -> dict[str, str]:
    """Stem of an image → its split; empty where there are no lists."""
    splits = {}
    for name, split in _LISTS.items():
        path = (folder / "ImageSets" / "Main" / f"{name}.txt").as_posix()
        if tree.exists(path):
            lines = tree.read(path).decode("utf-8", "replace").split("\n")
            splits |= {line.split()[0]: split for line in lines if line.strip()}
    return splits


def _text(element: Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


def _size(root: Element) -> tuple[int, int] | None:
    """Width and height, None where the file does not say."""
    try:
        size = int(_text(root, "size/width")), int(_text(root, "size/height"))
    except ValueError:
        return None
    return size if min(size) > 0 else None


def _box(thing: Element) -> tuple[float, float, float, float] | None:
    try:
        left, top, right, bottom = (float(_text(thing, f"bndbox/{tag}")) for tag in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError:
        return None
    # A flat or inverted box stays one.
    return left - (right > left), top - (bottom > top), right, bottom
