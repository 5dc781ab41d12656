import dataclasses

import pytest
import torch
import torchvision

from horosphere.errors import InputError
from horosphere.models import Embedder, MomentumEncoder, Projector, create_encoder
from horosphere.spaces import Hyperbolic

SIZE = 32


def embedder(encoder="test_resnet", **options):
    torch.manual_seed(0)
    options = {"freeze": "none", "layers": 2} | options
    model = Embedder(encoder, Hyperbolic(0.05, None), dim=6, **options)
    model.set_preprocessing(dataclasses.replace(model.preprocessing, size=SIZE, resize=SIZE))
    return model


def views(count=8):
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, 256, (count, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator) for _ in range(3)]


def test_the_key_encoder_is_the_exact_moving_average_and_gets_no_gradient():
    projector = Projector(embedder())
    key = MomentumEncoder(projector, momentum=0.9)
    expected = [parameter.detach().clone() for parameter in projector.parameters()]
    for _ in range(3):
        key.update(projector)
        expected = [
            torch.lerp(old, new.detach(), 1 - 0.9) for old, new in zip(expected, projector.parameters(), strict=True)
        ]
        with torch.no_grad():
            for parameter in projector.parameters():
                parameter.add_(torch.randn_like(parameter))
    # The first update finds the two equal.
    assert all(torch.equal(a, b) for a, b in zip(key.average.module.parameters(), expected, strict=True))
    made = key(*views(), step=0)
    assert not any(part.requires_grad for projection in made for part in projection if part is not None)
    assert all(parameter.grad is None for parameter in key.parameters())


def test_groups_are_normalised_apart_and_keys_in_another_order():
    projector, images = Projector(embedder()), views()
    whole, apart = (projector(*images, groups=groups)[0].points for groups in (1, 4))
    assert not torch.allclose(whole, apart, rtol=1e-3)
    pair = projector(*(view[2:4] for view in images))[0].points
    torch.testing.assert_close(apart[2:4], pair, rtol=1e-5, atol=1e-6)
    still, shuffled = (MomentumEncoder(projector, shuffled=on)(*images, step=3, groups=4) for on in (False, True))
    torch.testing.assert_close(still[0].points, apart.detach(), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(shuffled[0].points, apart, rtol=1e-3)
    # With one group the order makes no difference, and rows come back where they belong.
    alone = MomentumEncoder(projector)(*images, step=3)
    torch.testing.assert_close(alone[1].points, projector(*images)[1].points.detach(), rtol=1e-4, atol=1e-5)


def test_a_dense_head_sees_the_grid_whose_mean_the_encoding_is():
    model = embedder("resnet18")
    projector = Projector(model, dense=True)
    first, _, third = projector(*views())
    assert first.dense.shape == (8, 1, 6) and first.grid.shape == (8, 1, 512)
    assert third.dense is None and third.grid is None
    torch.testing.assert_close(model.place(first.grid.mean(1)), first.points, rtol=1e-5, atol=1e-6)


def test_a_dense_head_needs_a_grid():
    options = {"img_size": SIZE, "patch_size": 16, "embed_dim": 24, "depth": 1, "num_heads": 2}
    with pytest.raises(InputError, match="convolutional"):
        Projector(embedder("vit_tiny_patch16_224", encoder_options=options), dense=True)


def test_frozen_norms_stand_still_in_training():
    model = embedder(freeze="norms")
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model(model.normalise(views()[0])).sum().backward()
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    norms = [module for module in model.encoder.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms and all(norm.weight.grad is None for norm in norms)
    convolutions = [module for module in model.encoder.modules() if isinstance(module, torch.nn.Conv2d)]
    assert all(convolution.weight.grad is not None for convolution in convolutions)


def test_a_head_of_two_layers_is_saved_and_read(tmp_path):
    model = embedder().eval()
    model.save(tmp_path)
    images = views()[0]
    assert torch.equal(Embedder.load(tmp_path).encode(images), model.encode(images))


def test_resnets_are_torchvisions_by_name_and_number():
    """So that torchvision's detectors take their weights."""
    ours, _, _ = create_encoder("resnet50")
    theirs = torchvision.models.resnet50()
    theirs.fc = torch.nn.Identity()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("momentum", [-0.1, 1.1])
def test_a_momentum_is_a_share(momentum):
    with pytest.raises(InputError, match="0 to 1"):
        MomentumEncoder(Projector(embedder()), momentum=momentum)
