"""The training loop of labelled images: one file to read from top to bottom."""

import json
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from .. import build
from ..config import Config, PairwiseConfig
from ..data import ClassBalancedSampler, Preprocessing, RetrievalData, decode_once, training_batches
from ..errors import InputError
from ..evaluation import evaluate_retrieval
from ..files import from_root, replacing, write_text
from ..losses import Loss
from ..models import Embedded, Embedder, embed_data
from ..processes import merge
from ..report import check_headline, judge_model, write_report
from ..runs import Run
from ..spaces.partition import has_triton
from .checkpoint import State
from .chunks import Chunked
from .distributed import average_gradients, gather, synchronised
from .encodings import cached_encodings
from .launch import Fabric, has_gpu, launch, seed_everything
from .optimiser import gradient_norms, hold, make_optimiser, set_rate, update
from .steps import Steps, note_failures
from .telemetry import negatives_telemetry, points_telemetry


def train(
    config: Config,
    folder: str | Path | None = None,
    *,
    progress: bool = True,
    page: bool = True,
    data: RetrievalData | None = None,
) -> Run:
    """Train what a config says, judge it, and return the run with its report. As `training.train`."""
    config = rooted(config)
    fabric = _launch(config)
    # Several processes agree on the folder, which the first one chooses and makes.
    run: Run = fabric.broadcast(Run.at(folder, config.recipe) if fabric.is_global_zero else None)  # ty: ignore
    job = _prepare(fabric, config, progress, data)
    if fabric.is_global_zero:
        run.begin(config)
    return _train(fabric, run, job, progress, page)


def resume(run: Run, *, progress: bool = True, page: bool = True, data: RetrievalData | None = None) -> Run:
    """Go on with an unfinished run. As `training.resume`."""
    config = cast(Config, run.config)
    fabric = _launch(config)
    return _train(fabric, run, _prepare(fabric, config, progress, data), progress, page)


def check(config: Config, data: RetrievalData | None = None) -> None:
    """Raise InputError for a config that cannot be: what `train` would find before it reads images."""
    _check_machine(config)
    _assemble(config, build.data(config.data) if data is None else data).sampler()


def _check_machine(config: Config) -> None:
    """Raise InputError where this machine cannot do what the config asks."""
    if config.training.validate_every and config.evaluation.judge != "validation":
        raise InputError(
            "training.validate_every needs evaluation.judge=validation: the test classes are read once, at the end"
        )
    on_gpu = has_gpu(config.training)
    if config.evaluation.precision == "16-mixed" and not on_gpu:
        raise InputError("evaluation.precision is 16-mixed, which needs a GPU: take bf16-mixed or 32-true on a CPU")
    if isinstance(config.loss, PairwiseConfig) and config.loss.precision != "float32" and not (on_gpu and has_triton()):
        raise InputError(f"loss.precision is {config.loss.precision}, which needs a GPU and Triton: set it to float32")


def _launch(config: Config) -> Fabric:
    """The config's processes."""
    _check_machine(config)
    return launch(config.training)


@dataclass
class _Job:
    """What a config means. `chunked.model` trains; it is `full`, or its heads alone over cached encodings."""

    config: Config
    full: Embedder
    chunked: Chunked
    loss: Loss
    training_data: RetrievalData
    training_preprocessing: Preprocessing | None
    judged: RetrievalData
    judged_inputs: RetrievalData
    failures: dict[str, str]

    @property
    def model(self) -> Embedder:
        return self.chunked.model

    def sampler(self, rank: int = 0, world: int = 1) -> ClassBalancedSampler:
        """What a process draws; without arguments, the whole batch."""
        batch = self.config.batch
        return ClassBalancedSampler(
            self.training_data.labels,
            classes=batch.classes,
            images=batch.images,
            seed=self.config.seed,
            rank=rank,
            world=world,
        )


