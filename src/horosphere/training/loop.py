"""The training loop: one file to read from top to bottom."""

import json
import math
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from .. import build
from ..config import Config, PairwiseConfig
from ..data import ClassBalancedSampler, Failures, Preprocessing, RetrievalData, decode_once, training_batches
from ..errors import InputError
from ..evaluation import evaluate_retrieval
from ..files import write_text
from ..losses import Loss
from ..models import Embedded, Embedder, embed_data
from ..processes import merge
from ..report import check_headline, judge_model, write_report
from ..runs import Run
from ..spaces.partition import has_triton
from . import checkpoint
from .chunks import Chunked
from .distributed import average_gradients, gather, synchronised, total
from .encodings import cached_encodings
from .interrupt import Interrupt
from .launch import Fabric, has_gpu, launch, seed_everything
from .metrics import Metrics
from .optimiser import make_optimiser, set_rate
from .profile import Profile, table


def train(
    config: Config,
    folder: str | Path | None = None,
    *,
    progress: bool = True,
    page: bool = True,
    data: RetrievalData | None = None,
) -> Run:
    """Train what a config says, judge it, and return the run with its report.

    Args:
        config: the whole run; `horosphere.recipes` has published and ready ones.
        folder: where the run is kept; by default the first free runs/RECIPE, runs/RECIPE-2, …
        progress: show bars.
        page: write report.html and its pictures; report.json is always written.
        data: what `build.data(config.data)` returns, where it is there already.

    Raises:
        InputError: for a config that cannot be, before anything is trained.
        KeyboardInterrupt: on Ctrl-C, after a checkpoint was written.
    """
    config = rooted(config)
    fabric = _launch(config)
    # Several processes agree on the folder, which the first one chooses and makes.
    run: Run = fabric.broadcast(Run.at(folder, config.recipe) if fabric.is_global_zero else None)  # ty: ignore
    job = _prepare(fabric, config, progress, data)
    if fabric.is_global_zero:
        run.begin(config)
    return _train(fabric, run, job, progress, page)


def resume(folder: str | Path, *, progress: bool = True, page: bool = True, data: RetrievalData | None = None) -> Run:
    """Go on with a run that was stopped or killed: its weights end as if it had never been, bit for bit on the CPU.

    A run without a checkpoint starts again; a finished run is returned as it is. The options are those of `train`.
    """
    run = Run.open(folder)
    if run.finished:
        return run
    fabric = _launch(run.config)
    return _train(fabric, run, _prepare(fabric, run.config, progress, data), progress, page)


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
        _note_failures(failed, job.failures)
    if config.data.cache_encodings:
        job.full.to(fabric.device)
        job.training_data, unread = cached_encodings(job.full, job.training_data, config, progress)
        job.judged_inputs, unread_judged = cached_encodings(job.full, job.judged, config, progress)
        _note_failures(unread + unread_judged, job.failures)
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
    if config.data.cache_encodings:
        if config.data.decoded != "no":
            raise InputError("data.cache_encodings sees each image once: leave data.decoded at no")
        if full.encoder is None or any(parameter.requires_grad for parameter in full.encoder.parameters()):
            raise InputError("data.cache_encodings needs an encoder that is wholly frozen: set model.freeze to all")
    return _Job(config, full, chunked, loss, training_data, full.preprocessing, judged, judged, {})


