"""Beginning a collection, or opening one to add to."""

import re
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .. import build as objects
from ..config import Config, IndexConfig, PairwiseConfig
from ..errors import InputError
from ..index import Index, SearchIndex, create_on_server, open_index, read_token, server_of
from ..index.folder import locked
from ..index.open import ENGINE
from ..models import Embedder
from ..runs import Run
from ..spaces import from_description
from .folder import ABOUT, MODEL, About, copy_model, fingerprint
from .thumbnails import NAME as THUMBNAILS

_PROMISE, _STORAGE = 0.99, "float32"


@contextmanager
def open_to_add(folder: Path, run: Run, model: Embedder, config: IndexConfig) -> Generator[SearchIndex]:
    """The index in the folder, made where there is none, for this process alone to write to.

    Raises:
        InputError: where the folder holds other things or another run's points, was made with other options, or is being
            written to by another process.
    """
    if not (folder / ABOUT).exists():
        _begin(folder, run, model)
    token = read_token(config.token_file)
    embedded, on_server = (folder / "items.sqlite").exists(), (folder / ENGINE).exists()
    _check_engine(folder, embedded, on_server, config)
    made_by = fingerprint(run.model_path)
    with ExitStack() as stack:
        if on_server or config.engine == "milvus":
            # A server knows no one writer, and the thumbnails are here.
            stack.callback(locked(folder).release)
        if not (embedded or on_server) or config.engine == "milvus":
            index = stack.enter_context(_make(folder, model, made_by, token, config))
        else:
            index = stack.enter_context(open_index(folder, token=token))
        if index.model != made_by:
            raise InputError(
                f"the points in {folder} were made by another run, {About.read(folder).run!r}, and those of {run.folder} "
                "cannot be compared with them: give another folder with -o"
            )
        index.claim()
        about = index.describe()
        for name in ("promise", "storage"):
            asked, has = getattr(config, name), about.get(name)
            if asked not in (None, has):
                raise InputError(f"--{name} {asked}: {folder} was made with {has}; leave it out, or give another folder")
        yield index


def _begin(folder: Path, run: Run, model: Embedder) -> None:
    """The folder with the model and collection.json in it."""
    own = {MODEL, THUMBNAILS}
    if folder.exists() and (
        not folder.is_dir() or any(not path.name.startswith(".") and path.name not in own for path in folder.iterdir())
    ):
        raise InputError(f"{folder} holds other files; give a folder of its own with -o")
    copy_model(run.model_path, folder / MODEL)
    name = run.folder.resolve().name
    default = PairwiseConfig().temperature
    if isinstance(run.config, Config) and isinstance(run.config.loss, PairwiseConfig):
        default = run.config.loss.temperature
    temperatures = {"": default, **objects.temperatures(run.config, model.space)}
    own_name = name if folder.resolve() == (run.folder / "index").resolve() else folder.resolve().name
    About(own_name, name, model.encoder is not None, temperatures).write(folder)


def _check_engine(folder: Path, embedded: bool, on_server: bool, config: IndexConfig) -> None:
    if config.engine == "milvus" and embedded:
        raise InputError(f"the points of {folder} are in it: leave --engine milvus out, or give another folder with -o")
    if config.engine == "milvus" and on_server:
        where = server_of(folder)
        if config.uri != where["uri"] or config.collection not in (None, where["name"]):
            raise InputError(
                f"the points of {folder} are at {where['uri']} as {where['name']!r}: leave --engine out, or give another "
                "folder with -o"
            )


def _make(folder: Path, model: Embedder, made_by: str, token: str, config: IndexConfig) -> SearchIndex:
    space = from_description(model.space.describe(settled=True))
    promise = _PROMISE if config.promise is None else config.promise
    if config.engine == "embedded":
        return Index.create(folder, space, model=made_by, promise=promise, storage=config.storage or _STORAGE)
    assert config.uri is not None  # the config has checked it
    # What a server takes for a name: letters, digits and _, no digit first.
    name = config.collection or re.sub(r"\W|^(?=\d)", "_", folder.resolve().name, flags=re.ASCII)
    width = space.dim(model.dim)
    return create_on_server(folder, config.uri, name, space, width, token=token, model=made_by, promise=promise)
