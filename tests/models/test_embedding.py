import numpy as np
import pytest
import torch
from PIL import Image

from horosphere.data import ArrayImages, FileImages, RetrievalData
from horosphere.errors import InputError
from horosphere.models import Embedder, embed_data
from horosphere.spaces import Hyperbolic


@pytest.fixture
def model():
    options = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 2}
    return Embedder("vit_tiny_patch16_224", Hyperbolic(), dim=8, encoder_options=options)


def data_of(images, n):
    return RetrievalData("set", images, None, np.zeros(n, np.int64), ("a",), None, np.full(n, "test"))


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (4, 0), (100, 2)])
def test_order_and_values_do_not_depend_on_batches_or_workers(model, batch_size, workers):
    images = np.random.default_rng(0).integers(0, 255, (9, 20, 20, 3), dtype=np.uint8)
    embedded = embed_data(model, data_of(ArrayImages(images), 9), batch_size=batch_size, workers=workers)
    one_by_one = torch.cat([model.encode([image]) for image in images])
    torch.testing.assert_close(embedded.points, one_by_one)
    assert embedded.encodings.shape == (9, 24) and not embedded.failures
    assert model.training and not embedded.points.is_inference()


def test_unreadable_images_are_left_out_and_named(model, tmp_path):
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    embedded = embed_data(model, data_of(FileImages(tmp_path, ["a.png", "b.png"]), 2))
    assert embedded.data.ids.tolist() == ["a.png"] and embedded.failures[0][0] == "b.png" and len(embedded.points) == 1
    with pytest.raises(InputError, match=r"none of the 1 images.*b\.png"):
        embed_data(model, data_of(FileImages(tmp_path, ["b.png"]), 1))


def test_heads_alone_share_their_tensors(model):
    heads = model.without_encoder()
    encodings, points = model.eval().embed(torch.randn(3, 3, 16, 16))
    assert torch.equal(heads(encodings), points)
    assert heads.heads.linears[0].weight is model.heads.linears[0].weight and heads.space is model.space


def test_precision(model):
    images = np.random.default_rng(0).integers(0, 255, (9, 16, 16, 3), dtype=np.uint8)
    data = data_of(ArrayImages(images), 9)
    whole, half = (embed_data(model, data, precision=precision) for precision in ("32-true", "bf16-mixed"))
    for a, b in ((whole.points, half.points), (whole.encodings, half.encodings)):
        assert b.dtype == torch.float32 and not torch.equal(a, b)
        assert (a - b).norm() < 0.02 * a.norm()
    for precision in ("16-mixed", "bf16"):
        with pytest.raises(InputError, match=f"'{precision}' on cpu: expected 32-true"):
            embed_data(model, data, precision=precision)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_a_gpu_gives_the_points_of_the_cpu(model, precision):
    images = np.random.default_rng(0).integers(0, 255, (200, 16, 16, 3), dtype=np.uint8)
    data = data_of(ArrayImages(images), 200)
    expected = embed_data(model, data).points
    found = embed_data(model.to("cuda"), data, batch_size=7, precision=precision).points
    assert (found - expected).norm() < (1e-3 if precision == "32-true" else 0.02) * expected.norm()