def _prepare(fabric: Fabric, config: Config, progress: bool, data: RetrievalData | None) -> _Job:
    """Everything that can be wrong with a config shows here, before a run's folder is made."""
    # One seed for every process: the model starts alike everywhere. Data never draw from these generators.
    seed_everything(config.seed, verbose=False)
    data = build.data(config.data) if data is None else data
    job = _assemble(config, data, fabric.device if fabric.world_size > 1 else None)
    short = job.sampler(fabric.global_rank, fabric.world_size).short_classes
    if short and fabric.is_global_zero:
        print(
            f"{short} classes have fewer than {config.batch.images} images and are drawn with replacement", file=sys.stderr
        )
    progress = progress and fabric.is_global_zero
    if config.data.decoded != "no":
        job.training_data, job.training_preprocessing, failed = decode_once(
            job.training_data,
            job.full.preprocessing,
            config.data.augmentation,
            where=config.data.decoded,
            workers=config.training.workers,
            progress=progress,
        )
        note_failures(failed, job.failures)
    if config.data.cache_encodings:
        job.full.to(fabric.device)
        job.training_data, unread = cached_encodings(job.full, job.training_data, config, progress)
        job.judged_inputs, unread_judged = cached_encodings(job.full, job.judged, config, progress)
        note_failures(unread + unread_judged, job.failures)
        job.chunked = Chunked(job.full.without_encoder(), config.batch.chunk)
    return job


def _assemble(config: Config, data: RetrievalData, shared_on: torch.device | None = None) -> _Job:
    """The config's parts, before any image is read; several processes share a model on the device `shared_on`."""
    training_data, judged = build.training_split(config, data), build.judged_split(config, data)
    full = build.embedder(config, data)
    if shared_on is not None:
        full = synchronised(full, shared_on)
    chunked = Chunked(full, config.batch.chunk)
    loss = build.loss(config, full.space, classes=len(np.unique(training_data.labels)))
    check_headline(full.space, config.evaluation, with_encoder=full.encoder is not None)
    encoder_trains = full.encoder is not None and any(parameter.requires_grad for parameter in full.encoder.parameters())
    if config.optimiser.frozen_steps and not encoder_trains:
        raise InputError("optimiser.frozen_steps is for an encoder that trains, and none does here: set it to 0")
    if config.data.cache_encodings:
        if config.data.decoded != "no":
            raise InputError("data.cache_encodings sees each image once: leave data.decoded at no")
        if full.encoder is None or encoder_trains:
            raise InputError("data.cache_encodings needs an encoder that is wholly frozen: set model.freeze to all")
    return _Job(config, full, chunked, loss, training_data, full.preprocessing, judged, judged, {})


def _train(fabric: Fabric, run: Run, job: _Job, progress: bool, page: bool) -> Run:
    progress = progress and fabric.is_global_zero
    _fit(fabric, run, job, progress)
    failures = merge(job.failures)
    if fabric.is_global_zero:
        job.full.save(run.model_path)
        _save_loss(run, job.loss)
        write_text(run.training_path, json.dumps(_training_facts(job, failures), indent=2) + "\n")
    # Only what follows from the weights is left: a kill from here on costs no more than judging again.
    fabric.barrier()
    embedded = _embed(job.model, job.judged_inputs, job.config, "embedding" if progress else None)
    embedded = replace(embedded, data=job.judged.take(np.isin(job.judged.ids, embedded.data.ids)))
    judgement = judge_model(job.full.to("cpu"), embedded, job.config.evaluation, distributed=True)
    if fabric.world_size > 1:
        torch.distributed.destroy_process_group()
    if fabric.is_global_zero:
        note_failures(embedded.failures, dict(job.failures))
        write_report(run, job.full, embedded, judgement, page=page)
        run.checkpoint_path.unlink(missing_ok=True)
    return run


