"""Each layout from a small real folder, from the folder above, from its zip, and broken."""

import csv
import io

import numpy as np
import pytest

from horosphere.data import UnreadableImage, load_arrays, load_data, save_arrays
from horosphere.errors import InputError
from tests.data.helpers import shared, tiny, write, zipped


def cub(count=4):
    species = ["001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Crested_Auklet", "004.Least_Auklet"][:count]
    rows = [(i + 1, c + 1, f"{name}/{name}_{i:04}.jpg") for c, name in enumerate(species) for i in (2 * c, 2 * c + 1)]
    return {
        "images.txt": "".join(f"{i} {path}\n" for i, _, path in rows),
        "image_class_labels.txt": "".join(f"{i} {c}\n" for i, c, _ in rows),
        "classes.txt": "".join(f"{i + 1} {name}\n" for i, name in enumerate(species)),
        "train_test_split.txt": "".join(f"{i} 1\n" for i, _, _ in rows),
        **{f"images/{path}": tiny(i) for i, _, path in rows},
    }


def mat(**content):
    scipy_io = pytest.importorskip("scipy.io")
    buffer = io.BytesIO()
    scipy_io.savemat(buffer, content)
    return buffer.getvalue()


def annotations(paths, classes, path_field):
    fields = [(path_field, object), ("bbox_x1", object), ("class", object)]
    return np.array([[(path, 1.0, float(c)) for path, c in zip(paths, classes, strict=True)]], dtype=fields)


NAMES = np.array([[f"Maker Model {i} 2012" for i in range(4)]], dtype=object)


def cars():
    paths, classes = [f"car_ims/{i:06}.jpg" for i in range(1, 9)], [1, 1, 2, 2, 3, 3, 4, 4]
    annos = annotations(paths, classes, "relative_im_path")
    files = {path: tiny(i) for i, path in enumerate(paths)}
    return {"cars_annos.mat": mat(annotations=annos, class_names=NAMES), **files}


def cars_devkit():
    names = [f"{i:05}.jpg" for i in range(1, 5)]
    return {
        "devkit/cars_meta.mat": mat(class_names=NAMES),
        "devkit/cars_train_annos.mat": mat(annotations=annotations(names, [1, 2, 3, 4], "fname")),
        "cars_test_annos_withlabels.mat": mat(annotations=annotations(names, [4, 3, 2, 1], "fname")),
        **{f"cars_{part}/{name}": tiny(int(name[:5])) for part in ("train", "test") for name in names},
    }


def sop():
    head = "image_id class_id super_class_id path\n"
    train = [("1", "1", "1", "bicycle_final/11_0.JPG"), ("2", "1", "1", "bicycle_final/11_1.JPG")]
    train += [("3", "2", "2", "chair_final/12_0.JPG"), ("4", "2", "2", "chair_final/12_1.JPG")]
    test = [("5", "11319", "1", "bicycle_final/13_0.JPG"), ("6", "11320", "2", "chair_final/14_0.JPG")]
    return {
        "Ebay_train.txt": head + "".join(" ".join(row) + "\n" for row in train),
        "Ebay_test.txt": head + "".join(" ".join(row) + "\n" for row in test),
        **{row[3]: tiny(int(row[0]), "JPEG") for row in train + test},
    }


def inshop(images="", index="Eval/"):
    rows = [
        ("img/WOMEN/Dresses/id_00000002/02_1_front.jpg", "id_00000002", "train"),
        ("img/WOMEN/Dresses/id_00000002/02_2_side.jpg", "id_00000002", "train"),
        ("img/MEN/Denim/id_00000007/01_1_front.jpg", "id_00000007", "query"),
        ("img/MEN/Denim/id_00000007/01_2_side.jpg", "id_00000007", "gallery"),
    ]
    text = "4\nimage_name item_id evaluation_status\n" + "".join(f"{a}   {b}    {c}\n" for a, b, c in rows)
    files = {images + path: tiny(i, "JPEG") for i, (path, _, _) in enumerate(rows)}
    return {f"{index}list_eval_partition.txt": text, **files}


