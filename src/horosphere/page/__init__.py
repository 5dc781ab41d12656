"""The page of a collection and its JSON API, served on this machine; static/ is what the browser runs.

Imports `collection`, `index` and `insight`. `horosphere serve` stands on it.
"""

from .app import Page
from .limits import Limits
from .server import serve

__all__ = ["Limits", "Page", "serve"]
