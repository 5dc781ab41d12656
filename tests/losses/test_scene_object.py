import numpy as np
import pytest
import torch

from horosphere.losses.scene_object import Queue, SceneObjectContrast, accuracy, ball_gradient, contrast
from horosphere.models import Projection
from horosphere.spaces import Hyperbolic, Sphere
from horosphere.spaces.poincare import mobius_add

BALL = Hyperbolic(0.05, clip=None)


def ball_distance(x, y, c):
    """The paper's formula, of points in the ball, without any of the package's distances: (n, m)."""
    apart = mobius_add(-x[:, None].expand(-1, len(y), -1), y[None].expand(len(x), -1, -1), c)
    return 2 / c**0.5 * torch.atanh(c**0.5 * apart.norm(dim=-1))


def cross_entropy(positive, negatives):
    logits = torch.cat([positive[:, None], negatives], 1)
    return torch.nn.functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))


@pytest.fixture
def draw():
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("dense_share", [0.0, 0.5])
def test_both_losses_as_the_papers_write_them(draw, dense_share):
    n, s, dim, width, c, tau = 6, 4, 5, 7, 0.05, 0.2
    loss = SceneObjectContrast(BALL, dim, queue=9, weight=0.1, dense_share=dense_share).double()
    queries, keys = ([Projection(draw(n, dim), draw(n, s, dim), draw(n, s, width)) for _ in range(3)] for _ in "qk")
    older = [Projection(draw(9, dim), draw(9, s, dim), draw(9, s, width)) for _ in range(3)]
    loss.push(loss.new_keys(older))
    found = loss(queries, keys)

    def unit(x):
        return x / x.norm(dim=-1, keepdim=True)

    pairs, dense = [(0, 1), (1, 0)], []
    euclidean = [
        cross_entropy(
            (unit(queries[a].points) * unit(keys[b].points)).sum(1) / tau,
            unit(queries[a].points) @ unit(older[b].points).T / tau,
        )
        for a, b in pairs
    ]
    for a, b in pairs:
        alike = torch.einsum("nsw,ntw->nst", unit(queries[a].grid), unit(keys[b].grid)).argmax(2)
        matched = torch.stack([keys[b].dense[i, alike[i]] for i in range(n)])
        places, negatives = unit(queries[a].dense).flatten(0, 1), unit(older[b].dense.mean(1))
        positive = (places * unit(matched).flatten(0, 1)).sum(1)
        dense.append(cross_entropy(positive / tau, places @ negatives.T / tau))
    ball = [BALL.to_poincare(x.points) for x in (queries[2], keys[2], older[2])]
    own = ball_distance(ball[0], ball[1], c).diagonal()
    hyperbolic = cross_entropy(-own / tau, -ball_distance(ball[0], ball[2], c) / tau)
    torch.testing.assert_close(found["euclidean"], sum(euclidean) / 2, rtol=1e-9, atol=0)
    torch.testing.assert_close(found["hyperbolic"], hyperbolic, rtol=1e-8, atol=0)
    expected = (1 - dense_share) * sum(euclidean) / 2 + dense_share * sum(dense) / 2 + 0.1 * hyperbolic
    torch.testing.assert_close(found["loss"], expected, rtol=1e-8, atol=0)
    assert ("dense" in found) == (dense_share > 0)


@pytest.mark.parametrize("space", [Sphere(), BALL, Hyperbolic(0.05, clip=1.5)])
@pytest.mark.parametrize("size", [1, 300])
def test_contrast_equals_its_reference_and_so_does_its_gradient(draw, space, size):
    features, keys, queue = draw(7, 5).requires_grad_(), space(draw(7, 5)), space(draw(size, 5))
    points = space(features)
    found = contrast(space, points, keys, queue, 0.3)
    logits = -torch.cat([space.distance(points, keys)[:, None], space.pairwise(points, queue)], 1) / 0.3
    expected = -logits.log_softmax(1)[:, 0]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    weights = torch.arange(1.0, 8.0, dtype=torch.float64)
    gradients = [torch.autograd.grad(value @ weights, features, retain_graph=True)[0] for value in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-10)


def test_an_empty_queue_teaches_nothing(draw):
    queries = draw(3, 4).requires_grad_()
    rows = contrast(BALL, queries, draw(3, 4), draw(0, 4), 0.2)
    rows.sum().backward()
    assert not rows.any() and not queries.grad.any()


def test_accuracy_counts_the_queries_whose_own_key_is_nearest():
    queries = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, -1.0]])
    keys = torch.tensor([[0.1, 1.0], [0.0, 1.0], [0.0, -1.0]])
    queue = torch.tensor([[1.0, 0.1], [0.2, 1.2]])
    assert accuracy(BALL, queries, keys, queue) == pytest.approx(2 / 3)
    assert accuracy(BALL, queries, keys, queue[:0]) == 1


