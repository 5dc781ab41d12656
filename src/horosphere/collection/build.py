"""Making a collection, going on with one, and adding to it."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from .. import build as objects
from ..config import Config, DataConfig, IndexConfig, is_points_file
from ..data import Failures, RetrievalData, load_images
from ..errors import InputError
from ..index import SearchIndex
from ..models import EmbeddedBatch, Embedder, embedded_batches
from ..runs import Run
from . import confidence
from .begin import open_to_add
from .metadata import Metadata, of_folders, of_labels, read_table
from .thumbnails import Thumbnails, jpegs


@dataclass(frozen=True)
class Outcome:
    """What a call of `build` did.

    Attributes:
        folder: of the collection.
        items: in it now.
        added: embedded and added, or embedded anew.
        known: were there already.
        pruned: removed, because their images are gone.
        updated: were there already and got metadata.
        failures: (id, reason) of images that could not be read.
        seconds: that embedding and adding took.
        sentence: how searches go: exact, or at which recall.
    """

    folder: Path
    items: int
    added: int
    known: int
    pruned: int
    updated: int
    failures: Failures = field(default_factory=list)
    seconds: float = 0.0
    sentence: str = ""


def build(config: IndexConfig, progress: bool = True) -> Outcome:
    """Make `config.images` searchable with the model of `config.run`, or go on with it, or add to what is there.

    Each batch goes to the disk while the next is embedded, and the next call skips what is there before decoding it: Ctrl-C
    or a kill loses at most the two at hand.

    Raises:
        InputError: where there is nothing to embed, the folder holds other things or another run's points, and where ids
            are there already from another place.
        KeyboardInterrupt: on Ctrl-C, with a word on how to go on.
    """
    run = Run.open(config.run)
    if not run.model_path.is_dir():
        raise InputError(f"{run.folder} has no model yet; finish it with `horosphere train --resume {run.folder}`")
    folder = run.folder / "index" if config.output is None else config.output
    given = _read(run, config)
    twice = [id for id, count in Counter(given.data.ids.tolist()).items() if count > 1]
    if twice:
        raise InputError(
            f"{len(twice):,} ids of {given.place} come twice, such as {twice[0]!r}: an item has an id of its own"
        )
    table = {} if config.metadata is None else read_table(config.metadata, given.data.ids.tolist())
    model = Embedder.load(run.model_path)
    if (model.encoder is None) != (given.data.images is None):
        has, wants = ("features", "images") if given.data.images is None else ("images", "features")
        raise InputError(f"{given.place} holds {has}, but {run.folder} was trained on {wants}: give those")
    with open_to_add(folder, run, model, config) as index:
        thumbnails = Thumbnails(folder, create=True)
        try:
            outcome = _fill(folder, index, thumbnails, given, table, model, config, progress)
            # Without a change it was built already, unless that was stopped.
            if outcome.added or outcome.pruned or outcome.updated or not index.describe()["search"]["levels"]:
                index.build(progress=progress)
            confidence.radii(index, folder, progress)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"{len(index):,} items are in {folder}; the same command goes on") from None
        finally:
            thumbnails.close()
        return replace(outcome, sentence=index.describe()["search"]["sentence"])


@dataclass(frozen=True)
class _Given:
    """Images or features to embed, each one's metadata, where they are, and the ids of all that is there."""

    data: RetrievalData
    metadata: list[Metadata]
    place: str
    there: frozenset[str]


def _read(run: Run, config: IndexConfig) -> _Given:
    if config.images is None:
        if not isinstance(run.config, Config):
            raise InputError(f"{run.folder} is a run on scenes, without test images of its own: give a folder of images")
        data = objects.test_split(objects.data(run.config.data))
        place = str(Path(run.config.data.root).resolve()) if run.config.data.root else f"layout {run.config.data.layout}"
        return _Given(data, of_labels(data), place, frozenset(data.ids.tolist()))
    place = str(config.images.expanduser().resolve())
    if config.layout is None and not is_points_file(config.images):
        data = load_images(config.images)
        return _Given(data, of_folders(data), place, frozenset(data.ids.tolist()))
    layout = config.layout or "features"
    data = objects.data(DataConfig(layout=layout, root=str(config.images), options=dict(config.layout_options)))
    there = frozenset(data.ids.tolist())
    if config.split != "all":
        data = data.select("train") if config.split == "train" else objects.test_split(data)
    return _Given(data, of_labels(data), place, there)


