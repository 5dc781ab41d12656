"""Drawings of the disk hold their points, their tree and their images."""

import numpy as np
import pytest

from horosphere import insight
from horosphere.evaluation import LabelTree
from horosphere.insight.disk import group_styles, unit_disk
from horosphere.insight.disk.styles import look
from horosphere.insight.disk.thumbnails import place_thumbnails
from tests.insight.test_figures import png


def points(n: int = 90, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return unit_disk.of_tangents(rng.normal(size=n) + 1j * rng.normal(size=n))


def test_thumbnails_never_cover_one_another_and_leave_no_room():
    z, rng = points(400), np.random.default_rng(0)
    sides, order = rng.uniform(0.03, 0.12, 400), rng.permutation(400)
    chosen = place_thumbnails(z, sides, order, gap=0.01)

    def apart(i, j):
        return max(abs((z[i] - z[j]).real), abs((z[i] - z[j]).imag)) - (sides[i] + sides[j]) / 2

    assert chosen[0] == order[0] and min(apart(i, j) for i in chosen for j in chosen if i != j) >= 0.01
    left = set(range(400)) - set(chosen)
    assert left and all(min(apart(i, j) for j in chosen) < 0.01 for i in left)


def test_the_tree_joins_classes_to_the_root_at_means():
    z, labels = points(40), np.arange(40) % 4
    classes, above = ("a", "b", "c", "d", "empty"), (("x",), ("x",), ("y",), ("y",), ("z",))
    tree = insight.disk_tree(z, labels, LabelTree.of_superclasses(classes, above))
    assert sorted(tree.names) == ["a", "b", "c", "d", "root", "x", "y"]
    over = {name: tree.names[parent] for name, parent in zip(tree.names, tree.parent, strict=True)}
    assert over == {"a": "x", "b": "x", "c": "y", "d": "y", "x": "root", "y": "root", "root": "root"}
    at = dict(zip(tree.names, tree.z, strict=True))
    assert np.isclose(at["a"], unit_disk.mean(z[labels == 0]))
    assert np.isclose(at["x"], unit_disk.mean(np.array([at["a"], at["b"]])))
    assert np.isclose(at["root"], unit_disk.mean(np.array([at["x"], at["y"]])))
    assert dict(zip(tree.names, tree.level.tolist(), strict=True)) == dict.fromkeys("abcd", 0) | {"x": 1, "y": 1, "root": 2}


def test_disks_show_every_point_and_name_the_frequent_groups():
    z = points(90)
    groups = np.array([f"group {i % 30}" if i < 60 else "large" for i in range(90)])
    left, right = png(
        insight.draw_disks([insight.DiskPanel("a", z, groups), insight.DiskPanel("b", z[60:], groups[60:])], 2.0)
    ).axes
    names = [text.get_text() for text in left.get_legend().get_texts()]
    assert len(names) == 21 and "large" in names and names[-1] == "11 more classes"
    assert sum(len(scatter.get_offsets()) for scatter in left.collections if scatter.get_offsets().any()) >= 90
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["large"]
    # A circle labelled d lies at the disk's distance 2 d.
    labels = [text for text in left.texts if text.get_text().replace(".", "").isdigit()]
    assert labels and all(np.isclose(2 * np.arctanh(text.xy[1]), 2 * float(text.get_text())) for text in labels)


@pytest.mark.parametrize("channels", [1, 3])
def test_thumbnails_are_asked_only_for_what_is_drawn(channels):
    z, asked = points(60), []

    def image(position):
        asked.append(position)
        return np.full((8, 8, channels), position, np.uint8)

    figure, count = insight.draw_thumbnails(insight.DiskPanel("", z, np.full(60, "one")), image, 1.0)
    (axes,) = png(figure).axes
    assert len(asked) == count == len(axes.images) > 10
    for position, picture in zip(asked, axes.images, strict=True):
        left, right, bottom, top = picture.get_extent()
        assert np.isclose((left + right) / 2 + 1j * (bottom + top) / 2, z[position])


def test_a_group_looks_the_same_in_all_figures():
    first, second = np.array(["a", "b", "c"] * 9), np.array(["d", "c", "c"] * 9)
    styles = group_styles([first, second])
    assert len(set(styles.values())) == 4 and len({look(number) for number in range(49)}) == 49
    assert group_styles([second, np.array(["e"])], {"c": 2}) == {"c": 2, "d": 0, "e": 1}

    def looks(axes):
        keys = axes.get_legend().legend_handles
        return {key.get_label(): (key.get_color(), key.get_marker()) for key in keys}

    both = insight.draw_disks([insight.DiskPanel("", points(27), own) for own in (first, second)], 1.0, styles=styles)
    alone = insight.draw_disks([insight.DiskPanel("", points(27), second)], 1.0, styles=styles)
    images, _ = insight.draw_thumbnails(
        insight.DiskPanel("", points(27), second), lambda _: np.zeros((2, 2, 1), np.uint8), 1.0, styles=styles
    )
    left, right = map(looks, both.axes)
    assert right == looks(alone.axes[0]) == looks(images.axes[0]) and left["c"] == right["c"]
    assert right == {name: look(styles[name]) for name in "cd"}


def test_grey_images_keep_their_brightness():
    figure, _ = insight.draw_thumbnails(
        insight.DiskPanel("", points(9), np.full(9, "one")), lambda i: np.full((4, 4, 1), 20 * i + 40, np.uint8), 1.0
    )
    sheets = [
        insight.image_sheet([("dark", [(np.full((4, 4), 30, np.uint8), "")])]),
        insight.box_sheet([(np.full((4, 4, 1), 30, np.uint8), "", [])]),
    ]
    pictures = [picture for made in (figure, *sheets) for axes in made.axes for picture in axes.images]
    assert len(pictures) > 3 and {picture.get_clim() for picture in pictures} == {(0, 255)}


def test_shepard_diagrams_are_on_the_line_for_exact_distances():
    wanted = np.random.default_rng(0).uniform(1, 2, 500)
    (axes,) = png(insight.draw_shepard([("exact", 3 * wanted, wanted)])).axes
    offsets = axes.collections[0].get_offsets()
    assert np.abs(offsets[:, 0] - offsets[:, 1]).max() < 0.1
