"""Training by scene–object contrast: the loop from top to bottom, as `training.loop` is for labelled images."""

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from .. import build
from ..config import SceneConfig
from ..data import SceneBatch, SceneData, scene_batches, steps_per_epoch
from ..errors import InputError
from ..files import from_root, write_text
from ..losses import SceneObjectContrast
from ..models import Embedder, MomentumEncoder, Projection, Projector
from ..processes import gathered, is_first_process, merge, world_size
from ..report import write_scene_report
from ..runs import Run
from .checkpoint import State
from .distributed import total, training_batch_norms
from .launch import Fabric, launch, seed_everything
from .optimiser import gradient_norms, hold, make_optimiser, set_rate, update
from .steps import Steps, note_failures
from .telemetry import points_telemetry


def train(config: SceneConfig, folder: str | Path | None = None, *, progress: bool = True) -> Run:
    """Train what a config says, and return the run with its report. As `training.train`."""
    config = replace(
        config,
        data=replace(config.data, root=from_root(config.data.root)),
        model=replace(config.model, checkpoint=from_root(config.model.checkpoint)),
    )
    fabric = launch(config.training)
    # Several processes agree on the folder, which the first one chooses and makes.
    run: Run = fabric.broadcast(Run.at(folder, config.recipe) if fabric.is_global_zero else None)  # ty: ignore
    job = _prepare(fabric, config, progress)
    if fabric.is_global_zero:
        run.begin(config)
    return _train(fabric, run, job, progress)


def resume(run: Run, *, progress: bool = True) -> Run:
    """Go on with an unfinished run. As `training.resume`."""
    config = cast(SceneConfig, run.config)
    fabric = launch(config.training)
    return _train(fabric, run, _prepare(fabric, config, progress), progress)


@dataclass
class _Job:
    """What a config means. `projector` trains, `key` follows it; each view goes through in `groups` runs in each process."""

    config: SceneConfig
    data: SceneData
    judged: SceneData | None
    projector: Projector
    key: MomentumEncoder
    loss: SceneObjectContrast
    groups: int
    failures: dict[str, str]