def omniglot():
    places = ["images_background/Latin/character01", "images_background/Latin/character02"]
    places += ["images_background/Greek/character01", "images_evaluation/Avesta/character01"]
    return {f"{place}/{i:04}_0{i}.png": tiny(i) for place in places for i in (1, 2)}


def counts(data):
    return {str(s): (int((data.split == s).sum()), len(set(data.labels[data.split == s].tolist()))) for s in set(data.split)}


CASES = {
    "cub": ("cub", cub, {"train": (4, 2), "test": (4, 2)}),
    "cars": ("cars", cars, {"train": (4, 2), "test": (4, 2)}),
    "cars devkit": ("cars", cars_devkit, {"train": (4, 2), "test": (4, 2)}),
    "sop": ("sop", sop, {"train": (4, 2), "test": (2, 2)}),
    "inshop": ("inshop", inshop, {"train": (2, 1), "query": (1, 1), "gallery": (1, 1)}),
    "inshop Img": ("inshop", lambda: inshop("Img/"), {"train": (2, 1), "query": (1, 1), "gallery": (1, 1)}),
    "inshop flat": ("inshop", lambda: inshop("", ""), {"train": (2, 1), "query": (1, 1), "gallery": (1, 1)}),
    "omniglot": ("omniglot", omniglot, {"train": (6, 3), "test": (2, 1)}),
}


@pytest.mark.parametrize("case", CASES)
def test_published_layouts(case, tmp_path):
    layout, files, expected = CASES[case]
    files = files()
    root = write(tmp_path / "above" / "Inner_Folder", files)
    data = load_data(layout, root)
    assert counts(data) == expected
    assert all(data.images.read(i) == files[data.ids[i]] for i in range(len(data)))
    zips = [zipped(root, tmp_path / "flat.zip"), zipped(root, tmp_path / "wrapped.zip", "Some Folder/")]
    for other in (root.parent, *zips):
        again = load_data("auto", other)
        assert (again.name, again.classes, again.superclasses) == (data.name, data.classes, data.superclasses)
        assert np.array_equal(again.ids, data.ids)
        assert np.array_equal(again.labels, data.labels)
        assert np.array_equal(again.split, data.split)
        assert [again.images.read(i) for i in range(len(again))] == [data.images.read(i) for i in range(len(data))]


def test_names_and_ancestors(tmp_path):
    data = load_data("cub", write(tmp_path / "a", cub()))
    assert data.classes[0] == "001.Black_footed_Albatross"
    assert data.superclasses == (("Albatross",), ("Albatross",), ("Auklet",), ("Auklet",))
    assert load_data("sop", write(tmp_path / "b", sop())).superclasses == (("bicycle",), ("chair",)) * 2
    assert load_data("inshop", write(tmp_path / "c", inshop())).superclasses == (("WOMEN", "Dresses"), ("MEN", "Denim"))
    data = load_data("omniglot", write(tmp_path / "d", omniglot()))
    assert data.classes[1] == "Greek/character01"
    assert data.superclasses[1] == ("Greek",)
    data = load_data("cars", write(tmp_path / "e", cars_devkit()))
    assert data.classes[3] == "Maker Model 3 2012"
    assert data.labels.tolist() == [0, 1, 2, 3, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("layout", "files", "without", "said"),
    [
        ("cub", cub, "classes.txt", "looked for classes.txt; found .*image_class_labels.txt.*caltech"),
        (
            "cub",
            cub,
            "images/003.Crested_Auklet/003.Crested_Auklet_0004.jpg",
            "1 of 8 images are missing: images/003.*caltech",
        ),
        ("cars", cars, "cars_annos.mat", "looked for cars_annos.mat; found car_ims"),
        ("cars", cars_devkit, "cars_test_annos_withlabels.mat", "looked for cars_test_annos_withlabels.mat"),
        ("sop", sop, "Ebay_test.txt", "looked for Ebay_test.txt.*cvgl.stanford.edu"),
        ("inshop", inshop, "Eval/list_eval_partition.txt", "looked for Eval/list.* or list.*; found img.*DeepFashion"),
        ("omniglot", omniglot, "images_evaluation/Avesta/character01/", "images_evaluation.*brendenlake"),
    ],
)
def test_incomplete_folders(layout, files, without, said, tmp_path):
    kept = {path: content for path, content in files().items() if not path.startswith(without)}
    with pytest.raises(InputError, match=said):
        load_data(layout, write(tmp_path / "x", kept))
    with pytest.raises(InputError, match=said):
        load_data(layout, zipped(tmp_path / "x", tmp_path / "x.zip"))


