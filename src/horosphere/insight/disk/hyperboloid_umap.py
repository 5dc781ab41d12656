"""UMAP in the hyperbolic plane, as in Figure 2 of Hyp-ViT; umap-learn is imported here alone, and only when asked for."""

import warnings
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ...evaluation import nearest
from ...spaces import Space
from . import unit_disk
from .layout import DiskLayout, start_of
from .quality import layout_quality


def umap_layout(space: Space, points: Tensor, *, neighbours: int = 15, seed: int = 0, progress: bool = False) -> DiskLayout:
    """UMAP (McInnes et al., 2018) of points (n, p) of any space into the hyperboloid, seen in the Poincaré disk.

    It keeps near neighbours together, and says little about far distances or radii. Its output (x, y) is lifted to
    t = √(1 + x² + y²) and projected to (x, y)/(1 + t). The centre is the points' Karcher mean, and the scale that which fits
    the distances best.

    Raises InputError where umap-learn is not installed, and for fewer than five points.
    """
    if find_spec("umap") is None:
        raise InputError("this layout needs umap-learn: pip install 'horosphere[umap]', or take the layout stress")
    if len(points) < 5:
        raise InputError(f"{len(points)} points: UMAP needs five or more")
    import umap  # takes half a minute

    k = min(neighbours, len(points) - 1)
    everyone = np.arange(len(points))
    positions = np.concatenate([near for _, near in nearest(points, space, k - 1)])
    distances = np.stack([space.distance(points, points[own]).detach().numpy() for own in torch.from_numpy(positions.T)], 1)
    # UMAP counts a point as its own first neighbour.
    graph = np.column_stack([everyone, positions]), np.column_stack([np.zeros(len(points)), distances])
    start = start_of(space, points, seed)
    start = np.column_stack([start.real, start.imag]) * (2 / max(np.abs(start).max(), 1e-300))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed means one thread, and that new points could not be placed
        reducer = umap.UMAP(
            n_neighbors=k,
            precomputed_knn=(graph[0], graph[1].astype(np.float32)),
            output_metric="hyperboloid",
            init=start.astype(np.float32),
            random_state=seed,
            n_jobs=1,
            verbose=False,
            tqdm_kwds={"disable": not progress, "leave": False},
        )
        threads = torch.get_num_threads()
        try:
            # The rows are read for their number alone.
            xy = reducer.fit_transform(everyone[:, None].astype(np.float32)).astype(float)
        finally:
            # Numba sets the threads of the OpenMP that torch uses too, and other threads round otherwise.
            torch.set_num_threads(threads)
    z = (xy[:, 0] + 1j * xy[:, 1]) / (1 + np.sqrt(1 + np.square(xy).sum(1)))
    z = unit_disk.recentre(z, unit_disk.mean(z))
    fit = layout_quality(space, points, z, seed=seed)
    return DiskLayout(z, float(fit.found @ fit.found / max(fit.found @ fit.wanted, 1e-300)), "mean", "fit")
