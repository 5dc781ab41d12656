"""Probes: how well classes can be told apart from a frozen encoder's output, by a linear layer and by nearest neighbours."""

import math
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from tqdm import tqdm

from .. import build
from ..config import Config, DataConfig, ProbeConfig, TrainingConfig
from ..data import Failures, RetrievalData
from ..errors import InputError
from ..evaluation import class_bootstrap
from ..models import Embedder
from ..runs import Run
from ..training.encodings import cached_encodings
from ..training.optimiser import decay
from .source import load_model

MOMENTUM = 0.9
#: Shares of the epochs after which the step schedule divides the rate by 10: 60 and 80 of 100, as published.
_DROPS = (0.6, 0.8)
#: Test images compared with all training images at a time.
_CHUNK = 1024
#: A first loss of this many times that of chance speaks of too high a rate.
_HIGH = 10


def probe(config: ProbeConfig, *, progress: bool = True) -> dict[str, Any]:
    """Probe as the config says; JSON-able values, which `probe_table` prints.

    The encoder sees each image once, in its evaluation view, and its output is kept in the cache folder. The published
    linear probe sees random crops, anew in each epoch: this is a deviation, which costs a little accuracy.

    Raises:
        InputError: for what cannot be probed.
    """
    model = load_model(config).to(build.device(config.device))
    train, test, protocol = probe_split(config)
    failures: Failures = []
    encoded = []
    for data in (train, test):
        data, failed = _encoded(model, data, config, progress)
        encoded.append(data)
        failures += failed
    (x, labels), (y, truth) = ((torch.from_numpy(data.features), torch.from_numpy(data.labels)) for data in encoded)
    present, labels = labels.unique(return_inverse=True)
    place = torch.searchsorted(present, truth)
    linear = linear_probe(x, labels, y, config, classes=len(present), device=model.device, progress=progress)
    votes = neighbour_votes(x, labels, y, k=config.neighbours, temperature=config.temperature, device=model.device)
    rows = {
        "linear": {"lr": config.lr, "first_loss": linear.first_loss, "loss": linear.loss, "train_top1": linear.train_top1}
        | _scores(linear.logits, place, config),
        "neighbours": {"k": config.neighbours, "temperature": config.temperature} | _scores(votes, place, config),
    }
    return {
        "horosphere": version("horosphere"),
        "model": config.describe(),
        "data": train.name,
        "protocol": protocol,
        "classes": len(present),
        "train_images": len(labels),
        "test_images": len(place),
        "width": x.shape[1],
        "norm": float(x.norm(dim=1).mean()),
        "rows": rows,
        "failures": {"count": len(failures), "first": dict(failures[:20])},
    }


def probe_split(config: ProbeConfig) -> tuple[RetrievalData, RetrievalData, str]:
    """What to train on, what to judge on, with labels that agree, and in words how they came to be."""
    where = DataConfig(layout=config.layout, root=config.data)
    if config.data is None:
        if config.run is None:
            raise InputError("an encoder has no data of its own: give --data")
        where = Run.open(config.run).retrieval.data
    data = build.data(where)
    if config.test is not None:
        test = build.data(DataConfig(layout=config.layout, root=config.test))
        train, test = _whole(data, "train"), _whole(test, "test")
        return train, _relabelled(test, train), f"train on {data.name}, test on {test.name}"
    if {"train", "test"} <= set(data.split):
        train, test = data.select("train"), data.select("test")
        if set(test.labels) <= set(train.labels):
            return train, test, "the set's own train and test splits"
    unseen = build.test_split(data)
    rng, judged = np.random.default_rng(config.seed), np.zeros(len(unseen), bool)
    for label in np.unique(unseen.labels):
        own = np.flatnonzero(unseen.labels == label)
        # At least one image to learn from; a class of one image is not judged.
        count = min(max(1, round(config.test_share * len(own))), len(own) - 1)
        judged[rng.permutation(own)[:count]] = True
    if not judged.any():
        raise InputError(f"{data.name}: no class has two images, one to learn from and one to judge on")
    protocol = f"each of {len(np.unique(unseen.labels))} test classes cut in two, {config.test_share:.0%} to judge on"
    return unseen.take(~judged), unseen.take(judged), protocol