def test_damaged_indices(tmp_path):
    with pytest.raises(InputError, match=r"image 3 .* no class"):
        load_data("cub", write(tmp_path / "a", cub() | {"image_class_labels.txt": "1 1\n2 1\n"}))
    with pytest.raises(InputError, match="not a list of"):
        load_data("cub", write(tmp_path / "b", cub() | {"classes.txt": "Albatross\n"}))
    with pytest.raises(InputError, match="line 'x y'; expected"):
        load_data("sop", write(tmp_path / "c", sop() | {"Ebay_test.txt": "head\nx y\n"}))
    with pytest.raises(InputError, match="MATLAB"):
        load_data("cars", write(tmp_path / "d", cars() | {"cars_annos.mat": "<html>404</html>"}))


def nested(prefix=""):
    places = ["animals/birds/owl", "animals/cats/lion", "plants/oak", "plants/elm"]
    return {f"{prefix}{place}/{i}.png": tiny(i) for place in places for i in range(2)}


def test_folder(tmp_path):
    noise = {"animals/birds/owl/.DS_Store": "x", "__MACOSX/animals/._owl.png": "x", "README.md": "x"}
    root = write(tmp_path / "nature", nested() | noise)
    for place in (root, zipped(root, tmp_path / "nature.zip"), zipped(root, tmp_path / "n.zip", "nature/")):
        data = load_data("auto", place)
        assert data.classes == ("owl", "lion", "elm", "oak")
        assert data.superclasses == (("animals", "birds"), ("animals", "cats"), ("plants",), ("plants",))
        assert counts(data) == {"train": (4, 2), "test": (4, 2)}
    assert set(load_data("folder", root, train_classes=3).select("test").labels.tolist()) == {3}
    assert set(load_data("folder", root, train_classes=["oak", "owl"]).select("train").labels.tolist()) == {0, 3}
    with pytest.raises(InputError, match="no class ook; nearest: oak"):
        load_data("folder", root, train_classes=["ook"])
    with pytest.raises(InputError, match="expected 0 to 4"):
        load_data("folder", root, train_classes=5)


def test_folder_with_splits(tmp_path):
    root = write(tmp_path / "x", nested("train/") | {"test/plants/oak/9.png": tiny(9), "test/fern/1.png": tiny()})
    data = load_data("folder", root)
    assert counts(data) == {"train": (8, 4), "test": (2, 2)}
    assert data.superclasses[data.classes.index("fern")] == ()
    with pytest.raises(InputError, match="leave train_classes out"):
        load_data("folder", root, train_classes=2)
    data = load_data("folder", write(tmp_path / "y", nested("query/") | nested("gallery/") | nested("train/")))
    assert counts(data) == {"train": (8, 4), "query": (8, 4), "gallery": (8, 4)}
    with pytest.raises(InputError, match="query and gallery come together"):
        load_data("folder", write(tmp_path / "z", nested("query/")))
    with pytest.raises(InputError, match="both in train/ and in extra"):
        load_data("folder", write(tmp_path / "w", nested("train/") | nested("extra/")))


