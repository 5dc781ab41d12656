"""What `horosphere index` and `horosphere search` are asked."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from ..errors import InputError
from .check import check
from .retrieval import Precision


@dataclass(frozen=True)
class IndexConfig:
    """Make images searchable: their points, thumbnails and the model, in one folder.

    The same command goes on after Ctrl-C or a kill, and adds what is new: images that are there already are not read again.
    Images that cannot be read are left out and listed.

      horosphere index runs/demo                            the run's own test images, into runs/demo/index
      horosphere index runs/demo photos/ -o photos.index    any folder or zip; the folder an image lies in is its class
      horosphere index RUN birds/ --layout folder --split test
      horosphere index RUN photos/ --metadata photos.csv    a column id, and any others, to filter by
      horosphere index RUN photos/ --prune                  and forget the images that are gone
      horosphere index RUN photos/ --engine milvus --uri http://127.0.0.1:19530"""

    run: Positional[Path]
    """The run's folder: its model makes the points."""
    images: Positional[Path | None] = None
    """A folder or zip of images, one image, a file of features for a run on features, or with --layout a labelled data set.
    By default the run's own test images."""
    output: Annotated[Path | None, arg(aliases=["-o"])] = None
    """The folder of the collection; by default index/ in the run's folder."""
    layout: str | None = None
    """Read the images as a labelled data set: auto, cub, cars, sop, inshop, omniglot, folder, table or features."""
    layout_options: dict[str, int | str] = field(default_factory=dict)
    """With --layout: its options, such as train_classes 80."""
    split: Literal["all", "train", "test"] = "all"
    """With --layout: which images."""
    metadata: Path | None = None
    """A CSV with a line an item: a column "id" (or the first), and any others. Items that are there already get it too."""
    prune: bool = False
    """Remove the items of these images' folder or zip whose images are gone."""
    replace: bool = False
    """Embed images anew that are there already, because they have changed."""
    promise: float | None = None
    """Recall@k that searches keep; 1 searches exactly always. By default 0.99, or what the collection was made with."""
    storage: Literal["float32", "float16", "int8"] | None = None
    """How points are kept for searching: float16 and int8 take a half and a quarter of the memory. By default float32, or
    what the collection was made with."""
    engine: Literal["embedded", "milvus"] = "embedded"
    """embedded: in the folder, nothing to run; milvus: on a Milvus server, at --uri."""
    uri: str | None = None
    """With --engine milvus: the server, such as http://127.0.0.1:19530."""
    collection: str | None = None
    """With --engine milvus: the collection's name on the server; by default the folder's."""
    token_file: Path | None = None
    """With --engine milvus: a file with the server's token; else $HOROSPHERE_MILVUS_TOKEN, or none."""
    batch_size: int = 64
    precision: Precision = "32-true"
    """What the encoder computes in; bf16-mixed is faster where the processor or GPU knows bfloat16."""
    workers: int = 2
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self):
        self._refuse(self.images is None, "without images", "layout", "prune")
        self._refuse(self.layout is None, "without --layout", "layout_options", "split")
        self._refuse(self.engine == "embedded", "without --engine milvus", "uri", "collection", "token_file")
        self._refuse(self.engine == "milvus", "with --engine milvus, which keeps points itself", "storage")
        if self.engine == "milvus" and self.uri is None:
            raise InputError("--engine milvus needs a server: give --uri, such as http://127.0.0.1:19530")
        check(
            "index",
            promise=(self.promise, self.promise is None or 0 < self.promise <= 1, "above 0, up to 1"),
            batch_size=(self.batch_size, self.batch_size >= 1, "1 or more"),
            workers=(self.workers, self.workers >= 0, "0 or more"),
        )

    def _refuse(self, unread: bool, where: str, *names: str) -> None:
        """Raise InputError where an option is given that nothing will read."""
        for name in names if unread else ():
            if getattr(self, name) not in (None, False, {}, "all"):
                raise InputError(f"--{name.replace('_', '-')} would do nothing here, {where}; leave it out")


@dataclass(frozen=True)
class SearchConfig:
    """Find the images nearest to each query: a table of rank, distance, id and class.

    A query is an image file, which is embedded, or the id of an item, which does not find itself.

      horosphere search runs/demo/index drawing.png              the ten nearest
      horosphere search runs/demo/index 1083 1127 -k 5           of items, by id
      horosphere search INDEX cat.jpg --geometries               under each part of a mixture too, side by side
      horosphere search INDEX cat.jpg --weights 1 3              under other weights of the parts
      horosphere search INDEX cat.jpg --where class cat class dog        one of these classes
      horosphere search INDEX cat.jpg --where class !cat year 2000..2010
      horosphere search INDEX --about                            what the collection is, and how well searches are kept"""

    index: Positional[Path]
    """The folder that `horosphere index` made."""
    queries: Positional[tuple[str, ...]] = ()
    """Image files, or ids of items."""
    id: tuple[str, ...] = ()
    """Ids of items, for one that is called like a file here."""
    k: Annotated[int, arg(aliases=["-k"])] = 10
    """How many are found for a query."""
    where: Annotated[tuple[str, ...], arg(metavar="FIELD VALUE ...")] = ()
    """Only items that match all of these: VALUE, !VALUE for others, LOW..HIGH for numbers, with one end left out if it is
    open. A field that comes twice matches one of its values."""
    weights: tuple[float, ...] | None = None
    """Weights of the mixture's parts in place of the trained ones."""
    geometries: bool = False
    """Search under each part alone as well."""
    about: bool = False
    """Print what the collection is, instead of a search or before it."""
    json: Path | None = None
    """A JSON file to write the answers to."""
    token_file: Path | None = None
    """Where the points are on a Milvus server: a file with its token; else $HOROSPHERE_MILVUS_TOKEN, or none."""
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self):
        if not (self.queries or self.id or self.about):
            raise InputError("give something to search for: image files or ids of items; or --about")
        if len(self.where) % 2:
            raise InputError(f"--where {' '.join(self.where)}: expected pairs of FIELD VALUE, such as class cat")
        if self.geometries and self.weights is not None:
            raise InputError("--geometries searches under the trained weights and each part alone: leave --weights out")
        check("search", k=(self.k, self.k >= 1, "1 or more"))
