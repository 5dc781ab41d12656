"""Small images and the real data, for the tests of this folder."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"


def shared(name: str) -> Path:
    """A file of the shared real data; skips the test where it is absent."""
    path = (SHARED / name).resolve()
    if not path.exists():
        pytest.skip(f"needs the real data {name} beside the repository, which is not there")
    return path


def photograph(width=320, height=240, seed=0) -> Image.Image:
    """Smooth shapes with edges and texture, as a photograph has them."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    y, x = np.mgrid[:height, :width]
    waves = 18 * np.sin(x / 5) * np.cos(y / 7) + rng.normal(0, 4, (height, width))
    disc = 60 * ((x - width / 3) ** 2 + (y - height / 2) ** 2 < (height / 4) ** 2)
    return Image.fromarray((np.asarray(coarse) * 0.6 + (waves + disc)[..., None] + 20).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, format="JPEG", **options) -> bytes:
    """The image's file."""
    buffer = io.BytesIO()
    image.save(buffer, format, **({"quality": 92} if format == "JPEG" else {}) | options)
    return buffer.getvalue()


def tiny(seed=0, format="PNG") -> bytes:
    """A file of 8 × 6 pixels that differs by seed."""
    rng = np.random.default_rng(seed)
    return encoded(Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)), format)


def write(root: Path, files: dict[str, bytes | str]) -> Path:
    """Write files below `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def zipped(root: Path, target: Path, prefix="", compression=zipfile.ZIP_DEFLATED) -> Path:
    """The zip of everything below `root`."""
    with zipfile.ZipFile(target, "w", compression) as archive:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                archive.write(path, prefix + path.relative_to(root).as_posix())
    return target


def psnr(a, b) -> float:
    """Peak signal to noise in dB of two uint8 images."""
    error = np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2)
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)