def test_folder_names_and_strays(tmp_path):
    root = write(tmp_path / "x", {"a/left/1.png": tiny(), "b/left/1.png": tiny(), "b/right/1.png": tiny()})
    assert load_data("folder", root).classes == ("a/left", "b/left", "b/right")
    with pytest.raises(InputError, match=r"1 images outside any class folder, first cover.jpg"):
        load_data("folder", write(tmp_path / "x", {"cover.jpg": tiny()}))
    with pytest.raises(InputError, match="no image at all"):
        load_data("folder", write(tmp_path / "y", {"a/b.txt": "x"}))
    one = load_data("folder", write(tmp_path / "z", {"only/1.png": tiny()}))
    assert one.classes == ("only",)


def test_nothing_recognised(tmp_path):
    with pytest.raises(InputError, match=r"no known layout.*Found notes.txt"):
        load_data("auto", write(tmp_path / "x", {"notes.txt": "x"}))
    with pytest.raises(InputError, match="does not exist"):
        load_data("auto", tmp_path / "gone")
    with pytest.raises(InputError, match="neither a folder nor a zip"):
        load_data("cub", write(tmp_path, {"a.tgz": "x"}) / "a.tgz")
    with pytest.raises(InputError, match="Did you mean 'omniglot'"):
        load_data("omniglott", tmp_path)
    with pytest.raises(InputError, match=r"no option 'train_class'.*Did you mean 'train_classes'"):
        load_data("folder", tmp_path, train_class=3)
    with pytest.raises(InputError, match="needs a root"):
        load_data("cub")
    with pytest.raises(InputError, match="no root"):
        load_data()


def table(rows):
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue()


ROWS = [("image", "label", "split", "kind"), ("i/1.png", "10", "train", "even"), ("i/2.png", "2", "train", "even")]
ROWS += [("i/3.png", "7", "val", "odd"), ("i/4.png", "9", "test", "odd"), ("i/5.png", "9", "test", "odd")]


