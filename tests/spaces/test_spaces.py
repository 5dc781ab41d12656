import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere, from_description

SPACES = {
    "sphere": lambda: Sphere(),
    "euclidean": lambda: Euclidean(),
    "hyperbolic": lambda: Hyperbolic(),
    "mixed": lambda: Mixed([Sphere(), Hyperbolic(0.1), Hyperbolic(1.0), Euclidean()], [1.0, 3.0, 0.5, 0.1]),
    "sliced": lambda: Mixed([Sphere(), Hyperbolic()], [2.0, 1.0], slices=[(0, 3), (2, 8)]),
}


@pytest.fixture(params=SPACES)
def space(request):
    return SPACES[request.param]()


@given(st.integers(0, 10_000), st.sampled_from(sorted(SPACES)))
@settings(max_examples=40, deadline=None)
def test_laws_of_every_space(seed, name):
    space = SPACES[name]()
    generator = torch.Generator().manual_seed(seed)
    x = space(torch.randn(9, 8, generator=generator, dtype=torch.float64))
    y = space(torch.randn(7, 8, generator=generator, dtype=torch.float64))
    assert x.shape == (9, space.dim(8))
    space.check(x)
    d = space.pairwise(x, y)
    torch.testing.assert_close(d, space.distance(x[:, None], y[None]), atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(d, space.pairwise(y, x).T)
    same = space.pairwise(x)
    assert (same.diagonal() == 0).all() and (space.distance(x, x) == 0).all()
    torch.testing.assert_close(same, same.T)
    if name != "mixed" and name != "sphere" and name != "sliced":
        assert (same[:, None, :] <= same[:, :, None] + same[None] + 1e-9).all()


def test_the_root_of_the_spheres_distance_is_a_metric():
    d = Sphere().pairwise(Sphere()(torch.randn(20, 4, dtype=torch.float64))).sqrt()
    assert (d[:, None, :] <= d[:, :, None] + d[None] + 1e-9).all()


def test_gradients_of_every_space(space):
    x, y = (
        torch.randn(4, 8, dtype=torch.float64, requires_grad=True),
        torch.randn(3, 8, dtype=torch.float64, requires_grad=True),
    )
    assert torch.autograd.gradcheck(lambda a, b: space.pairwise(space(a), space(b)), (x, y))
    assert torch.autograd.gradcheck(lambda a: space.pairwise(space(a)), (x,))
    assert torch.autograd.gradcheck(lambda a, b: space.distance(space(a)[:3], space(b)), (x, y))


def test_gradients_are_finite_at_coincidence_and_zero(space):
    features = torch.randn(1, 8).repeat(4, 1)
    features = torch.cat([features, torch.zeros(2, 8)]).requires_grad_()
    points = space(features)
    (space.pairwise(points).sum() + space.distance(points[:3], points[3:]).sum()).backward()
    assert torch.isfinite(features.grad).all()


def test_float32_matches_float64(space):
    x = space(torch.randn(50, 8))
    exact = space.pairwise(x.double())
    off = ~torch.eye(50, dtype=torch.bool) & (exact > 0.3)
    torch.testing.assert_close(space.pairwise(x).double()[off], exact[off], rtol=5e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["sphere", "euclidean", "hyperbolic"])
def test_lift_ranks_as_distance(name):
    space = SPACES[name]()
    x = space(torch.randn(40, 8, dtype=torch.float64))
    queries, keys = space.lift(x)
    assert torch.equal((queries @ keys.T).argsort(1, descending=True)[:, :10], space.pairwise(x).argsort(1)[:, :10])


def test_lift_of_mixtures():
    spheres = Mixed([Sphere(), Sphere()], [1.0, 2.0], slices=[(0, 4), (4, 8)])
    x = spheres(torch.randn(20, 8, dtype=torch.float64))
    queries, keys = spheres.lift(x)
    torch.testing.assert_close(2 * 3.0 - 2 * queries @ keys.T, spheres.pairwise(x))
    with pytest.raises(ValueError, match="no exact lift"):
        SPACES["mixed"]().lift(SPACES["mixed"]()(torch.randn(3, 8)))


def test_weight_zero_is_the_other_part_to_the_bit():
    features = torch.randn(30, 8, requires_grad=True)
    mixed, sphere = Mixed([Sphere(), Hyperbolic()], [1.0, 0.0]), Sphere()
    ours, theirs = mixed.pairwise(mixed(features)), sphere.pairwise(sphere(features))
    assert torch.equal(ours, theirs)
    weights = torch.randn(30, 30)
    (mine,) = torch.autograd.grad((ours * weights).sum(), features)
    (other,) = torch.autograd.grad((theirs * weights).sum(), features)
    assert torch.equal(mine, other)


def test_mixed_is_the_weighted_sum_of_its_parts():
    space = SPACES["mixed"]()
    x = space(torch.randn(10, 8))
    own = space.split(x)
    expected = sum(w * part.pairwise(p) for w, part, p in zip(space.weights, space.parts, own, strict=True))
    torch.testing.assert_close(space.pairwise(x), expected)
    assert space.names == ["sphere", "hyperbolic1", "hyperbolic2", "euclidean"]


def test_parts_may_have_features_of_their_own():
    space = Mixed([Sphere(), Hyperbolic()])
    a, b = torch.randn(5, 8), torch.randn(5, 8)
    points = space([a, b])
    torch.testing.assert_close(points, torch.cat([Sphere()(a), Hyperbolic()(b)], 1))
    with pytest.raises(ValueError, match="3 tensors"):
        space([a, b, a])


def test_learned_weights_keep_their_sum_and_get_gradients():
    space = Mixed([Sphere(), Hyperbolic(learnable_curvature=True)], [1.0, 3.0], learnable_weights=True).double()
    assert space.weights == pytest.approx([1.0, 3.0])
    space.pairwise(space(torch.randn(6, 4, dtype=torch.float64))).sum().backward()
    assert space.log_weights.grad.abs().min() > 0
    assert space.parts[1].log_curvature.grad.abs() > 0
    with torch.no_grad():
        space.log_weights += torch.tensor([1.0, -0.5])
    assert sum(space.weights) == pytest.approx(4.0)


def test_description_makes_the_same_space(space):
    copy = from_description(json.loads(json.dumps(space.describe())))
    x = torch.randn(10, 8)
    assert torch.equal(copy(x), space(x))
    assert torch.equal(copy.pairwise(copy(x)), space.pairwise(space(x)))


def test_radius():
    x = torch.randn(5, 8)
    torch.testing.assert_close(Hyperbolic(clip=None).radius(x), Hyperbolic(clip=None).distance(x, torch.zeros(8)))
    torch.testing.assert_close(Euclidean().radius(x), x.norm(dim=1))
    mixed = Mixed([Sphere(), Hyperbolic()], [1.0, 3.0])
    torch.testing.assert_close(mixed.radius(mixed(x)), 3 * Hyperbolic().radius(Hyperbolic()(x)))
    for without in (Sphere(), Mixed([Sphere(), Sphere()])):
        assert not without.has_origin
        with pytest.raises(ValueError, match="origin"):
            without.radius(torch.randn(3, 4))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Mixed([]), "at least one part"),
        (lambda: Mixed([Sphere(), Mixed([Sphere()])]), "itself a mixture"),
        (lambda: Mixed([Sphere()], [1.0, 2.0]), "1 parts but 2 weights"),
        (lambda: Mixed([Sphere(), Sphere()], [0.0, 0.0]), "one above"),
        (lambda: Mixed([Sphere(), Sphere()], [1.0, -1.0]), "at least 0"),
        (lambda: Mixed([Sphere(), Hyperbolic()], [1.0, 0.0], learnable_weights=True), "start above 0"),
        (lambda: Mixed([Sphere(), Sphere()], slices=[(0, 4)]), "2 parts but 1 slices"),
        (lambda: Mixed([Sphere()], slices=[(0, 9)])(torch.randn(2, 8)), "need 9 columns"),
        (lambda: Mixed([Sphere(), Sphere()]).pairwise(torch.randn(2, 7)), "multiple of 2"),
        (lambda: Sphere().check(torch.randn(4, 8) * 3), "place them first"),
        (lambda: Mixed([Sphere(), Sphere()]).check(torch.randn(4, 8) * 3), "part 'sphere1'"),
        (lambda: from_description({"kind": "torus"}), "unknown kind"),
        (lambda: from_description({"kind": "sphere", "radius": 1}), "cannot make a sphere"),
    ],
)
def test_mistakes_teach(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@given(st.integers(0, 10_000), st.sampled_from(["sphere", "euclidean", "hyperbolic", "mixed", "sliced"]))
@settings(max_examples=30, deadline=None)
def test_centroids_of_every_space(seed, name):
    space, generator = SPACES[name](), torch.Generator().manual_seed(seed)
    x = space(torch.randn(30, 8, generator=generator, dtype=torch.float64))
    owner = torch.randint(4, (30,), generator=generator)
    found = space.centroids(x, owner, 5)
    assert found.shape == (5, x.shape[1]) and found.dtype == x.dtype and (found[4] == 0).all()
    space.check(found)
    order = torch.randperm(30, generator=generator)
    torch.testing.assert_close(space.centroids(x[order], owner[order], 5), found)
    one = space.centroids(x[:1].repeat(3, 1), torch.zeros(3, dtype=torch.int64), 1)
    torch.testing.assert_close(one, x[:1])
    for dtype in (torch.float16, torch.float32):
        rough = space.centroids(x.to(dtype), owner, 5)
        assert rough.dtype == torch.float32
        torch.testing.assert_close(rough.double(), found, atol=2e-3 if dtype == torch.float16 else 1e-6, rtol=0)


@pytest.mark.parametrize(("curvature", "norm"), [(1.0, 0.3), (0.1, 2.0), (1.0, 2.0), (1e-6, 1.0)])
def test_the_balls_centroid_is_einsteins_midpoint_and_minimises_the_sum_of_cosh(curvature, norm):
    space = Hyperbolic(curvature, None)
    x = norm * torch.randn(12, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) / 5**0.5
    owner = torch.zeros(12, dtype=torch.int64)
    found = space.centroids(x, owner, 1)
    klein = space.to_klein(x)
    gamma = (1 - curvature * klein.square().sum(1, keepdim=True)).rsqrt()
    torch.testing.assert_close(found[0], space.from_klein((gamma * klein).sum(0) / gamma.sum()), rtol=1e-6, atol=1e-9)

    def cost(point):
        return (curvature**0.5 * space.distance(point, x)).cosh().sum()

    point = found[0].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(cost(point), point)
    assert gradient.norm() < 1e-7 * cost(point)
    torch.testing.assert_close(space.centroids(x[:2], owner[:2], 1)[0], space.midpoint(x[0], x[1]), rtol=1e-6, atol=1e-9)


def test_the_balls_centroid_keeps_its_radius_far_out():
    space, owner = Hyperbolic(1.0, None), torch.zeros(2, dtype=torch.int64)
    far = torch.tensor([[40.0, 0.0], [40.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(space.centroids(far, owner, 1), far[:1])
    # The middle of a geodesic whose ends are at right angles, as they go to infinity.
    found = space.centroids(torch.tensor([[40.0, 0.0], [0.0, 40.0]], dtype=torch.float64), owner, 1)
    torch.testing.assert_close(space.radius(found)[0], torch.tensor(1.0, dtype=torch.float64).asinh())
    assert (space.centroids(torch.zeros(2, 3), owner, 1) == 0).all()