def _whole(data: RetrievalData, split: str) -> RetrievalData:
    """The images of a split that has all of the classes; all images where it has not, as where a layout splits by class."""
    chosen = data.split == split
    return data.take(chosen) if set(data.labels[chosen]) == set(data.labels) else data


def _relabelled(data: RetrievalData, like: RetrievalData) -> RetrievalData:
    """The same images with the numbers that `like` gives to their classes."""
    known = {like.classes[label]: label for label in np.unique(like.labels)}
    names = [data.classes[label] for label in data.labels]
    strange = sorted(set(names) - set(known))
    if strange:
        raise InputError(
            f"{data.name} has {len(strange)} classes that {like.name} does not train, first {strange[0]!r}; a probe judges "
            "on the classes that it learned: give --test with the same class names as --data"
        )
    return replace(
        data, labels=np.array([known[name] for name in names]), classes=like.classes, superclasses=like.superclasses
    )


def _encoded(model: Embedder, data: RetrievalData, config: ProbeConfig, progress: bool) -> tuple[RetrievalData, Failures]:
    if (model.encoder is None) != (data.features is not None):
        given = "features" if data.features is not None else "images"
        raise InputError(f"{data.name} holds {given}, which this model does not take; give --data that it does")
    if data.features is not None:
        return data, []
    return cached_encodings(model, data, Config(training=TrainingConfig(workers=config.workers)), progress)


@dataclass(frozen=True)
class LinearProbe:
    """What a linear probe found: logits of the test images (m, classes), and of the training images the mean loss of its
    first and its last epoch, and top-1."""

    logits: Tensor
    first_loss: float
    loss: float
    train_top1: float


