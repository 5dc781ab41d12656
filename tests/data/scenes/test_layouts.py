"""Every layout of scenes, from folders and zips; whatever is wrong with a box is counted and does not end the load."""

import json

import numpy as np
import pytest

from horosphere.data import load_scenes
from horosphere.data.scenes.voc import parse
from horosphere.errors import InputError
from tests.data.helpers import encoded, photograph, shared, write, zipped
from tests.data.scenes.helpers import box, coco, jpeg, voc


def same(one, other):
    assert one.ids.tolist() == other.ids.tolist() and one.classes == other.classes and one.dropped == other.dropped
    assert one.split.tolist() == other.split.tolist() and (one.sizes == other.sizes).all()
    for a, b in zip((*one.boxes, *one.labels), (*other.boxes, *other.labels), strict=True):
        assert np.array_equal(a, b)


@pytest.fixture
def coco_root(tmp_path):
    train = coco(
        [(1, "a.jpg", 80, 60), (2, "b.jpg", 80, 60), (9, "gone.jpg", 80, 60)],
        [
            box(1, 10, 5, 20, 30, segmentation=[[10, 5, 30, 5, 30, 35]]),
            box(1, 10.5, 5.25, 20, 30, category=7),
            box(2, 0, 0, 80, 60, iscrowd=1),
        ],
    )
    val = coco([(1, "c.jpg", 80, 60)], [box(1, 1, 2, 3, 4, category=1)], [(1, "dog", "animal"), (2, "cat", "animal")])
    return write(
        tmp_path / "set",
        {
            "annotations/instances_train2017.json": train,
            "annotations/instances_val2017.json": val,
            "annotations/captions_train2017.json": json.dumps({"images": [], "annotations": []}),
            "train2017/a.jpg": jpeg(),
            "train2017/b.jpg": jpeg(seed=1),
            "val2017/c.jpg": jpeg(seed=2),
            "val2017/a.jpg": jpeg(seed=3),  # of the same name, and not listed
        },
    )


def test_coco(coco_root, tmp_path):
    data = load_scenes(coco_root)
    assert data.ids.tolist() == ["train2017/a.jpg", "train2017/b.jpg", "val2017/c.jpg"]
    assert data.split.tolist() == ["train", "train", "validation"]
    assert data.classes == ("cat", "cup", "dog") and data.superclasses == ("animal", "kitchen", "animal")
    assert data.boxes[0].tolist() == [[10, 5, 30, 35], [10.5, 5.25, 30.5, 35.25]] and data.boxes[0].dtype == np.float32
    assert [labels.tolist() for labels in data.labels] == [[0, 1], [], [2]]
    assert data.masks == (([[10, 5, 30, 5, 30, 35]], None), (), (None,))
    assert data.dropped == {"crowds": 1, "missing images": 1}
    assert data.describe_dropped() == "1 crowds, 1 missing images"
    same(load_scenes(zipped(coco_root, tmp_path / "set.zip")), data)
    same(
        load_scenes(
            zipped(coco_root, tmp_path / "set.zip"),
            "coco",
            annotations=sorted(["annotations/instances_train2017.json", "annotations/instances_val2017.json"]),
        ),
        data,
    )
    one = load_scenes(coco_root / "annotations" / "instances_val2017.json")
    assert one.ids.tolist() == ["val2017/c.jpg"] and one.split.tolist() == ["validation"]


def test_coco_beside_the_images(tmp_path):
    folders = {
        f"{part}/{name}": content
        for part in ("train", "valid")
        for name, content in (
            ("_annotations.coco.json", coco([(0, "x.png", 40, 30)], [box(0, 1, 1, 9, 9)])),
            ("x.png", encoded(photograph(40, 30), "PNG")),
        )
    }
    data = load_scenes(write(tmp_path / "set", folders))
    assert data.ids.tolist() == ["train/x.png", "valid/x.png"] and data.split.tolist() == ["train", "validation"]


