"""Whatever is uploaded as an image: a point, or a refusal; never a fault, and never much memory."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from horosphere.page import Limits, Page
from horosphere.page.safety import LOOPBACK

from .conftest import asking

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")


def encoded(kind: str, size=(40, 30), mode="RGB", **options) -> bytes:
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], *channels), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def upload(client, data: bytes):
    return client.post("/api/queries", content=data, headers={"Content-Type": "image/png"})


def refused(answer, *statuses):
    assert answer.status_code in statuses, answer.text
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_photographs_are_taken(client, kind, mode):
    if (kind, mode) == ("JPEG", "RGBA"):
        pytest.skip("a JPEG has no transparency")
    answer = upload(client, encoded(kind, mode=mode))
    assert answer.status_code == 200, answer.text
    assert (answer.json()["width"], answer.json()["height"]) == (40, 30)


def test_other_ways_to_write_them_are_taken(client):
    exif = Image.Exif()
    exif[274] = 6
    turned = upload(client, encoded("JPEG", exif=exif)).json()
    assert (turned["width"], turned["height"]) == (30, 40)
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "PNG", "WEBP"):
        out = io.BytesIO()
        frames[0].save(out, kind, save_all=True, append_images=frames[1:])
        assert upload(client, out.getvalue()).status_code == 200
    assert upload(client, encoded("JPEG", progressive=True)).status_code == 200
    out = io.BytesIO()
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(out, "PNG")
    assert upload(client, out.getvalue()).status_code == 200


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "PPM", "ICO", "TGA", "PDF", "EPS", "ICNS", "PCX", "DDS"])
def test_other_formats_are_refused(client, kind):
    refused(upload(client, encoded(kind, (32, 32))), 415)


@pytest.mark.parametrize("data", [b"", b"x", b"PK\x03\x04", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\x00" * 1000])
def test_what_is_no_image_is_refused(client, data):
    refused(upload(client, data), 415)


@pytest.mark.parametrize("kind", FORMATS)
def test_images_cut_short(client, kind):
    data = encoded(kind)
    for length in np.linspace(1, len(data) - 1, 40).astype(int):
        answer = upload(client, data[:length])
        if answer.status_code == 200:
            assert length > len(data) - 13  # the last bytes of a file carry no pixels
        else:
            refused(answer, 415, 422)


@given(st.sampled_from(FORMATS), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=12))
@settings(max_examples=150, deadline=None)
def test_images_with_changed_bytes(fuzzed, kind, changes):
    data = bytearray(encoded(kind))
    for place, value in changes:
        data[place % len(data)] = value
    answer = upload(fuzzed, bytes(data))
    if answer.status_code != 200:
        refused(answer, 413, 415, 422)


@given(st.sampled_from(FORMATS), st.integers(0, 60), st.binary(max_size=80), st.integers(0, 80))
@settings(max_examples=100, deadline=None)
def test_images_with_foreign_middles(fuzzed, kind, at, middle, dropped):
    data = encoded(kind)
    answer = upload(fuzzed, data[:at] + middle + data[at + dropped :])
    if answer.status_code != 200:
        refused(answer, 413, 415, 422)


@pytest.fixture(scope="module")
def fuzzed(collection):
    """A client of a page that takes small images only, so that no changed byte makes a large one."""
    with asking(Page(collection, hosts=LOOPBACK, limits=Limits(pixels=100_000, bytes=100_000))) as client:
        yield client


def png(width: int, height: int, rows: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def with_size(data: bytes, marker: bytes, width: int, height: int) -> bytes:
    """A JPEG whose frame header tells another size."""
    at = data.index(marker) + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def bombs() -> dict[str, bytes]:
    gif = bytearray(encoded("GIF"))
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    frame = bytearray(encoded("GIF"))
    at = frame.index(b"\x2c", 13 + 3 * 2 ** ((frame[10] & 7) + 1))
    frame[at + 5 : at + 9] = struct.pack("<HH", 65535, 65535)
    webp = bytearray(encoded("WEBP", lossless=True))
    at = webp.index(b"VP8L") + 9
    (word,) = struct.unpack("<I", webp[at : at + 4])
    webp[at : at + 4] = struct.pack("<I", word | 0xFFFFFFF)
    return {
        "png": png(50_000, 50_000, zlib.compress(bytes(10**6))),
        "a little too large": png(10_001, 10_000, zlib.compress(bytes(1000))),
        "jpeg": with_size(encoded("JPEG"), b"\xff\xc0", 65_500, 65_500),
        "gif": bytes(gif),
        "gif's frame": bytes(frame),
        "webp": bytes(webp),
    }


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", bombs())
def test_bombs_are_refused_by_their_header(client, name, monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda *_: pytest.fail("decoded"))
    refused(upload(client, bombs()[name]), 413)


def test_a_jpeg_that_ends_before_its_header_says_is_filled_up(client):
    answer = upload(client, with_size(encoded("JPEG"), b"\xff\xc0", 3000, 2000))
    assert answer.status_code == 200 and answer.json()["width"] == 3000


def test_headers_that_lie_within_the_limit_are_damaged_images(client):
    refused(upload(client, png(3000, 3000, zlib.compress(bytes(100)))), 422)
    # More data than the header has pixels for: what is beyond is not read.
    assert upload(client, png(4, 4, zlib.compress(bytes(50_000_000)))).status_code in (200, 422)


def test_a_jpeg_of_hundreds_of_scans_is_refused(client):
    data = encoded("JPEG", (64, 64), progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    refused(upload(client, data[:-2] + scan * 100 + data[-2:]), 413)
    assert upload(client, data).status_code == 200


def test_png_text_that_grows_is_refused_or_left_alone(client):
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    data = encoded("PNG")
    text = chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(bytes(100_000_000)))
    assert upload(client, data[:33] + text * 3 + data[33:]).status_code in (200, 415, 422)