def linear_probe(
    train: Tensor,
    labels: Tensor,
    test: Tensor,
    config: ProbeConfig,
    *,
    classes: int,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> LinearProbe:
    """Train one linear layer on features (n, d) with labels (n,) from 0 on, by SGD, and apply it to `test` (m, d).

    As published for contrastive encoders (He et al. 2020, §4.1, on which Ge et al. 2023 stand): SGD with momentum 0.9, rate
    30, no weight decay, 100 epochs of batches of 256, the rate divided by 10 after 60 and 80; weights start from N(0, 1e-4).

    Raises:
        InputError: for one class alone, or a loss that is no number.
    """
    if classes < 2:
        raise InputError("a probe tells classes apart; the training images are of one class")
    train, labels, test = (tensor.to(device) for tensor in (train, labels, test))
    if config.standardise:
        mean, std = train.mean(0), train.std(0, correction=0).clamp_min(1e-6)
        train, test = (train - mean) / std, (test - mean) / std
    generator = torch.Generator().manual_seed(config.seed)
    layer = nn.Linear(train.shape[1], classes)
    nn.init.normal_(layer.weight, std=0.01, generator=generator)
    nn.init.zeros_(layer.bias)
    layer.to(device)
    optimiser = torch.optim.SGD(layer.parameters(), config.lr, momentum=MOMENTUM, weight_decay=config.weight_decay)
    first, loss, right = math.nan, math.nan, torch.zeros(())
    bar = tqdm(range(config.epochs), desc="linear probe", unit="epoch", disable=not progress, leave=False)
    for epoch in bar:
        for group in optimiser.param_groups:
            group["lr"] = config.lr * decay(config.schedule, epoch, config.epochs, _DROPS)
        losses, right = torch.zeros((), device=device), torch.zeros((), device=device)
        for batch in torch.randperm(len(train), generator=generator).split(config.batch_size):
            batch = batch.to(device)
            logits = layer(train[batch])
            value = cross_entropy(logits, labels[batch])
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            losses += value.detach() * len(batch)
            right += (logits.argmax(1) == labels[batch]).sum()
        loss = losses.item() / len(train)
        if not math.isfinite(loss):
            raise InputError(f"the loss of the linear probe is {loss} in epoch {epoch + 1}: lower --lr, now {config.lr:g}")
        first = loss if epoch == 0 else first
        bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
    with torch.no_grad():
        return LinearProbe(layer(test).cpu(), first, loss, float(right) / len(train))


def neighbour_votes(
    train: Tensor,
    labels: Tensor,
    test: Tensor,
    *,
    k: int = 200,
    temperature: float = 0.07,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Votes of the k nearest training features by cosine, exp(cosine / temperature) each (Wu et al. 2018): (m, classes).

    `train` (n, d), `labels` (n,) from 0 on, `test` (m, d). With fewer than k training features all of them vote.
    """
    k, classes = min(k, len(train)), int(labels.max()) + 1
    train, labels = normalize(train.to(device), dim=1), labels.to(device)
    votes = []
    for rows in test.split(_CHUNK):
        cosines, nearest = (normalize(rows.to(device), dim=1) @ train.T).topk(k, dim=1)
        # Relative to the nearest, so that no temperature overflows.
        weights = ((cosines - cosines[:, :1]) / temperature).exp()
        votes.append(torch.zeros(len(rows), classes, device=device).scatter_add_(1, labels[nearest], weights).cpu())
    return torch.cat(votes)


def _scores(logits: Tensor, truth: Tensor, config: ProbeConfig) -> dict[str, Any]:
    """Top-1 and, of more than five classes, top-5, with 95 % intervals over test images."""
    ks = (1, 5) if logits.shape[1] > 5 else (1,)
    best = logits.topk(max(ks), dim=1).indices
    hits = np.stack([(best[:, :k] == truth[:, None]).any(1).numpy() for k in ks], 1).astype(np.float64)
    scores: dict[str, Any] = {f"top{k}": float(hits[:, i].mean()) for i, k in enumerate(ks)}
    if config.bootstrap:
        bounds = class_bootstrap(hits, np.arange(len(hits)), draws=config.bootstrap, seed=config.seed)
        scores["intervals"] = {f"top{k}": bounds[i].tolist() for i, k in enumerate(ks)}
    return scores


def probe_table(report: dict[str, Any]) -> str:
    """A probe's report as text, in per cent."""
    linear, neighbours = report["rows"]["linear"], report["rows"]["neighbours"]
    lines = [f"{report['model']} on {report['data']}: {report['protocol']}"]
    ks = [name for name in ("top1", "top5") if name in linear]
    lines.append(f"{'':<22}" + "".join(f"{name.replace('top', 'top-'):>24}" for name in ks))
    names = {"linear probe": linear, f"{neighbours['k']} nearest neighbours": neighbours}
    for name, row in names.items():
        cells = []
        for k in ks:
            low, high = row.get("intervals", {}).get(k, (None, None))
            interval = "" if low is None else f" [{100 * low:.1f}, {100 * high:.1f}]"
            cells.append(f"{100 * row[k]:.1f}{interval}")
        lines.append(f"{name:<22}" + "".join(f"{cell:>24}" for cell in cells))
    lines.append(
        f"linear probe: lr {linear['lr']:g}, last training loss {linear['loss']:.3f}, training top-1 "
        f"{100 * linear['train_top1']:.1f}; features of {report['width']} columns, mean norm {report['norm']:.3g}"
    )
    lines.append(
        f"{report['classes']:,} classes, {report['train_images']:,} images to learn from, {report['test_images']:,} to "
        "judge on; 95 % intervals over test images"
    )
    if linear["first_loss"] > _HIGH * math.log(report["classes"]):
        lines.append(
            f"the loss of the first epoch was {linear['first_loss']:,.0f}: the rate is high for features of this norm; "
            "compare with a lower --lr, or --standardise"
        )
    if count := report["failures"]["count"]:
        lines.append(
            f"{count:,} images could not be read and are left out, first: {next(iter(report['failures']['first']))}"
        )
    return "\n".join(lines)
