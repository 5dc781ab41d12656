"""From a config to the objects that it means: data, space, loss and model."""

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch

from . import spaces
from .config import Config, DataConfig, LibraryConfig, PairwiseConfig, PartConfig, SceneConfig, SceneDataConfig, SpaceConfig
from .data import Preprocessing, RetrievalData, SceneData, load_data, load_scenes, with_proposals
from .errors import InputError
from .losses import Chest, ConvexCombination, Loss, PairwiseCrossEntropy, ProxyAnchor, SceneObjectContrast, SoftTriple
from .models import Embedder, Projector
from .spaces import Euclidean, Hyperbolic, Mixed, Space, Sphere

#: Their options are those of the config.
_PROXY_LOSSES: dict[str, Any] = {"soft-triple": SoftTriple, "proxy-anchor": ProxyAnchor, "chest": Chest}


def space(config: SpaceConfig) -> Space:
    """The space; a single part of weight 1 is that geometry itself."""
    with _as_input_error():
        if any(part.weight == 0 and part.learnable_curvature for part in config.parts):
            raise InputError("a part of weight 0 is not computed, so its curvature cannot be learned: raise its weight")
        parts = [_part(part) for part in config.parts]
        weights = [part.weight for part in config.parts]
        if len(parts) == 1 and weights == [1.0] and not config.learnable_weights:
            return parts[0]
        return Mixed(parts, weights, learnable_weights=config.learnable_weights)


def _part(config: PartConfig) -> Space:
    if config.kind == "hyperbolic":
        return Hyperbolic(
            config.curvature,
            config.clip,
            clipping=config.clipping,
            radius=config.radius,
            learnable_curvature=config.learnable_curvature,
        )
    return {"sphere": Sphere, "euclidean": Euclidean}[config.kind]()


def loss(config: Config, space: Space, classes: int) -> Loss:
    """The loss on points of `space`, for `classes` training classes labelled from 0 on."""
    options = config.loss
    if options.kind in _PROXY_LOSSES:
        chosen = {name: value for name, value in dataclasses.asdict(options).items() if name != "kind"}
        if options.kind == "chest":
            _check_weights_of_chest(config.space)
            chosen["seed"] = config.seed
        with _as_input_error():
            return _PROXY_LOSSES[options.kind](space, classes, dim=config.model.dim, **chosen)
    if isinstance(options, LibraryConfig):
        return _library_loss(config, options, space, classes)
    if not isinstance(options, PairwiseConfig):
        raise InputError(f"loss.kind={options.kind}: there is no such loss")
    shared = {"reduction": options.reduction, "negatives": options.negatives, "precision": options.precision}
    with _as_input_error():
        if options.mixing == "distances":
            if options.part_temperatures:
                raise InputError("loss.part_temperatures belong to loss.mixing=losses; set loss.temperature instead")
            return PairwiseCrossEntropy(space, options.temperature, **shared)
        if not isinstance(space, Mixed):
            raise InputError(f"loss.mixing=losses needs a space of several parts; this one is {space.name} alone")
        if config.space.learnable_weights:
            raise InputError("with loss.mixing=losses the weights are fixed shares: set space.learnable_weights to false")
        temperatures = options.part_temperatures or (options.temperature,) * len(space.parts)
        if len(temperatures) != len(space.parts):
            raise InputError(f"{len(space.parts)} parts but {len(temperatures)} loss.part_temperatures; give one a part")
        parts = zip(space.parts, temperatures, strict=True)
        losses: list[Loss] = [PairwiseCrossEntropy(part, temperature, **shared) for part, temperature in parts]
        return ConvexCombination(space, losses, space.weights)


def _check_weights_of_chest(config: SpaceConfig) -> None:
    """CHEST never asks for the mixture's distance, so its weights learn nothing."""
    if config.learnable_weights:
        raise InputError("CHEST does not train the mixture's weights: set space.learnable_weights to false")
    if not all(part.weight for part in config.parts):
        raise InputError(
            "CHEST trains both parts, and the head of a part of weight 0 stands still: give both a weight, and search by "
            "one alone with evaluation.rank_by"
        )


