import builtins
import json

import pytest
import torch

from horosphere.errors import InputError
from horosphere.models import Embedder, export_onnx

from .conftest import SPACES


@pytest.mark.parametrize(("space", "heads"), [("sphere", "shared"), ("learned", "shared"), ("mixed", "split")])
def test_parity(make, images, tmp_path, space, heads):
    pytest.importorskip("onnxscript", reason="needs horosphere[onnx]")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs horosphere[onnx]")
    model = make(space, heads=heads).train()
    path = tmp_path / "deep" / "model.onnx"
    difference = export_onnx(model, path)
    assert 0 <= difference < 1e-4
    assert model.training
    assert [one.name for one in path.parent.iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for n in (1, 5):
        (points,) = session.run(["points"], {"images": images[:n].numpy()})
        torch.testing.assert_close(torch.from_numpy(points), model.encode(images[:n]), atol=1e-4, rtol=1e-4)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["space"]) == model.space.describe()
    assert json.loads(metadata["preprocessing"])["size"] == 32
    assert json.loads(metadata["horosphere"])["encoder"] == "test_vit"


def test_cached_features(tmp_path):
    pytest.importorskip("onnxscript", reason="needs horosphere[onnx]")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs horosphere[onnx]")
    model = Embedder(None, SPACES["hyperbolic"](), 8, width=20, normalise_encoding="l2")
    export_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    features = torch.randn(4, 20)
    (points,) = session.run(None, {"features": features.numpy()})
    torch.testing.assert_close(torch.from_numpy(points), model.encode(features), atol=1e-5, rtol=1e-4)


def test_disparity_writes_nothing(tmp_path, monkeypatch):
    pytest.importorskip("onnxscript", reason="needs horosphere[onnx]")
    pytest.importorskip("onnxruntime", reason="needs horosphere[onnx]")
    monkeypatch.setattr("horosphere.models.onnx.TOLERANCE", -1.0)
    with pytest.raises(RuntimeError, match="differ from torch's"):
        export_onnx(Embedder(None, SPACES["sphere"](), 8, width=20), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_without_the_extra(make, tmp_path, monkeypatch):
    def refuse(name, *args, real=builtins.__import__, **kwargs):
        if name.startswith("onnx"):
            raise ImportError(name=name)
        return real(name, *args, **kwargs)

    model = make()
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match=r"pip install 'horosphere\[onnx\]'"):
        export_onnx(model, tmp_path / "model.onnx")
