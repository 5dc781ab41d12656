"""Real processes on gloo that share a gallery, against one process."""

import pickle

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp

from horosphere.errors import InputError
from horosphere.evaluation import evaluate_retrieval
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere


def points_of(space, n, classes, seed, copies=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=generator)
    centres = torch.randn(classes, 6, generator=generator)
    points = space(centres[labels] + torch.randn(n, 6, generator=generator)).detach()
    if copies:
        points[:: n // copies] = points[1]
    return points, labels


def cases():
    """name → (points, labels, space, options)."""
    made = {}
    for name, space in {
        "sphere": Sphere(),
        "hyperbolic": Hyperbolic(),
        "mixed": Mixed([Sphere(), Hyperbolic(), Euclidean()], [1.0, 2.0, 0.5]),
    }.items():
        points, labels = points_of(space, 403, 60, seed=1, copies=40)
        made[name] = (points, labels, space, {})
        made[f"{name}, recall alone"] = (points, labels, space, {"map_at_r": False})
        made[f"{name}, small blocks"] = (points.half(), labels, space, {"block": 37})
        split = {"queries": torch.arange(0, 403, 3), "gallery": torch.arange(1, 403, 2)}
        made[f"{name}, queries and gallery"] = (points, labels, space, split)
    grid = torch.randint(3, (200, 2), generator=torch.Generator().manual_seed(2)).float()
    made["ties"] = (grid, torch.arange(200) % 7, Euclidean(), {"block": 16})
    made["one point"] = (grid[:1].expand(50, -1), torch.arange(50) % 2, Euclidean(), {})
    made["fewer classes than processes"] = (*points_of(Sphere(), 90, 2, seed=3), Sphere(), {"block": 20})
    made["fewer items than processes"] = (torch.tensor([[0.0], [1.0], [3.0]]), [5, 5, 6], Euclidean(), {})
    return made


def of_one_rank(rank, world, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    reports = {
        name: evaluate_retrieval(points, labels, space, bootstrap=50, distributed=True, **options)
        for name, (points, labels, space, options) in cases().items()
    }
    points, labels, space, _ = cases()["sphere"]
    with pytest.raises(InputError, match="different points"):
        evaluate_retrieval(points[: 403 - rank], labels[: 403 - rank], space, distributed=True)
    # Without being asked a process works alone, also where the others do not.
    if rank == 0:
        reports["alone"] = evaluate_retrieval(points, labels, space, bootstrap=50)
    with open(f"{folder}/{rank}.pickle", "wb") as file:
        pickle.dump(reports, file)
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("world", [2, 4])
def test_every_process_has_the_report_of_one_process(tmp_path, world):
    mp.spawn(of_one_rank, args=(world, str(tmp_path)), nprocs=world)
    expected = {
        name: evaluate_retrieval(points, labels, space, bootstrap=50, **options)
        for name, (points, labels, space, options) in cases().items()
    }
    for rank in range(world):
        found = pickle.loads((tmp_path / f"{rank}.pickle").read_bytes())
        if rank == 0:
            assert found.pop("alone") == expected["sphere"]
        assert found.keys() == expected.keys()
        for name, report in expected.items():
            assert found[name] == report, name
            for column, values in report.per_query.items():
                np.testing.assert_array_equal(found[name].per_query[column], values, err_msg=name)


def test_no_group_of_processes_is_one_process():
    points, labels, space, _ = cases()["hyperbolic"]
    assert evaluate_retrieval(points, labels, space, distributed=True) == evaluate_retrieval(points, labels, space)
