"""Batches that go through the encoder in chunks: the gradients of the whole batch, without its activations."""

import dataclasses

import pytest
import torch
import torch.multiprocessing as mp
from torch.utils.checkpoint import set_checkpoint_early_stop

import horosphere as hs
from horosphere.errors import InputError
from horosphere.losses import PairwiseCrossEntropy
from horosphere.spaces import Hyperbolic, Mixed, Sphere
from horosphere.training.chunks import Chunked
from horosphere.training.distributed import gather

from . import tiny

BATCH = 96


def make(**dropout):
    torch.manual_seed(0)
    space = Mixed([Sphere(), Hyperbolic(learnable_curvature=True)], [1.0, 1.0], learnable_weights=True)
    options = {"img_size": 32, "embed_dim": 48, "depth": 3, "num_heads": 3} | dropout
    model = hs.Embedder("vit_tiny_patch16_224", space, 16, heads="split", freeze="none", encoder_options=options)
    images = torch.randint(0, 256, (BATCH, 3, 32, 32), dtype=torch.uint8)
    return model, images, torch.arange(BATCH // 4).repeat_interleave(4)


def gradients(model):
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def backward(model, images, labels, chunk=None, wrap=lambda chunked: chunked):
    """The loss, its gradients already in the model."""
    wrapped = wrap(Chunked(model, chunk))  # which must outlive the backward pass, where it averages gradients
    points = gather(wrapped(images))
    loss = PairwiseCrossEntropy(model.space)(points, labels)
    loss.backward()
    return loss.detach()


def assert_same_gradients(found, expected):
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() <= 1e-5 * gradient.norm(), name


@pytest.mark.parametrize("chunk", [8, 40, 95])
def test_loss_and_gradients_are_those_of_the_whole_batch(chunk):
    model, images, labels = make()
    expected = backward(model, images, labels), gradients(model)
    model.zero_grad()
    before = torch.get_rng_state()
    torch.testing.assert_close(backward(model, images, labels, chunk), expected[0], rtol=1e-6, atol=0)
    assert_same_gradients(gradients(model), expected[1])
    assert torch.equal(torch.get_rng_state(), before)


def test_no_more_than_a_chunk_goes_through_the_encoder_and_each_goes_twice():
    model, images, labels = make()
    sizes = []
    model.encoder.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    with set_checkpoint_early_stop(False):
        backward(model, images, labels, 40)
    assert sizes == [40, 40, 16, 16, 40, 40]
    sizes.clear()
    backward(model, images, labels, BATCH)
    assert sizes == [BATCH]


@pytest.mark.parametrize("autocast", [False, True])
def test_the_second_pass_has_the_dropout_of_the_first(autocast):
    model, images, labels = make(drop_rate=0.2, drop_path_rate=0.3, proj_drop_rate=0.1, attn_drop_rate=0.1)
    passes = []
    model.register_forward_hook(lambda module, inputs, output: passes.append(output.detach()))
    with set_checkpoint_early_stop(False):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            points = Chunked(model, 40)(images)
        end = torch.get_rng_state()
        PairwiseCrossEntropy(model.space)(points, labels).backward()
    first, second = passes[:3], passes[:2:-1]
    assert len(first) == len(second) == 3
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(torch.cat(first), points)
    # The second pass drew nothing of its own; other draws give other points.
    assert torch.equal(torch.get_rng_state(), end)
    assert not torch.equal(Chunked(model, 40)(images), points)


def test_gradients_of_mixed_precision_add_up_in_float32():
    model, images, labels = make()
    autocast = torch.autocast("cpu", torch.bfloat16)
    chunk = 2
    # By hand: all points, the loss's gradient, and a backward pass of its own for each chunk.
    with torch.no_grad(), autocast:
        points = torch.cat([model(model.normalise(part)) for part in images.split(chunk)])
    points.requires_grad_()
    PairwiseCrossEntropy(model.space)(points, labels).backward()
    for part, gradient in zip(images.split(chunk), points.grad.split(chunk), strict=True):
        with autocast:
            found = model(model.normalise(part))
        found.backward(gradient)
    expected = gradients(model)
    model.zero_grad()
    with autocast:
        points = Chunked(model, chunk)(images)
    PairwiseCrossEntropy(model.space)(points, labels).backward()
    found = gradients(model)
    assert_same_gradients(found, expected)


def of_one_rank(rank, world, file, results):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=world)
    model, images, labels = make()
    loss = backward(model, images.chunk(world)[rank], labels, 20, torch.nn.parallel.DistributedDataParallel)
    torch.save({"loss": loss, **gradients(model)}, f"{results}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_with_chunks_have_the_gradients_of_one_without(tmp_path):
    model, images, labels = make()
    loss = backward(model, images, labels)
    mp.spawn(of_one_rank, args=(2, str(tmp_path / "rendezvous"), str(tmp_path)), nprocs=2)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(found.pop("loss"), loss, rtol=1e-5, atol=0)
        assert_same_gradients(found, gradients(model))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_run_in_chunks_has_the_loss_curve_of_one_without(tmp_path, precision):
    options = {k: v for k, v in tiny.config().model.encoder_options.items() if k != "proj_drop_rate"}
    config = tiny.config(model={"encoder_options": options}, training={"precision": precision, "log_every": 1})
    chunked = dataclasses.replace(config, batch=dataclasses.replace(config.batch, chunk=5))
    whole, parts = (hs.train(c, tmp_path / n, progress=False).metrics() for c, n in ((config, "whole"), (chunked, "parts")))
    tolerance = 1e-4 if precision == "32-true" else 5e-2
    for name in ("loss", "gradient_norm"):
        assert [line[name] for line in parts] == pytest.approx([line[name] for line in whole], rel=tolerance)


def test_a_run_in_chunks_with_dropout_resumes_to_the_same_weights(tmp_path):
    config = tiny.config(batch={"chunk": 5})
    whole = hs.train(config, tmp_path / "whole", progress=False)
    # The run of the first two steps leaves a checkpoint in place of a kill.
    stopped = hs.Run(tmp_path / "stopped")
    stopped.begin(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("horosphere.training.loop.write_report", interrupt)
        patch.setattr("horosphere.training.loop.training_batches", first_steps(2))
        with pytest.raises(KeyboardInterrupt):
            hs.resume(stopped.folder, progress=False)
    assert stopped.metrics()[-1]["step"] == 2 and stopped.checkpoint_path.exists()
    resumed = hs.resume(stopped.folder, progress=False)
    ours, theirs = (hs.Embedder.load(run.model_path).state_dict() for run in (resumed, whole))
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())


def interrupt(*_, **__):
    raise KeyboardInterrupt


def first_steps(stop):
    from horosphere.data import training_batches

    return lambda *arguments, **options: training_batches(*arguments, **(options | {"stop": stop}))


def test_batch_norms_that_would_see_chunks_are_refused(tmp_path):
    config = tiny.config(
        model={"encoder": "test_resnet", "encoder_options": {}}, data={"size": 32, "resize": 32}, batch={"chunk": 4}
    )
    with pytest.raises(InputError, match=r"batch\.chunk .* batch norms"):
        hs.train(config, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    # Frozen ones normalise each image by itself.
    frozen = dataclasses.replace(config, model=dataclasses.replace(config.model, freeze="all"))
    assert hs.train(frozen, tmp_path / "run", progress=False).finished