def _prepare(fabric: Fabric, config: SceneConfig, progress: bool) -> _Job:
    """Everything that can be wrong with a config shows here, before a run's folder is made."""
    # One seed for every process: the model starts alike everywhere. Data never draw from these generators.
    seed_everything(config.seed, verbose=False)
    scenes = build.scenes(config, progress and fabric.is_global_zero)
    data, judged = build.training_scenes(config, scenes), build.judged_scenes(config, scenes)
    batch, world = config.batch, fabric.world_size
    steps_per_epoch(len(data), batch.images, data.name)
    projector = build.projector(config)
    loss = build.contrast(config, projector.model)
    norms = bool(training_batch_norms(projector))
    for name, count in (("batch.images", batch.images), *([("batch.norm_groups", batch.norm_groups)] if norms else [])):
        if count % world:
            raise InputError(f"{name} is {count}, which {world} processes cannot share: make it a multiple of {world}")
    key = MomentumEncoder(projector, momentum=config.contrast.momentum, shuffled=norms, seed=config.seed)
    return _Job(config, data, judged, projector, key, loss, batch.norm_groups // world if norms else 1, {})


def _train(fabric: Fabric, run: Run, job: _Job, progress: bool) -> Run:
    progress = progress and fabric.is_global_zero
    _fit(fabric, run, job, progress)
    failures = merge(job.failures)
    model = job.projector.model
    if fabric.is_global_zero:
        model.save(run.model_path)
        facts = {"scenes": len(job.data), "objects": sum(map(len, job.data.boxes)), "failures": failures}
        write_text(run.training_path, json.dumps(facts | {"dropped": job.data.dropped}, indent=2) + "\n")
    fabric.barrier()
    if fabric.world_size > 1:
        torch.distributed.destroy_process_group()
    if fabric.is_global_zero:
        write_scene_report(run, model, job.judged, progress=progress)
        run.checkpoint_path.unlink(missing_ok=True)
    return run


def _fit(fabric: Fabric, run: Run, job: _Job, progress: bool) -> None:
    """Train to the last step, from the checkpoint if there is one, and leave a checkpoint of the end."""
    config, steps, size = job.config, job.config.training.steps, job.config.batch.images
    model, loss = job.projector.model, job.loss.to(fabric.device)
    # The dense head is no part of the model that is kept.
    groups = model.parameter_groups(config.optimiser.weight_decay)
    if job.projector.dense is not None:
        groups.append({"name": "dense", "params": list(job.projector.dense.parameters())})
    optimiser = make_optimiser(config.optimiser, groups)
    query, query_optimiser = fabric.setup(job.projector, optimiser)
    # Not the whole of it: its counter stays where asking for it waits for no device.
    job.key.average.module.to(fabric.device)
    if fabric.global_rank:
        # The model was drawn alike everywhere; dropout is each process's own, as it is each image's own in one process.
        torch.manual_seed(config.seed + 1_000_003 * fabric.global_rank)
    modules = {"projector": job.projector, "key": job.key, "loss": loss}
    state = State(fabric, run, modules, optimiser, job.failures)
    start = state.restore()
    batches = scene_batches(
        job.data,
        model.preprocessing,
        config.data.crops,
        batch_size=size,
        start=start,
        stop=steps,
        workers=config.training.workers,
        seed=config.seed,
        rank=fabric.global_rank,
        world=fabric.world_size,
        scenes=config.contrast.weight > 0,
    )
    query.train()
    with Steps(fabric, run, config.training, state, start=start, size=size, progress=progress) as around:
        profile = around.profile
        for batch in batches:
            profile.mark("data")
            step = batch.step + 1
            note_failures(batch.failures, job.failures)
            set_rate(query_optimiser, config.optimiser, batch.step, steps)
            profile.mark("loop")
            first, second, scene, thing = _on(fabric.device, batch)
            profile.mark("copy")
            job.key.update(job.projector)
            queries = query(first, second, scene, groups=job.groups)
            with fabric.autocast():
                keys = job.key(first, second, thing, step=batch.step, groups=job.groups)
            # Fabric has given the queries in float32, whatever they were computed in; keys must be alike.
            keys = fabric.strategy.precision.convert_output(keys)
            profile.mark("forward")
            terms = loss(queries, keys)
            profile.mark("loss")
            # DDP averages gradients over processes, and this is a mean over its own images.
            fabric.backward(terms["loss"])
            if step <= config.optimiser.frozen_steps:
                hold(model.encoder)
            profile.mark("backward")
            logs = around.logs(step)
            gradients = gradient_norms(fabric, query_optimiser) if logs else {}
            profile.mark("logging" if logs else "loop")
            norm = update(fabric, query, query_optimiser, config.optimiser.clip_norm)
            profile.mark("optimiser")
            told = loss.accuracy(queries, keys) if logs else {}
            loss.push({name: gathered(rows) for name, rows in loss.new_keys(keys).items()})
            around.done(
                step,
                terms["loss"] / fabric.world_size,
                norm,
                entry=partial(_entry, optimiser, model, loss, terms, told, queries, keys, gradients),
            )


def _on(device: torch.device, batch: SceneBatch) -> list[Tensor | None]:
    views = (batch.first, batch.second, batch.scene, batch.object)
    return [None if view is None else view.to(device, non_blocking=True) for view in views]


def _entry(
    optimiser,
    model: Embedder,
    loss: SceneObjectContrast,
    terms: dict[str, Tensor],
    told: dict[str, Tensor],
    queries: list[Projection],
    keys: list[Projection],
    gradients: dict[str, Tensor],
) -> dict[str, float]:
    """What a line of metrics says beside the loss: of the whole batch, whatever the number of processes.

    Every process takes part, and the first one alone computes what is told of the points: of an object's two views, which
    count as a class of their own.
    """
    entry = {"lr": optimiser.param_groups[0]["lr"], "queue_fill": loss.fill}
    for name in loss.shares:
        entry |= {f"{name}/loss": float(_mean(terms[name])), f"{name}/accuracy": float(_mean(told[name]))}
    first, second = (gathered(view.points) for view in queries[:2])
    regions = {"object_views": first}
    if loss.scenes:
        regions |= {"scenes": gathered(queries[2].points), "objects": gathered(keys[2].points)}
    if not is_first_process():
        return {}
    entry |= {f"radius/{name}": float(model.space.radius(points).mean()) for name, points in regions.items()}
    entry |= {f"gradient/{name}": float(norm) for name, norm in gradients.items()}
    return entry | points_telemetry(model.space, torch.cat([first, second]), torch.arange(len(first)).repeat(2))


def _mean(x: Tensor) -> Tensor:
    """Over processes."""
    return total(x) / world_size()