BAD = [
    ([10, 10, 0, 5], "boxes of zero area"),
    ([10, 10, -4, 5], "inverted boxes"),
    ([90, 10, 5, 5], "boxes outside the image"),
    ([-20, -20, 10, 10], "boxes outside the image"),
    ([10, 10, 5], "malformed boxes"),
    (["a", 10, 5, 5], "malformed boxes"),
    ([float("nan"), 10, 5, 5], "malformed boxes"),
    ([10, 10, float("inf"), 5], "malformed boxes"),
    (None, "malformed boxes"),
    (7, "malformed boxes"),
]


@pytest.mark.parametrize(("bbox", "reason"), BAD)
def test_bad_boxes_are_counted(tmp_path, bbox, reason):
    wrong = {"image_id": 1, "category_id": 3, "bbox": bbox}
    files = {"set.json": coco([(1, "a.jpg", 80, 60)], [wrong, box(1, 5, 5, 9, 9)]), "a.jpg": jpeg()}
    data = load_scenes(write(tmp_path / "set", files))
    assert data.boxes[0].tolist() == [[5, 5, 14, 14]] and data.dropped == {reason: 1}


def test_boxes_over_the_edge_are_cut(tmp_path):
    annotations = [box(1, -10, 5, 30, 99), box(1, 60, 40, 20.5, 20.5), box(5, 1, 1, 2, 2), box(1, 1, 1, 2, 2, category=99)]
    files = {"set.json": coco([(1, "a.jpg", 80, 60)], annotations), "a.jpg": jpeg()}
    data = load_scenes(write(tmp_path / "set", files))
    assert data.boxes[0].tolist() == [[0, 5, 20, 60], [60, 40, 80, 60]]
    # Half a pixel is rounding.
    assert data.dropped == {"boxes cut to the image": 1, "boxes of an unknown image": 1, "boxes of an unknown class": 1}


def test_coco_without_sizes_reads_the_headers(tmp_path):
    files = {
        "set.json": coco([(1, "a.jpg", None, 0), (2, "b.jpg", None, None)], [box(1, 1, 1, 5, 5)]),
        "a.jpg": jpeg(70, 50),
    }
    data = load_scenes(write(tmp_path / "set", files | {"b.jpg": b"no image"}))
    assert data.sizes.tolist() == [[70, 50]] and data.dropped == {"unreadable images": 1}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"set.json": coco([(1, "a.jpg", 80, 60)], [box(1, 5, 5, 0, 0)])},
            "no box that can be used.*1 boxes of zero.*with_p",
        ),
        ({"set.json": coco([(1, "x.jpg", 80, 60)], [box(1, 5, 5, 9, 9)])}, "0 images.*1 missing images"),
        ({"set.json": '{"annotations": [{"bbox": 1'}, "not JSON"),
        ({"set.json": '{"annotations": [{"bbox": 1}]}'}, "no usable images, categories"),
        ({}, "no boxes in a known layout.*COCO.*VOC.*OpenImages.*with_proposals"),
        (
            {f"instances_{i}.json": coco([(1, "a.jpg", 80, 60)], [box(1, 5, 5, 9, 9)]) for i in "xy"},
            "a.jpg is in both instances_x.json and instances_y.json.*annotations=",
        ),
        (
            {"set.json": coco([(1, "c.jpg", 80, 60)], [box(1, 5, 5, 9, 9)]), "u/c.jpg": jpeg(), "v/c.jpg": jpeg()},
            "c.jpg may be u/c.jpg or v/c.jpg",
        ),
    ],
)
def test_what_cannot_be_read_says_what_to_do(tmp_path, files, message):
    with pytest.raises(InputError, match=message):
        load_scenes(write(tmp_path / "set", {"a.jpg": jpeg()} | files))


def test_wrong_calls(tmp_path, coco_root):
    for arguments, options, message in [
        ((coco_root, "coko"), {}, "Did you mean 'coco'"),
        ((coco_root, "coco"), {"anotations": ["x"]}, "no option 'anotations' here; there is annotations"),
        ((coco_root, "coco"), {"annotations": ["x.json"]}, "no annotation file x.json"),
        ((coco_root, "voc"), {}, "layout voc"),
        ((coco_root, "openimages"), {}, "layout openimages"),
        ((tmp_path / "nothing",), {}, "does not exist"),
        ((coco_root / "annotations" / "instances_val2017.json", "voc"), {}, "give the folder"),
    ]:
        with pytest.raises(InputError, match=message):
            load_scenes(*arguments, **options)


