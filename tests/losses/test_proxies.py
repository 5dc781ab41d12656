import math

import pytest
import torch

from horosphere.losses import Proxies, ProxyAnchor, SoftTriple
from horosphere.losses.soft_triple import _squared
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

from . import proxies as restated
from .proxies import SPACES, diameter, problem


def make(kind, name, dtype=torch.float32, **options):
    torch.manual_seed(1)
    space = SPACES[name]()
    if kind is SoftTriple:
        options = {"centres": 3} | options
    return space, kind(space, 5, dim=6, diameter=diameter(name), **options).to(dtype)


def restate(loss):
    return restated.soft_triple if isinstance(loss, SoftTriple) else restated.proxy_anchor


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize(
    ("kind", "options"), [(SoftTriple, {"merging": 0.0}), (SoftTriple, {"centres": 1}), (ProxyAnchor, {})]
)
def test_losses_and_gradients_equal_the_formula(name, kind, options):
    space, loss = make(kind, name, **options)
    points, labels = problem(space)
    points.requires_grad_()
    value = loss(points, labels)
    exact = restate(loss)(loss, points, labels, diameter(name))
    torch.testing.assert_close(value.double(), exact, rtol=1e-5, atol=1e-6)
    inputs = [points, *loss.proxies.parameters()]
    for ours, theirs in zip(*(torch.autograd.grad(v, inputs) for v in (value, exact)), strict=True):
        if inputs[0] is points and space.name == "sphere":
            # Off the sphere the gradient depends on the form of the distance: compare along it.
            ours, theirs = (
                g - (g * points).sum(1, keepdim=True) * points if g.shape == points.shape else g for g in (ours, theirs)
            )
        assert (ours - theirs).norm() <= 1e-4 * theirs.norm()


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("kind", [SoftTriple, ProxyAnchor])
def test_gradients(name, kind):
    space, loss = make(kind, name, torch.float64)
    features = torch.randn(7, 6, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 4, 2, 2, 0, 1, 4])
    assert torch.autograd.gradcheck(lambda f, *_: loss(space(f), labels), (features, *loss.proxies.parameters()))


@pytest.mark.parametrize(("kind", "options"), [(SoftTriple, {"merging": 0.0}), (ProxyAnchor, {})])
def test_the_gradient_reaches_a_learned_curvature_and_weights(kind, options):
    torch.manual_seed(0)
    parts = [Sphere(), Hyperbolic(0.3, learnable_curvature=True)]
    space = Mixed(parts, [1.0, 2.0], learnable_weights=True).double()
    loss = kind(space, 5, dim=4, **options).double()
    features, labels = torch.randn(7, 4, dtype=torch.float64), torch.tensor([0, 4, 2, 2, 0, 1, 4])
    parameters = tuple(space.parameters())
    assert len(parameters) == 2
    assert torch.autograd.gradcheck(lambda *_: loss(space(features), labels), parameters)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("kind", [SoftTriple, ProxyAnchor])