def _train(fabric: Fabric, run: Run, job: _Job, progress: bool, page: bool) -> Run:
    progress = progress and fabric.is_global_zero
    _fit(fabric, run, job, progress)
    failures = merge(job.failures)
    if fabric.is_global_zero:
        job.full.save(run.model_path)
        write_text(run.training_path, json.dumps(_training_facts(job, failures), indent=2) + "\n")
    # Only what follows from the weights is left: a kill from here on costs no more than judging again.
    fabric.barrier()
    embedded = _embed(job.model, job.judged_inputs, job.config, "embedding" if progress else None)
    embedded = replace(embedded, data=job.judged.take(np.isin(job.judged.ids, embedded.data.ids)))
    judgement = judge_model(job.full.to("cpu"), embedded, job.config.evaluation, distributed=True)
    if fabric.world_size > 1:
        torch.distributed.destroy_process_group()
    if fabric.is_global_zero:
        _note_failures(embedded.failures, dict(job.failures))
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
    start = _restore(fabric, run, job, optimiser)

    def save(step: int) -> None:
        scaler = fabric.strategy.precision.state_dict()
        checkpoint.save(
            run.checkpoint_path,
            step=step,
            modules={"model": model, "loss": job.loss},
            optimiser=optimiser,
            scaler=scaler,
            failures=job.failures,
        )

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
    bar = tqdm(
        total=steps * size, initial=start * size, unit="img", desc="training", disable=not progress, dynamic_ncols=True
    )
    wrapped.train()
    profile = Profile(fabric.device, on=config.training.profile)
    profile.start()
    began = time.perf_counter()
    with bar, Metrics(run, start, writes=fabric.is_global_zero) as metrics, Interrupt() as interrupt:
        for batch in batches:
            profile.mark("data")
            step = batch.step + 1
            _note_failures(batch.failures, job.failures)
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
                for parameter in model.encoder.parameters():
                    parameter.grad = None  # the optimiser passes by what has none
            profile.mark("backward")
            norm = None
            if config.optimiser.clip_norm is not None:
                # Fabric unscales first, so that the norm is the gradients' own.
                norm = fabric.clip_gradients(
                    wrapped, wrapped_optimiser, max_norm=config.optimiser.clip_norm, error_if_nonfinite=False
                )
            wrapped_optimiser.step()
            wrapped_optimiser.zero_grad()
            profile.mark("optimiser")
            bar.update(size)
            logs = step == steps or step % config.training.log_every == 0
            saves = step == steps or step % config.training.checkpoint_every == 0
            profile.mark("loop")
            # Here, and only here, the loop waits for the device.
            if logs or saves:
                value = total(value)
                # Under float16 the scaler itself skips steps whose gradients overflow.
                norm_counts = norm is not None and config.training.precision != "16-mixed"
                if not (math.isfinite(value.item()) and (not norm_counts or math.isfinite(float(norm)))):
                    raise InputError(
                        f"the loss is {value.item()} and the gradient's norm {norm} at step {step}: lower optimiser.lr, "
                        f"raise loss.temperature, or set training.precision to 32-true; {run.folder} keeps its checkpoint"
                    )
            if logs:
                bar.set_postfix(loss=f"{value.item():.4f}")
                pace = size * (step - start) / (time.perf_counter() - began)
                metrics.write(step, _entry(value, norm, optimiser, model, points, pace))
            if logs or saves:
                profile.mark("logging")
            if config.training.validate_every and step % config.training.validate_every == 0:
                metrics.write(step, _validate(model, job.judged_inputs, config))
                profile.mark("validation")
            if interrupt.requested:
                # Several processes may be asked at different steps, so they go back to their last common checkpoint.
                if fabric.world_size == 1:
                    save(step)
                raise KeyboardInterrupt(f"go on with: horosphere train --resume {run.folder}")
            if saves:
                save(step)
                profile.mark("checkpoint")
            profile.mark("loop")
            profile.end_step()
    if config.training.profile and start < steps and fabric.is_global_zero:
        summary = profile.summary(size)
        write_text(run.profile_path, json.dumps(summary, indent=2) + "\n")
        print(table(summary), file=sys.stderr)


def _restore(fabric: Fabric, run: Run, job: _Job, optimiser: torch.optim.Optimizer) -> int:
    """Take up the run's checkpoint, if it has one, and return the number of steps done."""
    for left in run.folder.glob(f".{run.checkpoint_path.name}.*"):
        left.unlink(missing_ok=True)  # a checkpoint that a kill cut short
    if not run.checkpoint_path.is_file():
        return 0
    state = checkpoint.load(run.checkpoint_path)
    job.model.load_state_dict(state["modules"]["model"])
    job.loss.load_state_dict(state["modules"]["loss"])
    optimiser.load_state_dict(state["optimiser"])
    fabric.strategy.precision.load_state_dict(state["scaler"])
    job.failures |= state["failures"]
    checkpoint.restore_random(state["random"], fabric.global_rank)
    return state["step"]


def rooted(config: Config) -> Config:
    """The config with whole paths, so that the run can be resumed and judged from another folder."""

    def whole(path: str | None) -> str | None:
        return None if path is None else str(Path(path).resolve())

    data, model = replace(config.data, root=whole(config.data.root)), config.model
    return replace(config, data=data, model=replace(model, checkpoint=whole(model.checkpoint)))


def _training_facts(job: _Job, failures: dict[str, str]) -> dict:
    return {
        "images": len(job.training_data),
        "classes": len(np.unique(job.training_data.labels)),
        "short_classes": job.sampler().short_classes,
        "failures": failures,
    }


def _note_failures(new: Failures, known: dict[str, str]) -> None:
    """One line for each image that cannot be read, however often it is drawn."""
    for name, reason in new:
        if name not in known:
            known[name] = reason
            tqdm.write(f"skipped {name}: {reason}", file=sys.stderr)


def _entry(value, norm, optimiser, model: Embedder, points, images_per_second: float) -> dict[str, float]:
    """A line of metrics."""
    entry = {"loss": value.item(), "lr": optimiser.param_groups[0]["lr"], "images_per_second": images_per_second}
    if norm is not None:
        entry["gradient_norm"] = float(norm)
    return entry | model.space.telemetry(points.detach())


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
