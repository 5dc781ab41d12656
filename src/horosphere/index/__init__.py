"""Points in, nearest out: an embedded search index in one folder (`Index`), and what every engine promises (`SearchIndex`).

Imports `spaces`, `evaluation`, `errors` and `files` only. A collection of images stands on it.
"""

from .embedded import Index
from .hits import Hits
from .interface import SearchIndex
from .open import create_on_server, open_index, read_token, server_of
from .where import Field

__all__ = [
    "Field",
    "Hits",
    "Index",
    "SearchIndex",
    "create_on_server",
    "open_index",
    "read_token",
    "server_of",
]