def _library_loss(config: Config, options: LibraryConfig, space: Space, classes: int) -> Loss:
    from .losses import from_pml

    size = config.batch.classes * config.batch.images
    if 0 < options.memory < size:
        raise InputError(f"loss.memory={options.memory} does not hold a batch of {size} images: raise it, or lower batch")
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    name, of_loss = given.pop("name"), given.pop("options")
    del given["kind"]
    if clash := given.keys() & of_loss.keys():
        raise InputError(f"loss.options has {', '.join(clash)}, which loss.{clash.pop()} is for")
    return from_pml(name, space, classes=classes, dim=config.model.dim, **given, **of_loss)


def temperatures(config: Config | SceneConfig, space: Space) -> dict[str, float]:
    """What a pairwise loss divides distances by, by the geometry whose distance it is; empty for other losses."""
    if not isinstance(config, Config) or not isinstance(config.loss, PairwiseConfig):
        return {}
    loss = config.loss
    if not isinstance(space, Mixed):
        return {space.name: loss.temperature}
    if loss.mixing == "distances":
        return {"mixture": loss.temperature}
    names = space.names
    return dict(zip(names, loss.part_temperatures or (loss.temperature,) * len(names), strict=True))


def data(config: DataConfig) -> RetrievalData:
    """The whole data set."""
    options: dict[str, Any] = dict(config.options)
    for name in ("superclasses", "train_classes"):
        if isinstance(options.get(name), str):
            options[name] = options[name].split(",")
    return load_data(config.layout, config.root, **options)


def data_config(config: Config | SceneConfig, root: str, layout: str, options: Mapping[str, int | str]) -> DataConfig:
    """Other labelled images for a run: they are read as the run's own are."""
    own = DataConfig() if isinstance(config, SceneConfig) else config.data
    return dataclasses.replace(own, layout=layout, root=root, options=dict(options))


def training_split(config: Config, data: RetrievalData) -> RetrievalData:
    """What to train on: all training images, or without the classes that `judged_split` holds out."""
    if config.evaluation.judge == "validation" and "validation" not in data.split:
        return data.hold_out(config.data.validation_fraction, config.data.validation_seed)[0]
    return data.select("train")


def judged_split(config: Config, data: RetrievalData) -> RetrievalData:
    """What to judge on: see `EvaluationConfig.judge`.

    Validation is the data set's own validation split where it has one, and else classes held out of its training split.
    """
    if config.evaluation.judge == "test":
        return test_split(data)
    if "validation" in data.split:
        return data.select("validation")
    return data.hold_out(config.data.validation_fraction, config.data.validation_seed)[1]


def test_split(data: RetrievalData) -> RetrievalData:
    """The test images, or query and gallery. Raises InputError where the data set has neither."""
    if "test" in data.split:
        return data.select("test")
    if "query" in data.split:
        return data.select("query", "gallery")
    raise InputError(f"{data.name} has nothing to judge on: expected a test split, or query and gallery")


def embedder(config: Config, data: RetrievalData) -> Embedder:
    """The model, untrained but for its encoder's weights, with the config's changes to the preprocessing."""
    options, where = config.model, space(config.space)
    if (options.encoder is None) != (data.features is not None):
        given = (
            "features, so model.encoder must be None" if data.features is not None else "images, so it needs model.encoder"
        )
        raise InputError(f"the data set {data.name} holds {given}")
    if options.encoder is None and data.features is not None:
        useless = [name for name in ("pretrained", "checkpoint", "encoder_options") if getattr(options, name)]
        if useless:
            raise InputError(f"model.{', model.'.join(useless)} given, but model.encoder is None: leave them out")
        return Embedder(
            None,
            where,
            options.dim,
            heads=options.heads,
            normalise_encoding=options.normalise_encoding,
            width=data.features.shape[1],
        )
    encoder_options = dict(options.encoder_options)
    if config.data.grey:
        encoder_options["in_chans"] = 1
    model = Embedder(
        options.encoder,
        where,
        options.dim,
        heads=options.heads,
        normalise_encoding=options.normalise_encoding,
        pretrained=options.pretrained,
        checkpoint=options.checkpoint,
        freeze=options.freeze,
        encoder_options=encoder_options,
    )
    assert model.preprocessing is not None  # an encoder has one
    model.set_preprocessing(preprocessing(model.preprocessing, config.data))
    if isinstance(where, spaces.Mixed) and not model.heads.shared:
        for head, weight in zip(model.heads.linears, where.weights, strict=True):
            # A part of weight 0 trains nothing, and several processes would wait for its gradient.
            head.requires_grad_(weight > 0)
    return model


