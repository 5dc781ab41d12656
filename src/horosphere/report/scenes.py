"""What scene–object contrast has learned: the radius of scenes against objects, and whose scene an object is nearest to."""

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..config import SceneConfig, to_yaml
from ..data import SceneData, UnreadableImage
from ..data.crops import open_scene, whole
from ..data.transforms import crop
from ..errors import InputError
from ..files import write_text
from ..models import Embedder
from ..models.embedder import evaluating
from ..runs import Run
from ..spaces import Sphere
from .document import Picture, template
from .page import write_pictures
from .telemetry import training_picture, warnings_of

#: Enough for two digits, and minutes at most: scenes, evenly spaced among all, and objects of each, in the file's order.
MOST_SCENES, MOST_OBJECTS = 2000, 10
_QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Regions:
    """Scenes and their objects through a model, float32 on the CPU.

    Attributes:
        scenes: points (n, p) of what holds all boxes of an image.
        objects: points (m, p) of what is in a box.
        encodings: the encoder's own output (m, width) of the objects.
        owners: the scene of each object (m,), int64.
        places: image and box of each object (m, 2), as positions in the data.
        failures: the images that could not be read, with reasons.
    """

    scenes: Tensor
    objects: Tensor
    encodings: Tensor
    owners: Tensor
    places: np.ndarray
    failures: dict[str, str]


def embed_regions(model: Embedder, data: SceneData, *, progress: bool = False) -> Regions:
    """Embed at most `MOST_SCENES` scenes, and `MOST_OBJECTS` objects of each.

    Crops are resized without keeping their shapes, as in training. Raises InputError where no image can be read.
    """
    assert model.preprocessing is not None  # it has an encoder
    scenes, objects, encodings, places, failures = [], [], [], [], {}
    chosen = np.unique(np.linspace(0, len(data) - 1, min(len(data), MOST_SCENES)).astype(int))
    for i in tqdm(chosen.tolist(), desc="embedding scenes", unit="img", disable=not progress, leave=False):
        name, boxes = str(data.ids[i]), data.boxes[i]
        try:
            picture = open_scene(data.images.read(i), data.sizes[i], model.preprocessing.channels, name=name)
        except UnreadableImage as error:
            failures[name] = error.reason
            continue
        around = (*boxes[:, :2].min(0), *boxes[:, 2:].max(0))
        views = [crop(picture, whole(box), model.preprocessing) for box in (around, *boxes[:MOST_OBJECTS])]
        with evaluating(model), torch.inference_mode():
            outputs, points = model.embed(model.normalise(torch.stack(views)))
        places += [(i, box) for box in range(len(views) - 1)]
        scenes.append(points[0].cpu())
        objects.append(points[1:].cpu())
        encodings.append(outputs[1:].cpu())
    if not scenes:
        first, reason = next(iter(failures.items()))
        raise InputError(f"none of the {len(failures)} images of {data.name} could be read; the first, {first}: {reason}")
    places = np.array(places)
    owners = torch.from_numpy(np.unique(places[:, 0], return_inverse=True)[1])
    return Regions(torch.stack(scenes), torch.cat(objects), torch.cat(encodings), owners, places, failures)


def judge_scenes(model: Embedder, regions: Regions) -> dict:
    """Radii of scenes and objects; the share of objects whose own scene lies farther out; and the share to which no scene is
    nearer than their own, by the space's distance and by cosine, with what chance would give."""
    space, sphere = model.space, Sphere()
    scenes, objects, owners = regions.scenes, regions.objects, regions.owners
    radii = {"scenes": space.radius(scenes), "objects": space.radius(objects)}
    nearest = {}
    for name, where in (("distance", space), ("cosine", sphere)):
        apart = where.pairwise(where(objects), where(scenes))
        own = apart.gather(1, owners[:, None])
        nearest[name] = float((apart >= own).all(1).float().mean())
    return {
        "scenes": len(scenes),
        "objects": len(objects),
        "radius": {
            name: dict(zip(map(str, _QUANTILES), radius.quantile(torch.tensor(_QUANTILES)).tolist(), strict=True))
            for name, radius in radii.items()
        },
        "own_scene_outside": float((radii["scenes"][owners] > radii["objects"]).float().mean()),
        "own_scene_nearest": nearest,
        "chance": 1 / len(scenes),
    }


def write_scene_report(run: Run, model: Embedder, data: SceneData | None, *, progress: bool = False) -> None:
    """Write the pictures, report.html and, last, report.json, which marks the run as finished.

    Args:
        run: a trained run on scenes.
        model: the trained model.
        data: the scenes to show it on; None where there are no boxes.
    """
    from .. import insight  # matplotlib takes long to import

    config = run.config
    assert isinstance(config, SceneConfig)  # the caller knows
    metrics = [entry for entry in run.metrics() if "euclidean/loss" in entry]
    terms = [name.removesuffix("/loss") for name in metrics[-1] if name.endswith("/loss")]
    pictures = [training_picture(run, model.space)]
    training = run.training
    failures, found = training.pop("failures"), None
    if data is not None:
        regions = embed_regions(model, data, progress=progress)
        failures |= regions.failures
        found = judge_scenes(model, regions)
        radii = {
            "scenes": model.space.radius(regions.scenes).tolist(),
            "objects": model.space.radius(regions.objects).tolist(),
        }
        pictures.append(
            Picture(
                "radius",
                "Where scenes and objects lie. In a scene–object hierarchy objects lie near the origin, scenes farther out.",
                insight.radii_of(radii),
            )
        )
    last = metrics[-1]
    report = {
        "horosphere": version("horosphere"),
        "kind": "scenes",
        "recipe": config.recipe,
        "seed": config.seed,
        "judged_on": None if data is None else str(data.split[0]),
        "data": config.data.root if data is None else data.name,
        "space": model.space.describe(settled=True),
        "training": training,
        "warnings": [asdict(warning) for warning in warnings_of(run, model.space)],
        "steps": last["step"],
        "terms": {term: {"loss": last[f"{term}/loss"], "accuracy": last[f"{term}/accuracy"]} for term in terms},
        "queue_fill": last["queue_fill"],
        "found": found,
        "failures": {"count": len(failures), "first": dict(list(failures.items())[:10])},
    }
    write_pictures(run, pictures)
    html = template("scenes.html").render(report=report, config_yaml=to_yaml(config), pictures=pictures)
    write_text(run.page_path, html)
    write_text(run.report_path, json.dumps(report, indent=2) + "\n")
