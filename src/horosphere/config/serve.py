"""What `horosphere serve` is asked."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from .check import check


@dataclass(frozen=True)
class ServeConfig:
    """Serve the page of a collection, and its JSON API, on this machine.

      horosphere serve runs/demo/index                 then open the address that it prints; Ctrl-C stops it
      horosphere serve runs/demo/index --open          and open it in the browser
      horosphere serve INDEX --host 0.0.0.0            for other machines: asks for the token in the address that it prints

    The connection is not encrypted. For other machines put a proxy with TLS before it, or forward the port by ssh."""

    index: Positional[Path]
    """The folder that `horosphere index` made."""
    host: str = "127.0.0.1"
    """Address to listen on. Anything but loopback needs a token; one is made if --token-file gives none."""
    port: int = 8765
    """Port to listen on; 0 takes any that is free."""
    open: bool = False
    """Open the page in the browser."""
    token_file: Path | None = None
    """A file with the token, 16 characters or more, that every request must bring."""
    log: bool = False
    """Print a line for each request."""
    max_megabytes: int = 20
    """Of an uploaded image."""
    max_megapixels: int = 50
    """Of an uploaded image; at most 178."""
    milvus_token_file: Path | None = None
    """Where the points are on a Milvus server: a file with its token; else $HOROSPHERE_MILVUS_TOKEN, or none."""
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self):
        check(
            "serve",
            port=(self.port, 0 <= self.port <= 65535, "a number from 0 to 65535"),
            max_megabytes=(self.max_megabytes, self.max_megabytes >= 1, "1 or more"),
            max_megapixels=(
                self.max_megapixels,
                1 <= self.max_megapixels <= 178,
                "a number from 1 to 178, the most that Pillow decodes",
            ),
        )

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