def scenes(config: SceneConfig, progress: bool = False) -> SceneData:
    """The scenes of all splits, with their annotated or proposed boxes."""
    options = config.data
    if options.root is None:
        raise InputError("data.root is not given: expected a folder or zip of scenes")
    data = load_scenes(options.root, options.layout)
    if options.regions == "selective-search":
        workers = config.training.workers
        data = with_proposals(data, least=options.crops.least, workers=workers, progress=progress)
    return data


def training_scenes(config: SceneConfig, data: SceneData) -> SceneData:
    """What trains: two regions or more a scene, each large enough; or as one region the whole image."""
    if config.data.regions == "image":
        boxes = tuple(np.array([[0, 0, *size]], np.float32) for size in data.sizes)
        labels = tuple(np.array([-1]) for _ in boxes)
        data = dataclasses.replace(data, boxes=boxes, labels=labels, masks=None)
    return data.select("train").with_boxes(config.data.crops.least, 1 if config.data.regions == "image" else 2)


def judged_scenes(config: SceneConfig, data: SceneData) -> SceneData | None:
    """What the report shows: the validation scenes, else the test scenes, else the training scenes; None without boxes."""
    splits = [split for split in ("validation", "test", "train") if split in data.split]
    data = data.select(splits[0])
    return data.with_boxes(config.data.crops.least) if any(map(len, data.boxes)) else None


def projector(config: SceneConfig) -> Projector:
    """The model of scene–object contrast, untrained but for its encoder's weights."""
    options, contrast = config.model, config.contrast
    with _as_input_error():
        where = Hyperbolic(contrast.curvature, contrast.clip)
    model = Embedder(
        options.encoder,
        where,
        options.dim,
        layers=2,
        normalise_encoding=options.normalise_encoding,
        pretrained=options.pretrained,
        checkpoint=options.checkpoint,
        freeze=options.freeze,
        encoder_options=options.encoder_options,
    )
    assert model.preprocessing is not None  # an encoder has one
    model.set_preprocessing(preprocessing(model.preprocessing, config.data))
    return Projector(model, dense=contrast.dense_share > 0)


def contrast(config: SceneConfig, model: Embedder) -> SceneObjectContrast:
    """The loss of scene–object contrast, with its queues."""
    options = config.contrast
    with _as_input_error():
        return SceneObjectContrast(
            cast(Hyperbolic, model.space),
            model.dim,
            queue=options.queue,
            weight=options.weight,
            temperature=options.temperature,
            hyperbolic_temperature=options.hyperbolic_temperature,
            gradient=options.gradient,
            dense_share=options.dense_share,
        )


def preprocessing(own: Preprocessing, config: DataConfig | SceneDataConfig) -> Preprocessing:
    """What the encoder's weights ask for, with the config's changes."""
    changes: dict[str, Any] = {name: value for name in ("size", "resize") if (value := getattr(config, name)) is not None}
    if "size" in changes:
        # The share of the image that the weights' own crop keeps stays what it was.
        changes.setdefault("resize", round(changes["size"] * own.resize / own.size))
    if (config.mean is None) != (config.std is None):
        raise InputError("data.mean and data.std belong together; give both or neither")
    if config.mean is not None:
        changes["mean"], changes["std"] = config.mean, config.std
    return dataclasses.replace(own, **changes)


def device(name: str) -> torch.device:
    """auto, cpu or cuda as a device. Raises InputError for another name, and for cuda where there is none."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda") or (name == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"--device {name}: expected auto, cpu, or cuda where there is a GPU")
    return torch.device(name)


class _as_input_error:
    """Values that a space or loss refuses came from the config: bad input."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, ValueError) and not isinstance(error, InputError):
            raise InputError(str(error)) from None