def test_voc(tmp_path):
    files = {f"V/JPEGImages/{i}.jpg": jpeg(seed=i) for i in range(4)}
    files |= {
        "V/Annotations/0.xml": voc("0.jpg", [("cup", 1, 1, 80, 60), ("cat", 11, 21, 30, 40), ("cup", 9, 9, 9, 9)]),
        "V/Annotations/1.xml": voc("wrong.jpg", [("cat", 5, 5, 20, 10)], 0, 0),
        "V/Annotations/2.xml": voc("2.jpg", []),
        "V/Annotations/3.xml": voc("3.jpg", [("cat", 5, 5, 20, 10)]),
        "V/Annotations/4.xml": voc("4.jpg", [("dog", 5, 5, 20, 10)]),
        "V/Annotations/5.xml": "<annotation><object></annotation>",
        "V/ImageSets/Main/trainval.txt": "0\n1\n5\n",
        "V/ImageSets/Main/train.txt": "0\r\n4\r\n",
        "V/ImageSets/Main/val.txt": "1 1\n",
        "V/ImageSets/Main/test.txt": "2\n",
    }
    root = write(tmp_path / "set", files)
    data = load_scenes(root)
    assert data.ids.tolist() == [f"V/JPEGImages/{i}.jpg" for i in range(3)]
    assert data.split.tolist() == ["train", "validation", "test"] and data.classes == ("cat", "cup")
    # Pixels are counted from 1, and the last belongs to the box.
    assert data.boxes[0].tolist() == [[0, 0, 80, 60], [10, 20, 30, 40]] and len(data.boxes[2]) == 0
    assert data.labels[0].tolist() == [1, 0] and data.sizes.tolist() == [[80, 60]] * 3
    assert data.dropped == {
        "boxes of zero area": 1,
        "images in no list of ImageSets": 1,
        "missing images": 1,
        "unreadable annotation files": 1,
    }
    same(load_scenes(zipped(root, tmp_path / "set.zip")), data)


def test_voc_beside_the_images(tmp_path):
    files = {
        f"{part}/x{end}": content
        for part in ("train", "test")
        for end, content in (
            (".jpg", jpeg()),
            (".xml", voc("x.jpg", [("cat", 5, 5, 20, 10), ("", 1, 1, 2, 2), ("cat", "?", 1, 2, 2)])),
        )
    }
    data = load_scenes(write(tmp_path / "set", files))
    assert data.split.tolist() == ["test", "train"] and data.boxes[0].tolist() == [[4, 4, 20, 10]]
    assert data.dropped == {"boxes of an unknown class": 2, "malformed boxes": 2}


BOMB = "<!DOCTYPE a [<!ENTITY x 'lol'><!ENTITY y '&x;&x;&x;'>]><annotation><filename>&y;</filename></annotation>"
OUTSIDE = "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><annotation/>"


@pytest.mark.parametrize("text", [BOMB, OUTSIDE, "<!DOCTYPE a><a/>"])
@pytest.mark.parametrize("coding", ["utf-8", "utf-16"])
def test_declarations_in_xml_are_refused(tmp_path, text, coding):
    with pytest.raises(ValueError, match="document type"):
        parse(text.encode(coding))
    files = {"a.jpg": jpeg(), "a.xml": text.encode(coding), "b.jpg": jpeg(), "b.xml": voc("b.jpg", [("cat", 1, 1, 9, 9)])}
    data = load_scenes(write(tmp_path / "set", files))
    assert data.ids.tolist() == ["b.jpg"] and data.dropped == {"unreadable annotation files": 1}