@pytest.mark.parametrize("directions", [True, False])
def test_the_gradient_is_the_published_one_in_the_ball(draw, directions):
    """Finite differences of what is published: a step at the ball's point, through exp0 or through the norm alone."""
    c, keys, queue = 0.05, draw(4, 3), draw(8, 3)
    v = (3 * draw(4, 3)).requires_grad_()
    contrast(BALL, ball_gradient(v, c, directions=directions), keys, queue, 0.2).sum().backward()

    def in_ball(x):  # the loss as a function of points in the ball
        return contrast(BALL, BALL.from_poincare(x), keys, queue, 0.2).sum()

    def difference(f, at, step=1e-6):
        gradient = torch.zeros_like(at)
        for i in np.ndindex(*at.shape):
            moved = torch.zeros_like(at)
            moved[i] = step
            gradient[i] = (f(at + moved) - f(at - moved)) / (2 * step)
        return gradient

    start = v.detach()
    ball = BALL.to_poincare(start)
    scaled = difference(in_ball, ball) * (1 - c * ball.square().sum(1, keepdim=True)) ** 2 / 4

    def along(w):  # a function of v whose gradient is J(v)ᵀ scaled
        kept = w if directions else start / start.norm(dim=1, keepdim=True) * w.norm(dim=1, keepdim=True)
        return (BALL.to_poincare(kept) * scaled).sum()

    torch.testing.assert_close(v.grad, difference(along, start), rtol=1e-5, atol=1e-8)
    turned = v.grad - start * (v.grad * start).sum(1, keepdim=True) / start.square().sum(1, keepdim=True)
    assert (turned.norm(dim=1) > 1e-3 * v.grad.norm(dim=1)).all() == directions


def test_points_pass_ball_gradient_unchanged_at_the_origin_and_far_out():
    v = torch.tensor([[0.0, 0.0], [3.0, 4.0], [300.0, 400.0]], requires_grad=True)
    for directions in (True, False):
        points = ball_gradient(v, 0.05, directions=directions)
        assert torch.equal(points, v)
        (gradient,) = torch.autograd.grad(points.sum(), v)
        assert torch.isfinite(gradient).all()


def test_a_queue_fills_then_forgets_the_oldest():
    queue, shown = Queue(7, 1), []
    for start in range(0, 30, 3):
        queue.push(torch.arange(start, start + 3.0)[:, None])
        shown += range(start, start + 3)
        assert sorted(queue.keys.squeeze(1).tolist()) == shown[-7:]
        assert queue.fill == min(1, len(shown) / 7)
    with pytest.raises(ValueError, match="larger"):
        queue.push(torch.zeros(8, 1))


def test_a_queue_goes_on_from_its_state():
    queue, twin = Queue(5, 2), Queue(5, 2)
    for _ in range(2):
        queue.push(torch.randn(3, 2))
    twin.load_state_dict(queue.state_dict())
    new = torch.randn(2, 2)
    queue.push(new)
    twin.push(new)
    assert torch.equal(queue.keys, twin.keys) and queue.count == twin.count == 8


@pytest.mark.parametrize("gradient", ["coupled", "decoupled"])
def test_queries_find_their_keys(draw, gradient):
    """Objects by their direction; scenes too, or where directions stand still only as near as their norms can bring them."""
    loss = SceneObjectContrast(BALL, 4, queue=40, weight=1.0, gradient=gradient).double()
    keys = [Projection(2 * draw(8, 4)) for _ in range(3)]
    loss.push(loss.new_keys([Projection(2 * draw(40, 4)) for _ in range(3)]))
    features = [draw(8, 4).requires_grad_() for _ in range(3)]
    directions = Sphere()(features[2].detach())
    optimiser = torch.optim.SGD(features, lr=1.0)  # Adam would turn a gradient along the norm
    found = []
    for _ in range(400):
        terms = loss([Projection(points) for points in features], keys)
        optimiser.zero_grad()
        terms["loss"].backward()
        optimiser.step()
        found.append({name: value.item() for name, value in terms.items()})
    told = loss.accuracy([Projection(points) for points in features], keys)
    assert told["euclidean"] == 1 and found[-1]["euclidean"] < 0.5 * found[0]["euclidean"]
    if gradient == "coupled":
        assert told["hyperbolic"] == 1 and found[-1]["hyperbolic"] < 0.2 * found[0]["hyperbolic"]
    else:
        assert found[-1]["hyperbolic"] < 0.9 * found[0]["hyperbolic"]
    alike = (directions * Sphere()(features[2].detach())).sum(1)
    assert (alike > 1 - 1e-6).all() == (gradient == "decoupled")


def test_weight_zero_is_momentum_contrast_alone(draw):
    plain = SceneObjectContrast(BALL, 4, queue=6, weight=0)
    queries, keys = ([Projection(draw(3, 4)) for _ in range(2)] for _ in "qk")
    assert set(plain(queries, keys)) == {"loss", "euclidean"}
    assert set(plain.queues) == set(plain.new_keys(keys)) == {"first", "second"}


@pytest.mark.parametrize(
    "options",
    [{"temperature": 0}, {"hyperbolic_temperature": -1}, {"weight": -0.1}, {"dense_share": 1.5}, {"gradient": "free"}],
)
def test_options_outside_their_range_are_refused(options):
    with pytest.raises(ValueError, match="expected"):
        SceneObjectContrast(BALL, 4, **options)
