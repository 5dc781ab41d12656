import dataclasses
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from horosphere.errors import InputError
from horosphere.models import Embedder
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

from .conftest import SPACES


@pytest.mark.parametrize("space", SPACES)
def test_points_are_points(make, images, space):
    model = make(space)
    points = model(model.normalise(images))
    assert points.shape == (5, model.space.dim(16))
    model.space.check(points)


def test_shared_and_split(make, images):
    shared = make(Mixed([Sphere(), Euclidean()]))
    left, right = shared.encode(images).split(16, 1)
    torch.testing.assert_close(left, torch.nn.functional.normalize(right))
    split = make(Mixed([Sphere(), Euclidean()]), heads="split")
    left, right = split.encode(images).split(16, 1)
    assert not torch.allclose(left, torch.nn.functional.normalize(right), atol=0.1)


def test_embed_gives_both_in_one_pass(make, images):
    model = make().eval()
    encodings, points = model.embed(model.normalise(images))
    assert torch.equal(points, model(model.normalise(images)))
    assert torch.equal(encodings, model.encode(images, head=False))
    assert encodings.shape == (5, model.width)


def test_patch_embedding_stays_and_the_rest_moves(make, images):
    model = make()
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    optimiser = torch.optim.AdamW(model.parameter_groups(0.01), lr=0.01)
    model(model.normalise(images)).square()[:, :3].sum().backward()
    optimiser.step()
    for name, parameter in model.named_parameters():
        patch = name.startswith("encoder.patch_embed")
        assert (parameter.grad is None) == patch, name
        assert torch.equal(parameter, before[name]) == patch, name


@pytest.mark.parametrize("space", SPACES)
def test_parameter_groups_are_complete_and_disjoint(make, space):
    model = make(space)
    groups = model.parameter_groups(0.05)
    seen = [parameter for group in groups for parameter in group["params"]]
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert len(seen) == len(set(seen)) and set(seen) == set(trainable)
    decay = {parameter: group["weight_decay"] for group in groups for parameter in group["params"]}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert decay[parameter] == (0 if name.startswith("space.") else 0.05), name


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


def test_encode_takes_images_in_every_form(make, images, tmp_path):
    model = make(preprocessing=None)
    model.preprocessing = dataclasses.replace(model.preprocessing, resize=32)
    expected = model.encode(images)
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    paths = [tmp_path / f"{i}.png" for i in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        picture.save(path)
    # 32 × 32 images through a resize to 32 and a crop of 32 are themselves.
    for form in (pictures, [_png(picture) for picture in pictures], paths, [str(path) for path in paths]):
        assert torch.equal(model.encode(form), expected)
    torch.testing.assert_close(model.encode(images, batch_size=2), expected)
    assert torch.equal(model.encode(pictures, batch_size=2), model.encode(images, batch_size=2))


def test_encode_restores_modes_and_leaves_gradients_possible(make, images):
    model = make("learned").train()
    model.encoder.norm.eval()
    before = [module.training for module in model.modules()]
    points = model.encode(images)
    assert [module.training for module in model.modules()] == before
    with pytest.raises(InputError):
        model.encode([b"no image"])
    assert [module.training for module in model.modules()] == before
    assert not points.requires_grad
    probe = torch.nn.Linear(16, 2)
    probe(points).sum().backward()
    assert probe.weight.grad is not None


@pytest.mark.parametrize(
    "bad",
    [
        lambda x: x.float(),
        lambda x: x[..., :16],
        lambda x: x[:, :1],
        lambda x: x[:0],
        lambda x: [],
        lambda x: "a.png",
        lambda x: b"abc",
        lambda x: Image.new("RGB", (32, 32)),
        lambda x: ["nowhere.png"],
        lambda x: 3,
    ],
)
def test_encode_refuses(make, images, bad):
    with pytest.raises(InputError):
        make().encode(bad(images))


def test_forward_refuses_uint8(make, images):
    with pytest.raises(InputError, match=r"model\.normalise"):
        make()(images)


def test_frozen_encoder_stays_in_eval_mode(images):
    torch.manual_seed(0)
    model = Embedder("test_resnet", Sphere(), 16, freeze="all")
    before = {name: tensor.clone() for name, tensor in model.encoder.state_dict().items()}
    assert model.training and not any(module.training for module in model.encoder.modules())
    model.train()(torch.randn(4, 3, 64, 64))
    assert model.heads.training and not model.encoder.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.encoder.state_dict().items())
    partly = Embedder("test_efficientnet", Sphere(), 16, freeze=1)
    assert not partly.encoder.bn1.training and not partly.encoder.blocks[0].training
    assert partly.encoder.training and partly.encoder.blocks[1].training


