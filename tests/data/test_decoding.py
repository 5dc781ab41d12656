"""Odd images of every kind, the same answer from both decoders, and errors that name the image."""

import io
import pickle

import numpy as np
import pytest
from PIL import Image

from horosphere.data import Picture, UnreadableImage, decode, decoding
from tests.data.helpers import encoded, photograph, psnr


@pytest.fixture(params=["simplejpeg", "pillow"])
def decoder(request, monkeypatch):
    """Each test runs with and without simplejpeg."""
    if request.param == "pillow":
        monkeypatch.setattr(decoding, "_simplejpeg", lambda: None)
    else:
        pytest.importorskip("simplejpeg")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_equals_pillow(mode, decoder):
    data = encoded(photograph().convert(mode))
    assert np.array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    assert np.array_equal(decode(data, channels=1), np.asarray(Image.open(io.BytesIO(data)).convert("L")))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_orientation(orientation, format, decoder):
    upright = photograph(96, 64)
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # Pillow's number of the inverse
    stored = upright if undo is None else upright.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[decoding.ORIENTATION_TAG] = orientation
    data = encoded(stored, format, exif=exif)
    assert Picture(data).size == (96, 64)
    assert psnr(decode(data), upright) > 30


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_reduced_jpeg_is_the_same_from_both_decoders(mode, monkeypatch):
    pytest.importorskip("simplejpeg")
    for size, target, expected in [((321, 243), (80, 60), 4), ((321, 243), (161, 60), 1), ((640, 480), (80, 60), 8)]:
        data = encoded(photograph(*size).convert(mode))
        picture = Picture(data)
        fast = picture.pixels(target=target)
        with monkeypatch.context() as context:
            context.setattr(decoding, "_simplejpeg", lambda: None)
            slow = Picture(data).pixels(target=target)
        assert fast.shape == (round(size[1] / expected), round(size[0] / expected), 3)
        assert np.array_equal(fast, slow)
        assert picture.pixels().shape == (size[1], size[0], 3)  # a reduced decode does not spoil the next
        assert picture.pixels(box=(0, 0, *target), target=target).shape == (target[1], target[0], 3)


def test_pixel_formats():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    wide = Image.fromarray(grey.astype(np.uint16) * 257)
    assert np.array_equal(decode(encoded(wide, "PNG"), channels=1), grey)
    assert np.array_equal(decode(encoded(wide, "TIFF"), channels=1), grey)
    assert np.array_equal(decode(grey.astype(np.uint16) * 257, channels=1), grey)
    assert np.array_equal(decode(encoded(Image.fromarray(grey), "PNG")), np.stack([grey] * 3, -1))
    assert np.array_equal(decode(grey[..., None]), np.stack([grey] * 3, -1))
    bits = Image.fromarray(grey).convert("1")
    assert set(np.unique(decode(encoded(bits, "PNG"), channels=1))) == {0, 255}


def test_transparency_is_white():
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    clear.putpixel((0, 0), (10, 20, 30, 255))
    pixels = decode(encoded(clear, "PNG"))
    assert pixels[0, 0].tolist() == [10, 20, 30]
    assert (pixels.reshape(-1, 3)[1:] == 255).all()
    assert (decode(encoded(Image.new("LA", (4, 4), (0, 0)), "PNG"), channels=1) == 255).all()
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([10, 20, 30, 200, 0, 0])
    palette.putpixel((0, 0), 0)
    pixels = decode(encoded(palette, "PNG", transparency=1))
    assert pixels[0, 0].tolist() == [10, 20, 30]
    assert (pixels.reshape(-1, 3)[1:] == 255).all()
    assert (decode(np.array(clear))[1:] == 255).all()


def test_animation_gives_the_first_frame():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode(data) == [255, 0, 0]).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes"),
        (b"not an image at all", "known format"),
        (encoded(photograph())[:4000], "truncated"),
        (encoded(photograph())[:20], ""),
        (encoded(photograph(), "PNG")[:3000], "truncated"),
        (np.zeros((3, 3), np.float64), "float64"),
        (np.zeros((3, 0), np.uint8), "shape"),
        (encoded(Image.new("F", (4, 4)), "TIFF"), "floating-point"),
    ],
)
def test_unreadable(data, reason, decoder):
    with pytest.raises(UnreadableImage, match=r"^bird.jpg: ") as caught:
        decode(data, name="bird.jpg")
    assert reason in caught.value.reason
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.name, copy.reason) == ("bird.jpg", caught.value.reason)


def test_decompression_bomb(monkeypatch, decoder):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for format in ("JPEG", "PNG"):
        with pytest.raises(UnreadableImage, match="bomb"):
            decode(encoded(photograph(32, 32), format))