def _fit(fabric: Fabric, run: Run, job: _Job, progress: bool) -> None:
    """Train to the last step, from the checkpoint if there is one, and leave a checkpoint of the end."""
    config, model, steps = job.config, job.model, job.config.training.steps
    everyone, own = job.sampler(), job.sampler(fabric.global_rank, fabric.world_size)
    job.loss.to(fabric.device)
    own_groups = job.loss.parameter_groups()
    proxies = [parameter for group in own_groups for parameter in group["params"]]
    optimiser = make_optimiser(config.optimiser, model.parameter_groups(config.optimiser.weight_decay) + own_groups)
    wrapped, wrapped_optimiser = fabric.setup(job.chunked, optimiser)
    if fabric.global_rank:
        # The model was drawn alike everywhere; dropout is each process's own, as it is each image's own in one process.
        torch.manual_seed(config.seed + 1_000_003 * fabric.global_rank)
    state = State(fabric, run, {"model": model, "loss": job.loss}, optimiser, job.failures)
    start = state.restore()
    batches = training_batches(
        job.training_data,
        own,
        job.training_preprocessing,
        config.data.augmentation,
        start=start,
        stop=steps,
        workers=config.training.workers,
        seed=config.seed,
    )
    size = everyone.batch_size
    # A loss knows the training classes, from 0 on.
    present = np.unique(job.training_data.labels)
    numbers = torch.zeros(int(present.max()) + 1, dtype=torch.int64)
    numbers[torch.from_numpy(present)] = torch.arange(len(present))
    # Each process computes the loss's terms of its own images.
    anchors = slice(own.offset, own.offset + own.batch_size) if fabric.world_size > 1 else None
    wrapped.train()
    with Steps(fabric, run, config.training, state, start=start, size=size, progress=progress) as around:
        profile = around.profile
        for batch in batches:
            profile.mark("data")
            step = batch.step + 1
            note_failures(batch.failures, job.failures)
            set_rate(wrapped_optimiser, config.optimiser, batch.step, steps)
            labels = batch.labels
            if fabric.world_size > 1:
                # Every process can tell the labels of the whole batch, so that only points travel.
                labels = torch.from_numpy(job.training_data.labels[everyone.batch(batch.step)])
            labels = numbers[labels]
            profile.mark("loop")
            inputs = batch.images.to(fabric.device, non_blocking=True)
            profile.mark("copy")
            points = wrapped(inputs)
            profile.mark("forward")
            points = gather(points)
            profile.mark("gather")
            value = job.loss(points, labels, anchors)
            profile.mark("loss")
            profile.mark_gradient(points, "loss backward")
            # The processes' gradients are averaged, and the loss is the sum of their terms.
            fabric.backward(value * fabric.world_size)
            average_gradients(proxies)
            if step <= config.optimiser.frozen_steps and model.encoder is not None:
                hold(model.encoder)
            profile.mark("backward")
            tells = fabric.is_global_zero and around.logs(step)
            gradients = gradient_norms(fabric, wrapped_optimiser) if tells else {}
            profile.mark("logging" if tells else "loop")
            norm = update(fabric, wrapped, wrapped_optimiser, config.optimiser.clip_norm)
            profile.mark("optimiser")
            validates = config.training.validate_every and step % config.training.validate_every == 0
            around.done(
                step,
                value,
                norm,
                entry=partial(_entry, optimiser, job, points, labels, gradients) if tells else dict,
                validate=partial(_validate, model, job.judged_inputs, config) if validates else None,
            )


def rooted(config: Config) -> Config:
    """The config with whole paths, so that the run can be resumed and judged from another folder."""
    data, model = replace(config.data, root=from_root(config.data.root)), config.model
    return replace(config, data=data, model=replace(model, checkpoint=from_root(model.checkpoint)))


def _save_loss(run: Run, loss: Loss) -> None:
    """What the loss itself has learned, as its own parameters by name: raw proxies, say, which its space places."""
    own = {id(parameter) for group in loss.parameter_groups() for parameter in group["params"]}
    tensors = {name: p.detach().to("cpu", copy=True).contiguous() for name, p in loss.named_parameters() if id(p) in own}
    if tensors:
        with replacing(run.loss_path) as path:
            path.write_bytes(save(tensors))


def _training_facts(job: _Job, failures: dict[str, str]) -> dict:
    return {
        "images": len(job.training_data),
        "classes": len(np.unique(job.training_data.labels)),
        "short_classes": job.sampler().short_classes,
        "failures": failures,
    }


def _entry(optimiser, job: _Job, points: Tensor, labels: Tensor, gradients: dict[str, Tensor]) -> dict[str, float]:
    """What a line of metrics says beside the loss: of the whole batch, whatever the number of processes."""
    return {
        "lr": optimiser.param_groups[0]["lr"],
        **{f"gradient/{name}": float(norm) for name, norm in gradients.items()},
        **points_telemetry(job.model.space, points, labels),
        **negatives_telemetry(job.loss, points, labels),
    }


def _validate(model: Embedder, judged: RetrievalData, config: Config) -> dict[str, float]:
    """Recall and MAP@R of the held-out classes, by the whole space."""
    embedded = _embed(model, judged, config)
    report = evaluate_retrieval(
        embedded.points, embedded.data.labels, model.space, config.evaluation.ks, bootstrap=0, distributed=True
    )
    return {f"validation/{name}": value for name, value in report.metrics().items()}


def _embed(model: Embedder, data: RetrievalData, config: Config, progress: str | None = None) -> Embedded:
    """Every process embeds its share, and has the whole."""
    return embed_data(
        model,
        data,
        batch_size=config.evaluation.batch_size,
        workers=config.training.workers,
        precision=config.evaluation.precision,
        progress=progress,
        distributed=True,
    )
