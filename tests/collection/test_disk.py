"""A collection's disk: every item has a place, it is kept, and it grows without moving what is there."""

import numpy as np
import pytest
import torch

from horosphere.collection import disk as module
from horosphere.collection.disk import collection_disk
from horosphere.errors import InputError
from horosphere.index import Index
from horosphere.insight.disk import hyperbolic_parts, unit_disk
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

MIXTURE = Mixed([Sphere(), Hyperbolic(1.0)], [1.0, 2.0])
SPACES = [Sphere(), Euclidean(), Hyperbolic(1.0), MIXTURE]


def made(space, count: int, seed: int = 0, start: int = 0) -> tuple[torch.Tensor, list[str], list[dict]]:
    """Points in four classes, their ids and their classes."""
    classes = np.arange(count) % 4
    features = 3 * torch.eye(6)[torch.from_numpy(classes)] + 0.3 * torch.randn(
        count, 6, generator=torch.Generator().manual_seed(seed)
    )
    return space(features), [f"{start + i}" for i in range(count)], [{"class": "abcd"[number]} for number in classes]


def index_of(space, count: int) -> Index:
    index = Index(space, model="m")
    index.add(*made(space, count))
    return index


@pytest.fixture(autouse=True)
def few_landmarks(monkeypatch):
    monkeypatch.setattr(module, "_LANDMARKS", 120)


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_items_and_queries_lie_with_their_class_in_every_space(space):
    index, told = index_of(space, 300), []
    disk = collection_disk(index, tell=lambda share, step: told.append((share, step)))
    assert disk.ids == tuple(index.ids) and disk.positions.shape == (300, 2) and disk.positions.dtype == np.float32
    assert np.isfinite(disk.positions).all() and (np.linalg.norm(disk.positions, axis=1) < 1).all()
    assert disk.part == ("hyperbolic" if space is MIXTURE else None) and disk.landmarks == 120
    shares, steps = zip(*told, strict=True)
    assert list(shares) == sorted(shares) and shares[0] == 0 and shares[-1] <= 1
    assert list(dict.fromkeys(steps)) == ["laying out 120 of 300 items", "placing 180 items", "judging the picture"]
    assert f"{100 * disk.neighbours:.0f} %" in disk.sentence and "120 of 300" in disk.sentence and 0 < disk.stress < 0.4
    queries, _, classes = made(space, 40, seed=1)
    places = disk.place(queries)
    near = np.linalg.norm(places[:, None] - disk.positions, axis=2).argmin(1)
    assert np.mean([classes[i]["class"] == "abcd"[near[i] % 4] for i in range(40)]) > 0.9
    # Placed once more, an item comes to its place; one that was laid out with others comes close.
    off = np.linalg.norm(disk.place(index.points()) - disk.positions, axis=1)
    assert (off < 1e-6).sum() >= 180 and np.median(off) < 1e-6 and np.quantile(off, 0.9) < 0.2


def test_neighbours_are_counted_among_all_items(monkeypatch):
    monkeypatch.setattr(module, "_JUDGED", 100)
    index = index_of(MIXTURE, 1000)
    disk = collection_disk(index)
    z = disk.positions[:, 0] + 1j * disk.positions[:, 1].astype(float)
    (part,) = [own for name, _, own in hyperbolic_parts(MIXTURE, index.points()) if name == disk.part]
    shares = []
    for item in range(0, 1000, 4):
        true = Hyperbolic(1.0).distance(part[item].double(), part.double()).numpy()
        seen = unit_disk.distance(z[item], z)
        true[item] = seen[item] = np.inf
        shares.append(len(set(true.argsort()[:10]) & set(seen.argsort()[:10])) / 10)
    assert disk.neighbours == pytest.approx(np.mean(shares), abs=0.05)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_few_items_and_items_that_coincide(space, count):
    for points in (made(space, count)[0], made(space, 1)[0].expand(count, -1)):
        index = Index(space)
        index.add(points, [str(i) for i in range(count)])
        disk = collection_disk(index)
        places = np.concatenate([disk.positions, disk.place(made(space, 5)[0])])
        assert np.isfinite(places).all() and (np.linalg.norm(places, axis=1) < 1).all()
        assert (disk.stress is None) == (count < 3)
        if len(points.unique(dim=0)) == 2:
            assert np.linalg.norm(disk.positions[0] - disk.positions[1]) > 0.1
    with pytest.raises(InputError, match="no items"):
        collection_disk(Index(space))


def test_it_is_kept_and_grows_without_moving(tmp_path, monkeypatch):
    index, layouts, placed = index_of(MIXTURE, 300), [], []
    lay_out, place = module.stress_layout, module.Placement.place
    monkeypatch.setattr(module, "stress_layout", lambda *args, **options: layouts.append(1) or lay_out(*args, **options))
    monkeypatch.setattr(
        module.Placement, "place", lambda self, points, *rest: placed.append(len(points)) or place(self, points, *rest)
    )
    first = collection_disk(index, tmp_path)
    again = collection_disk(index, tmp_path)
    assert (again.positions == first.positions).all() and again.sentence == first.sentence and again.ids == first.ids
    assert (again.place(index.points(["7"])) == first.place(index.points(["7"]))).all()
    assert len(layouts) == 1 and placed == [180, 1, 1]
    # New, changed and removed items.
    index.add(*made(MIXTURE, 50, seed=2, start=300))
    index.add(-made(MIXTURE, 1)[0], ["3"], duplicates="replace")
    index.remove(["5"])
    grown = collection_disk(index, tmp_path)
    old = {id: place for id, place in zip(first.ids, first.positions.tolist(), strict=True) if id not in ("3", "5")}
    new = dict(zip(grown.ids, grown.positions.tolist(), strict=True))
    assert {id: new[id] for id in old} == old and set(new) == set(index.ids) and placed[3:] == [51] and len(layouts) == 1
    assert new["3"] != first.positions[3].tolist()
    # Twice as many: all is laid out anew.
    index.add(*made(MIXTURE, 300, seed=3, start=350))
    assert len(collection_disk(index, tmp_path).ids) == 649 and len(layouts) == 2


def test_another_model_seed_or_a_damaged_file_makes_it_anew(tmp_path):
    index, space = index_of(MIXTURE, 20), MIXTURE
    first = collection_disk(index, tmp_path)
    other = Index(space, model="other")
    other.add(*made(space, 20))
    assert (collection_disk(other, tmp_path).positions == first.positions).all()  # the same points, laid out again
    assert (collection_disk(index, tmp_path, seed=1).positions != first.positions).any()
    file = tmp_path / "disk.npz"
    for broken in (b"", b"not a file", file.read_bytes()[:2000]):
        file.write_bytes(broken)
        assert (collection_disk(index, tmp_path).positions == first.positions).all()


def test_stopped_it_leaves_nothing(tmp_path):
    def stop(share, step):
        if "placing" in step:
            raise KeyboardInterrupt

    index = index_of(MIXTURE, 300)
    with pytest.raises(KeyboardInterrupt):
        collection_disk(index, tmp_path, tell=stop)
    assert not list(tmp_path.glob("*.npz")) and len(collection_disk(index, tmp_path).ids) == 300


def test_a_collapsed_hyperbolic_part_is_not_drawn():
    index = Index(MIXTURE)
    points = made(MIXTURE, 60)[0]
    points[:, 6:] = 0.1
    index.add(points, [str(i) for i in range(60)])
    disk = collection_disk(index)
    assert disk.part is None and disk.positions.std() > 0.05