def test_cached_features(tmp_path):
    model = Embedder(None, SPACES["mixed"](), 8, heads="split", width=20, normalise_encoding="layer")
    features = torch.randn(10, 20)
    points = model.encode(features, batch_size=10)
    assert points.shape == (10, 24)
    assert torch.equal(model.encode(features, head=False), features)
    assert torch.equal(model.eval()(features), points)
    assert model.preprocessing is None
    model.save(tmp_path)
    assert torch.equal(Embedder.load(tmp_path).encode(features), points)
    with pytest.raises(InputError, match=r"expected \(n, 20\)"):
        model(features[:, :3])
    with pytest.raises(InputError, match="not images"):
        model.normalise(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(InputError, match="float tensor"):
        model.encode([Image.new("RGB", (32, 32))])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": None}, "width="),
        ({"encoder": None, "width": 3, "freeze": 2}, "freeze"),
        ({"encoder": None, "width": 3, "pretrained": True}, "pretrained"),
        ({"encoder": "test_vit", "width": 64}, "leave it out"),
        ({"encoder": "test_vit", "heads": "split"}, "without slices"),
        ({"encoder": "test_vit", "heads": "both"}, "'shared' or 'split'"),
        ({"encoder": "test_vit", "dim": 0}, "at least 1"),
    ],
)
def test_contradictions_are_explained(options, message):
    with pytest.raises(InputError, match=message):
        Embedder(options.pop("encoder"), Sphere(), **options)


def test_slices_that_do_not_fit():
    with pytest.raises(ValueError, match="columns"):
        Embedder(None, Mixed([Sphere(), Euclidean()], slices=[(0, 4), (4, 9)]), 8, width=3)
    with pytest.raises(InputError, match="without slices"):
        Embedder(None, Mixed([Sphere(), Euclidean()], slices=[(0, 4), (4, 8)]), 8, heads="split", width=3)


def test_images_that_the_encoder_cannot_take(make):
    own = make().preprocessing
    with pytest.raises(InputError, match=r"\{'img_size': 48\}"):
        make(preprocessing=dataclasses.replace(own, size=48, resize=48))
    assert make(preprocessing=dataclasses.replace(own, resize=40)).preprocessing.resize == 40


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("heads", ["shared", "split"])
def test_round_trip_is_exact(make, images, tmp_path, space, heads):
    if heads == "split" and space != "mixed":
        pytest.skip("one part, one head")
    model = make(space, heads=heads, normalise_encoding="l2", freeze=1)
    model.preprocessing = dataclasses.replace(model.preprocessing, resize=40)
    with torch.no_grad():
        for parameter in model.space.parameters():
            parameter.add_(0.37)
    model.save(tmp_path / "deep" / "model")
    state = torch.random.get_rng_state()
    loaded = Embedder.load(tmp_path / "deep" / "model")
    assert torch.equal(torch.random.get_rng_state(), state)
    points = model.encode(images)
    assert torch.equal(loaded.encode(images), points)
    torch.testing.assert_close(loaded.space.pairwise(points), model.space.pairwise(points), rtol=1e-6, atol=0)
    assert loaded.preprocessing == model.preprocessing
    # A learned weight may be described with its last bit rounded; the tensors above are exact.
    assert loaded.describe() | {"space": None} == model.describe() | {"space": None}
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert frozen == [name for name, parameter in loaded.named_parameters() if not parameter.requires_grad]
    assert not loaded.training