def _fill(
    folder: Path,
    index: SearchIndex,
    thumbnails: Thumbnails,
    given: _Given,
    table: Mapping[str, Metadata],
    model: Embedder,
    config: IndexConfig,
    progress: bool,
) -> Outcome:
    data, sources = given.data, thumbnails.sources()
    ids = data.ids.tolist()
    # Were there a kill between the two, or a loss of power, an item may be in one of them alone.
    here = sources.keys() & set(index.ids)
    metadata = {id: own | table.get(id, {}) for id, own in zip(ids, given.metadata, strict=True)}
    if not config.replace:
        _refuse_other_places(folder, given, {id: sources[id] for id in ids if id in here})
    gone = _gone(given, {id for id in here if sources[id] == given.place}) if config.prune else []
    is_known = np.array([id in here and not config.replace for id in ids], bool)
    updated = _updated(index, data.ids[is_known].tolist(), table)
    new, failures = _writable(data.take(~is_known))
    if gone or updated or len(new):
        confidence.forget(folder)
    if gone:
        index.remove(gone)
        thumbnails.remove(gone)
    if updated:
        index.add(index.points(list(updated)), list(updated), list(updated.values()), duplicates="replace")
    started = time.perf_counter()
    added, unreadable = _embed(index, thumbnails, new, metadata, given.place, model, config, progress)
    failures += unreadable
    if not len(index):
        reason = f"; the first, {failures[0][0]}: {failures[0][1]}" if failures else ""
        raise InputError(f"none of the {len(data):,} images of {given.place} could be read{reason}")
    seconds = time.perf_counter() - started
    return Outcome(folder, len(index), added, int(is_known.sum()), len(gone), len(updated), failures, seconds)


def _embed(
    index: SearchIndex,
    thumbnails: Thumbnails,
    data: RetrievalData,
    metadata: Mapping[str, Metadata],
    place: str,
    model: Embedder,
    config: IndexConfig,
    progress: bool,
) -> tuple[int, Failures]:
    """Embed and add items a batch at a time: how many, and what could not be read."""
    batches = embedded_batches(
        model.to(objects.device(config.device)),
        data,
        batch_size=config.batch_size,
        workers=config.workers,
        precision=config.precision,
        progress="indexing" if progress else None,
    )

    def add(batch: EmbeddedBatch, points: Tensor) -> int:
        ids = data.ids[batch.indices.numpy()].tolist()
        # Stopped on the way, an item has no picture and no place, so that the next call embeds it anew; never another's.
        thumbnails.remove(ids)
        count = index.add(points, ids, [metadata[id] for id in ids], duplicates="replace")
        thumbnails.add(ids, jpegs(batch.images) if data.images is not None else [None] * len(ids), place)
        return count

    added, failures = 0, []
    # One batch goes to the disk while the next is embedded; leaving waits for it.
    with ThreadPoolExecutor(1) as writer:
        adding: Future[int] | None = None
        for batch in batches:
            failures += batch.failures
            if len(batch.indices):
                added += adding.result() if adding else 0
                adding = writer.submit(add, batch, batch.points.cpu())
        added += adding.result() if adding else 0
    return added, failures


def _refuse_other_places(folder: Path, given: _Given, sources: Mapping[str, str]) -> None:
    """Two images of one id would not be told apart."""
    other = [id for id, place in sources.items() if place != given.place]
    if other:
        raise InputError(
            f"{len(other):,} images of {given.place} have ids that {folder} has from elsewhere, such as {other[0]!r} from "
            f"{sources[other[0]]}: give another folder with -o, or --replace to have these in their place"
        )


def _gone(given: _Given, own: set[str]) -> list[str]:
    """The items of this place whose images are gone. Raises InputError where that would be all of them."""
    gone = sorted(own - given.there)
    if gone and len(gone) == len(own):
        raise InputError(
            f"--prune would remove all {len(own):,} items of {given.place}: none of their images, such as {gone[0]!r}, is "
            "there. Check the path, and give the --layout that they were added with"
        )
    return gone


def _updated(index: SearchIndex, known: Sequence[str], table: Mapping[str, Metadata]) -> dict[str, Metadata]:
    """The metadata of those items that are there already and that the table changes."""
    ids = [id for id in known if id in table]
    before = dict(zip(ids, index.metadata(ids), strict=True))
    return {id: own | table[id] for id, own in before.items() if own | table[id] != own}


def _writable(data: RetrievalData) -> tuple[RetrievalData, Failures]:
    """The items whose ids are text; a file's name may be any bytes."""

    def text(id: str) -> bool:
        try:
            return bool(id.encode())
        except UnicodeEncodeError:
            return False

    fine = np.array([text(id) for id in data.ids.tolist()], bool)
    return data.take(fine), [(ascii(id), "its name is no text, so it cannot be an id") for id in data.ids[~fine].tolist()]
