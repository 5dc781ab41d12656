"""What requests carry, read within bounds: bytes, and JSON whose every value is checked."""

import asyncio
import base64
import json
import math
from collections.abc import Set
from typing import Any, NoReturn

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from .limits import Limits


def refuse(status: int, message: str, **headers: str) -> NoReturn:
    """End the request with a status and a message that says what was given, what was expected and what to do."""
    raise HTTPException(status, message, headers or None)


async def read_bytes(request: Request, most: int, seconds: float) -> bytes:
    """The body, counted as it arrives: what a header says of its length is only believed when it is too much."""
    too_much = f"the body has more than {most:,} bytes, which is the most taken; send less"
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > most:
        refuse(413, too_much)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    # Hang up, or the rest would be received only to be thrown away.
                    refuse(413, too_much, Connection="close")
    except TimeoutError:
        refuse(408, f"the body did not arrive within {seconds:g} seconds; send it again, faster", Connection="close")
    except ClientDisconnect:
        refuse(400, "the body was cut off; send it again")
    return bytes(body)


async def read_json(request: Request, limits: Limits) -> dict[str, Any]:
    """The body as a JSON object whose strings are text, whose numbers are finite and which is not deep."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        refuse(415, "the body is not declared as JSON; send it with Content-Type: application/json")
    body = await read_bytes(request, limits.json, limits.arrival)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):  # not UTF-8, not JSON, a number of thousands of digits, or thousands of brackets
        refuse(400, "the body is no JSON; send one JSON object in UTF-8")
    if not isinstance(value, dict):
        refuse(422, "the body is no JSON object; send {...}")
    _check_plain(value, limits.depth)
    return value


def _check_plain(value: Any, depth: int) -> None:
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, float) and not math.isfinite(value):
        refuse(422, "the body has a number that is not finite; send finite numbers")
    elif isinstance(value, (dict, list)):
        if not depth:
            refuse(422, "the body has too many levels of lists and objects; send it flatter")
        for each in [*value, *value.values()] if isinstance(value, dict) else value:
            _check_plain(each, depth - 1)


def check_text(text: str) -> None:
    """Refuse what is no Unicode text: half of a surrogate pair, which JSON can spell and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        refuse(422, "a string has half of a surrogate pair, which is no text; send valid Unicode")


def check_keys(value: Any, name: str, required: Set[str], optional: Set[str] = frozenset()) -> dict[str, Any]:
    """`value` as an object with these keys."""
    expected = ", ".join(sorted(required) + [f"{key} (optional)" for key in sorted(optional)])
    if not isinstance(value, dict):
        refuse(422, f"{name} is no object; expected one with {expected}")
    if missing := required - value.keys():
        refuse(422, f"{name} lacks {', '.join(sorted(missing))}; expected {expected}")
    if unknown := value.keys() - required - optional:
        refuse(422, f"{name} has the unknown {', '.join(sorted(map(repr, unknown)))[:100]}; expected {expected}")
    return value


def whole_number(value: Any, name: str, least: int, most: int) -> int:
    """`value` as a whole number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        refuse(422, f"{name} is {str(value)[:40]}; expected a whole number from {least} to {most}")
    return value


def decode_point(text: Any, columns: int | None) -> np.ndarray:
    """A point from base64 of `columns` little-endian float32; None of an empty index, which has no points to be near."""
    if columns is None:
        refuse(422, "the collection is empty; add images to it first")
    expected = f"expected base64 of {columns} little-endian float32, as POST /api/queries gives it"
    if not isinstance(text, str):
        refuse(422, f"a point is no string; {expected}")
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        refuse(422, f"a point is no base64; {expected}")
    if len(raw) != 4 * columns:
        refuse(422, f"a point has {len(raw):,} bytes; {expected}")
    point = np.frombuffer(raw, "<f4").astype(np.float32)
    if not np.isfinite(point).all():
        refuse(422, f"a point holds NaN or infinity; {expected}")
    return point


def encode_point(point: np.ndarray) -> str:
    """The string that `decode_point` reads."""
    return base64.b64encode(np.ascontiguousarray(point, "<f4").tobytes()).decode()