def test_the_description_can_be_read(make, tmp_path):
    make("mixed").save(tmp_path)
    description = json.loads((tmp_path / "model.json").read_text())
    assert description["encoder"] == "test_vit" and description["encoder_options"] == {"img_size": 32}
    assert description["space"]["kind"] == "mixed" and description["preprocessing"]["size"] == 32
    assert description["format"] == 1 and description["horosphere"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def test_saving_over_a_model_is_all_or_nothing(make, images, tmp_path, monkeypatch):
    old, new = make("hyperbolic"), make("mixed")
    (tmp_path / "notes.txt").write_text("mine")
    old.save(tmp_path)

    def half(path, data):
        with open(path, "wb") as file:
            file.write(data[:1000])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "write_bytes", half)
        with pytest.raises(KeyboardInterrupt):
            new.save(tmp_path)
    assert torch.equal(Embedder.load(tmp_path).encode(images), old.encode(images))
    # A kill between the two files: the tensors are new, model.json is old.
    with monkeypatch.context() as patch:
        patch.setattr(json, "dumps", lambda *a, dumps=json.dumps, **k: dumps(*a) if "indent" not in k else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            new.save(tmp_path)
    assert torch.equal(Embedder.load(tmp_path).encode(images), new.encode(images))
    new.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors", "notes.txt"]
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1, "others can read the one as the other"


def _rewrite(folder, change, tensors=None):
    path = folder / "model.safetensors"
    with safe_open(path, "pt") as file:
        description = json.loads(file.metadata()["horosphere"])
    change(description)
    save_file(load_file(path) if tensors is None else tensors, path, metadata={"horosphere": json.dumps(description)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format=2), "reads format 1"),
        (lambda d: d.pop("space"), "damaged"),
        (lambda d: d.update(space={"kind": "torus"}), "torus"),
        (lambda d: d.update(space=3), "damaged"),
        (lambda d: d.update(preprocessing={"colour": 3}), "damaged"),
        (lambda d: d.update(encoder="test_vitt"), "nearest"),
        (lambda d: d.update(encoder_options={"checkpoint_path": "x.pth"}), "not for the encoder"),
        (lambda d: d.update(dim=17), "does not fit"),
    ],
)
def test_a_tampered_model(make, tmp_path, change, message):
    make().save(tmp_path)
    _rewrite(tmp_path, change)
    with pytest.raises(InputError, match=message):
        Embedder.load(tmp_path)


def test_missing_or_foreign_files(make, tmp_path):
    with pytest.raises(InputError, match="no model in"):
        Embedder.load(tmp_path / "nowhere")
    make().save(tmp_path)
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    for bad in (b"", b"garbage", whole[:-10]):
        path.write_bytes(bad)
        with pytest.raises(InputError, match="damaged"):
            Embedder.load(tmp_path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="no horosphere model"):
        Embedder.load(tmp_path)
    path.write_bytes(whole)
    (tmp_path / "model.json").unlink()
    Embedder.load(tmp_path)


def test_options_that_cannot_be_written(make, tmp_path):
    model = make(encoder_options={"img_size": 32, "norm_layer": torch.nn.LayerNorm})
    with pytest.raises(InputError, match="cannot be written as JSON"):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_grey_images(make, tmp_path):
    model = make(encoder_options={"img_size": 32, "in_chans": 1})
    picture = Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32))
    points = model.encode([picture])
    model.save(tmp_path)
    assert torch.equal(Embedder.load(tmp_path).encode([picture]), points)
    assert points.shape == (1, 16)


def test_learned_curvature_survives(make, tmp_path):
    model = make(Hyperbolic(0.3, learnable_curvature=True))
    with torch.no_grad():
        model.space.log_curvature.fill_(1.234567)
    model.save(tmp_path)
    assert torch.equal(Embedder.load(tmp_path).space.log_curvature, model.space.log_curvature)
    assert Embedder.load(tmp_path).space.curvature == model.space.curvature