def test_plain_xml_is_read():
    root = parse(b"<?xml version='1.0'?><a><b>1 &lt; 2</b><b/></a>")
    assert [b.text for b in root.findall("b")] == ["1 < 2", None]
    for text in (b"", b"<a>", b"<a></b>", b"\xff\xfe\x00"):
        with pytest.raises(ValueError):
            parse(text)


HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"


def row(image, left, right, top, bottom, code="/m/a", group=0) -> str:
    return f"{image},xclick,{code},1,{left},{right},{top},{bottom},0,0,{group},0,0\n"


def test_openimages(tmp_path):
    train = HEADER + row("0a", 0.25, 0.5, 0.1, 0.9) + row("0a", 0, 1, 0, 1, group=1) + row("zz", 0, 1, 0, 1)
    train += row("0a", 0.5, 0.25, 0, 1) + row("0a", 0, 1, 0, 1, code="") + row("0a", "x", 1, 0, 1) + "0a,broken\n\n"
    root = write(
        tmp_path / "set",
        {
            "train-annotations-bbox.csv": train,
            "oidv6-validation-annotations-bbox.csv": HEADER + row("0b", 0, 0.5, 0, 0.5, "/m/b") + row("0c", 0, 1, 0, 1),
            "class-descriptions-boxable.csv": "/m/a,Cat\n/m/c,Unused\n",
            "train/0a.jpg": jpeg(80, 60),
            "validation/0b.jpg": jpeg(40, 50),
            "validation/0c.jpg": b"",
        },
    )
    data = load_scenes(root)
    assert data.ids.tolist() == ["validation/0b.jpg", "train/0a.jpg"] and data.split.tolist() == ["validation", "train"]
    assert data.classes == ("/m/b", "Cat") and data.sizes.tolist() == [[40, 50], [80, 60]]
    assert data.boxes[1].tolist() == [[20, 6, 40, 54]] and data.boxes[0].tolist() == [[0, 0, 20, 25]]
    assert data.dropped == {
        "boxes of an unknown class": 1,
        "crowds": 1,
        "inverted boxes": 1,
        "malformed boxes": 2,
        "missing images": 1,
        "unreadable images": 1,
    }
    same(load_scenes(zipped(root, tmp_path / "set.zip")), data)
    with pytest.raises(InputError, match="no column XMax"):
        load_scenes(write(root, {"train-annotations-bbox.csv": "ImageID,LabelName,XMin,YMin,YMax\n"}))


def test_images_without_boxes(tmp_path):
    data = load_scenes(write(tmp_path / "set", {"train/a.jpg": jpeg(), "b.jpg": jpeg(50, 40), "test/c.jpg": b""}), "images")
    assert data.ids.tolist() == ["b.jpg", "train/a.jpg"] and data.split.tolist() == ["train", "train"]
    assert data.sizes.tolist() == [[50, 40], [80, 60]] and data.dropped == {"unreadable images": 1}
    assert [len(boxes) for boxes in data.boxes] == [0, 0]
    with pytest.raises(InputError, match=r"none of 2 images has 2 boxes .* with_proposals"):
        data.with_boxes(56)
    with pytest.raises(InputError, match="0 images"):
        load_scenes(write(tmp_path / "none", {"a.txt": ""}), "images")


def test_the_real_coco_scenes():
    data = load_scenes(shared("coco_scenes_320.zip"))
    assert len(data) == 355 and sum(map(len, data.boxes)) == 2668 and data.dropped == {"crowds": 10}
    assert (len(data.classes), len(set(data.superclasses)), data.masks) == (80, 12, None)
    assert [len(data.with_boxes(least)) for least in (28, 56)] == [251, 154]
    assert len(data.select("train")) == 178


def test_the_real_blood_cells():
    data = load_scenes(shared("bccd.zip"))
    assert data.classes == ("Platelets", "RBC", "WBC") and data.dropped == {"boxes of zero area": 2}
    assert len(data) == 364 and sum(map(len, data.boxes)) == 4886
    assert {split: int((data.split == split).sum()) for split in ("train", "validation", "test")} == {
        "train": 205,
        "validation": 87,
        "test": 72,
    }
    assert min(float(boxes.min()) for boxes in data.boxes if len(boxes)) == 0