def test_shares_of_the_anchors_add_up(name, kind):
    space, loss = make(kind, name, torch.float64)
    points, labels = problem(space, dtype=torch.float64)
    points.requires_grad_()
    inputs = [points, *loss.proxies.parameters()]
    whole = loss(points, labels)
    shares = [loss(points, labels, slice(a, b)) for a, b in ((0, 4), (4, 4), (4, 11), (11, 13))]
    torch.testing.assert_close(sum(shares), whole)
    expected = torch.autograd.grad(whole, inputs)
    for ours, theirs in zip(torch.autograd.grad(sum(shares), inputs), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("kind", [SoftTriple, ProxyAnchor])
def test_coincident_opposite_clipped_and_zero_stay_finite(name, kind):
    space, loss = make(kind, name)
    for raw in loss.proxies.raw:
        for start in (torch.zeros_like(raw), torch.ones_like(raw), 1e4 * torch.randn_like(raw)):
            with torch.no_grad():
                raw.copy_(start)
            rows = loss.proxies().detach()
            for points in (rows, rows.flip(0), space(-torch.ones(len(rows), 6)), space(torch.zeros(len(rows), 6))):
                loss.zero_grad()
                points = points.clone().requires_grad_()
                value = loss(points, torch.arange(len(rows)) // loss.centres)
                value.backward()
                gradients = [points.grad, *(p.grad for p in loss.proxies.parameters())]
                assert value.isfinite() and all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("name", ["sphere", "ball", "mixed"])
@pytest.mark.parametrize("kind", [SoftTriple, ProxyAnchor])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(name, kind, dtype):
    space, loss = make(kind, name)
    points, labels = problem(space)
    rounded = points.to(dtype).requires_grad_()
    value = loss(rounded, labels)
    value.backward()
    assert value.dtype == torch.float32 and rounded.grad.dtype == dtype
    torch.testing.assert_close(value, loss(rounded.detach().float(), labels))


def test_merging_is_the_published_sum():
    space, loss = make(SoftTriple, "sphere", torch.float64)
    w = loss.proxies().view(5, 3, -1)
    pairs = [(2 - 2 * w[c, j] @ w[c, k] + 1e-5).sqrt() for c in range(5) for j in range(3) for k in range(j + 1, 3)]
    torch.testing.assert_close(loss._merging(loss.proxies()), 0.2 / (5 * 3 * 2) * sum(pairs))
    points, labels = problem(space, dtype=torch.float64)
    without = make(SoftTriple, "sphere", torch.float64, merging=0.0)[1]
    torch.testing.assert_close(loss(points, labels) - without(points, labels), loss._merging(loss.proxies()))


@pytest.mark.parametrize("clip", [2.3, 4.0])
def test_merging_in_the_ball_is_the_distance_over_twice_the_clip(clip):
    space = Hyperbolic(1.0, clip)
    loss = SoftTriple(space, 5, 3, 6).double()
    w = loss.proxies().view(5, 3, -1)
    pairs = [space.distance(w[c, j], w[c, k]) ** 2 / (2 * clip) ** 2 for c in range(5) for j, k in ((0, 1), (0, 2), (1, 2))]
    torch.testing.assert_close(loss._merging(loss.proxies()), 0.2 / 30 * sum((p + 1e-5).sqrt() for p in pairs))


def test_squared_distances_of_a_mixture_are_its_parts_by_their_shares():
    sphere, ball = Sphere(), Hyperbolic()
    space = Mixed([sphere, ball], [2.0, 1.0])
    groups = space(torch.randn(4, 3, 5, dtype=torch.float64))
    own, theirs = space.split(groups)
    share = 8 / (8 + 9.2)
    expected = share * _squared(sphere, own, 4.0) + (1 - share) * _squared(ball, theirs, 9.2)
    torch.testing.assert_close(_squared(space, groups, space.diameter), expected)
    alone = Mixed([sphere, ball], [2.0, 0.0])
    torch.testing.assert_close(_squared(alone, groups, alone.diameter), _squared(sphere, own, 4.0))


def test_merging_falls_as_the_proxies_of_a_class_meet():
    _, loss = make(SoftTriple, "ball")
    far = loss._merging(loss.proxies())
    with torch.no_grad():
        loss.proxies.raw[0].copy_(torch.randn(5, 1, 6).expand(5, 3, 6).reshape(15, 6))
    assert math.isclose(loss._merging(loss.proxies()).item(), 0.1 * 1e-5**0.5, rel_tol=1e-3) and far.item() > 0.02


def test_a_mixture_has_proxies_of_its_own_in_each_part():
    space = Mixed([Sphere(), Hyperbolic(0.1, 2.3)], [1.0, 0.0])
    proxies = Proxies(space, 7, 4)
    assert [raw.shape for raw in proxies.raw] == [(7, 4), (7, 4)]
    assert [raw.requires_grad for raw in proxies.raw] == [True, False]
    points = proxies()
    space.check(points)
    torch.testing.assert_close(space.parts[1].radius(space.split(points)[1]), torch.full((7,), 2.3))
    assert Proxies(Mixed([Sphere(), Sphere()], slices=[(0, 2), (2, 4)]), 7, 4)().shape == (7, 4)


def test_proxies_train_fast_and_do_not_decay():
    (group,) = SoftTriple(Mixed([Sphere(), Hyperbolic()]), 3, 2, 4).parameter_groups()
    assert (group["rate"], group["weight_decay"], len(group["params"])) == (100.0, 0.0, 2)
    assert ProxyAnchor(Sphere(), 3, 4, rate=7.0).parameter_groups()[0]["rate"] == 7.0


def test_training_pulls_images_and_proxies_together():
    torch.manual_seed(0)
    for kind in (SoftTriple, ProxyAnchor):
        space = Hyperbolic()
        loss = kind(space, 4, dim=8)
        features = torch.randn(20, 8, requires_grad=True)
        labels = torch.arange(20) % 4
        optimiser = torch.optim.Adam([features, *loss.proxies.parameters()], lr=0.1)
        for _ in range(60):
            optimiser.zero_grad()
            loss(space(features), labels).backward()
            optimiser.step()
        distances = space.pairwise(space(features), loss.proxies()).view(20, 4, -1).amin(2)
        assert (distances.argmin(1) == labels).all()


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: SoftTriple(Sphere(), 1), "classes=1.*tells classes apart"),
        (lambda: SoftTriple(Sphere(), 5, 0), "centres=0.*one proxy a class"),
        (lambda: SoftTriple(Sphere(), 5, gamma=0.0), "gamma=0.0.*positive temperature"),
        (lambda: SoftTriple(Sphere(), 5, scale=-1.0), "scale=-1.0.*positive"),
        (lambda: SoftTriple(Sphere(), 5, merging=-1.0), "merging=-1.0"),
        (lambda: ProxyAnchor(Sphere(), 5, margin=-1.0), "margin=-1.0"),
        (lambda: ProxyAnchor(Sphere(), 5, rate=0.0), "rate=0.0"),
        (lambda: SoftTriple(Euclidean(), 5), "no bound.*diameter="),
        (lambda: ProxyAnchor(Hyperbolic(clip=None), 5), "no bound.*diameter="),
        (lambda: SoftTriple(Euclidean(), 5, diameter=0.0), "diameter=0.0"),
        (lambda: SoftTriple(Sphere(), 5)(torch.eye(128), torch.arange(128)), "labels from 0 to 127.*expected 0 to 4"),
        (lambda: SoftTriple(Sphere(), 5)(torch.eye(4), torch.arange(4)), "proxies have 128 columns, the points 4.*dim="),
        (lambda: SoftTriple(Sphere(), 5, dim=4)(torch.eye(4), torch.arange(3)), "expected points"),
        (lambda: SoftTriple(Sphere(), 5, dim=4)(7 * torch.eye(4), torch.arange(4)), "features.*space\\(features\\)"),
    ],
)
def test_bad_input_says_what_to_change(call, what):
    with pytest.raises(ValueError, match=what):
        call()
