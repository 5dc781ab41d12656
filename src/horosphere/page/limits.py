"""What one request, and all together, may ask of the server."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Beyond these a request is refused, before work is done for it."""

    #: Of an uploaded image, encoded.
    bytes: int = 20 * 2**20
    #: Of an uploaded image, width × height as its header says.
    pixels: int = 50_000_000
    #: Of a JSON body.
    json: int = 2**20
    #: Levels of lists and objects in a JSON body.
    depth: int = 8
    #: Neighbours in one answer.
    k: int = 200
    #: Items in "more" and "less" together.
    chosen: int = 64
    #: Values and ranges in a filter.
    conditions: int = 200
    #: Seconds in which a body must arrive.
    arrival: float = 30.0
    #: Seconds in which an answer must be made.
    answer: float = 60.0
    #: Images being received, decoded or embedded at one time.
    images: int = 16
    #: Searches running or waiting at one time.
    searches: int = 64
    #: Open connections.
    connections: int = 512