def test_table(tmp_path):
    images = {f"i/{i}.png": tiny(i) for i in range(1, 6)}
    root = write(tmp_path / "t", images | {"index.csv": "\ufeff" + table(ROWS)})
    for place in (root / "index.csv", root, zipped(root, tmp_path / "t.zip")):
        data = load_data("auto", place)
        assert data.classes == ("2", "7", "9", "10")
        assert counts(data) == {"train": (2, 2), "validation": (1, 1), "test": (2, 1)}
        assert data.images.read(4) == images["i/5.png"]
        assert data.superclasses is None
    assert load_data("table", root, superclasses=("kind",)).superclasses == (("even",), ("odd",), ("odd",), ("even",))
    assert load_data("table", root, label="kind", split="none").classes == ("even", "odd")
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {name: [row[i] for row in ROWS[1:]] for i, name in enumerate(ROWS[0])}
    columns["label"] = [int(v) for v in columns["label"]]
    pq.write_table(pa.table(columns), root / "index.parquet")
    again = load_data("auto", root / "index.parquet")
    assert again.classes == ("2", "7", "9", "10")
    assert np.array_equal(again.labels, data.labels)


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        (ROWS, {"label": "lable"}, "no column 'lable'.*lable='label'"),
        (ROWS, {"superclasses": "split", "label": "kind"}, "class 'odd' has superclasses"),
        (ROWS, {"train_classes": 1}, "leave train_classes out"),
        ([*ROWS, ("i/6.png", "9", "test", "odd")], {}, "1 of 6 images are missing: i/6.png"),
        ([*ROWS, ("i/1.png", "9", "dev", "odd")], {}, "split holds dev"),
        ([*ROWS, ("i/1.png", "", "test", "odd")], {}, "lack an image or a label"),
        ([*ROWS, ("i/1.png", "3")], {}, "line 7"),
        ([], {}, "empty"),
    ],
)
def test_refused_tables(rows, options, said, tmp_path):
    root = write(tmp_path, {f"i/{i}.png": tiny(i) for i in range(1, 6)} | {"index.csv": table(rows)})
    with pytest.raises(InputError, match=said):
        load_data("table", root / "index.csv", **options)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_features(suffix, tmp_path):
    features, labels = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32), np.arange(8) % 4
    path = tmp_path / f"cached{suffix}"
    save_arrays(path, features=features, labels=labels)
    data = load_data("auto", path)
    assert np.array_equal(data.features, features)
    assert data.images is None
    assert counts(data) == {"train": (4, 2), "test": (4, 2)}
    named = {
        "classes": ["a", "b", "c", "ü"],
        "split": np.where(labels < 1, "train", "test"),
        "superclasses": (("x",), ("x", "y"), (), ("z",)),
        "ids": [f"{i}.jpg" for i in range(8)],
    }
    save_arrays(path, features=features, labels=labels, **named)
    data = load_data("features", path)
    assert data.classes == tuple(named["classes"])
    assert data.superclasses == named["superclasses"]
    assert data.ids.tolist() == named["ids"]
    assert counts(data) == {"train": (2, 1), "test": (6, 3)}
    assert not [p for p in tmp_path.iterdir() if p != path]
    with pytest.raises(InputError, match="has no points; it holds classes, features"):
        load_arrays(path, required=("points",))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_refused_arrays(suffix, tmp_path):
    path = tmp_path / f"x{suffix}"
    good = {"features": np.ones((4, 2), np.float32), "labels": np.arange(4)}
    for change, said in [
        ({"labels": np.arange(3)}, "lengths disagree .features 4, labels 3"),
        ({"features": np.array([[1, 2], [np.nan, 0], [0, 0], [np.inf, 0]])}, "NaN or infinity in 2 of 4 rows, first row 1"),
        ({"points": np.ones(4)}, r"expected \(n, d\)"),
        ({"classes": ["a", "b"]}, "labels from 0 to 3; expected 0 to 1"),
        ({"classes": list("abcd"), "superclasses": (("x",),)}, "1 superclasses for 4"),
        ({"labels": np.array([{}] * 4)}, "Python objects"),
    ]:
        with pytest.raises(InputError, match=said):
            save_arrays(path, **good | change)
    assert not list(tmp_path.iterdir())
    path.write_bytes(b"not such a file")
    with pytest.raises(InputError, match="cannot be read"):
        load_arrays(path)
    with pytest.raises(InputError, match="does not exist"):
        load_arrays(tmp_path / f"gone{suffix}")
    with pytest.raises(InputError, match=r"use .npz or .safetensors"):
        save_arrays(tmp_path / "x.csv", **good)
    with pytest.raises(InputError, match=r"expected .npz or .safetensors"):
        load_arrays(tmp_path / "x.csv")


def test_pickled_objects_are_never_loaded(tmp_path):
    np.savez(tmp_path / "x.npz", labels=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="unicode arrays"):
        load_arrays(tmp_path / "x.npz")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.npz"
    save_arrays(path, labels=np.arange(3))
    monkeypatch.setattr("os.fsync", lambda fd: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_arrays(path, labels=np.arange(9))
    assert load_arrays(path)["labels"].tolist() == [0, 1, 2]
    assert list(tmp_path.iterdir()) == [path]


def test_digits():
    data = load_data("digits")
    assert counts(data) == {"train": (901, 5), "test": (896, 5)}
    assert data.images.read(0).shape == (8, 8)
    assert data.images.array.max() == 255


def test_omniglot_itself():
    data = load_data("auto", shared("omniglot.zip"))
    assert data.name == "Omniglot"
    assert counts(data) == {"train": (19280, 964), "test": (13180, 659)}
    assert len({s for (s,) in data.superclasses}) == 50


def test_birds_themselves():
    data = load_data("auto", shared("cub100_crops_128.zip"))
    assert len(data) == 5902
    assert [n for _, n in counts(data).values()] == [50, 50]
    assert sorted(data.classes) == list(data.classes)
    assert set(data.select("train").labels.tolist()) == set(range(50))
    try:
        assert data.images.read(5901)[:2] == b"\xff\xd8"
    except UnreadableImage as error:
        pytest.fail(str(error))
