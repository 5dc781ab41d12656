import geoopt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from horosphere.spaces import Hyperbolic
from horosphere.spaces.poincare import conformal_factor

from .reference import exp0, half_angle, hyperbolic_distance

CURVATURES = [0.01, 0.1, 1.0]


def points(space, n, d=8, seed=0, dtype=torch.float32, spread=1.0):
    return space(torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype) * spread)


@pytest.mark.parametrize("c", CURVATURES)
def test_distances_agree_with_the_papers_formula_and_with_geoopt(c):
    space = Hyperbolic(c, clip=2.3)
    x, y = points(space, 40, dtype=torch.float64), points(space, 30, seed=1, dtype=torch.float64)
    expected = hyperbolic_distance(x, y, c)
    torch.testing.assert_close(space.pairwise(x, y), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(space.distance(x[:, None], y[None]), expected, rtol=1e-9, atol=1e-9)
    ball = geoopt.PoincareBallExact(c=torch.tensor(c, dtype=torch.float64))
    torch.testing.assert_close(
        space.pairwise(x, y), ball.dist(space.to_poincare(x)[:, None], space.to_poincare(y)[None]), rtol=1e-9, atol=1e-9
    )
    torch.testing.assert_close(space.to_poincare(x), exp0(x, c))


@pytest.mark.parametrize(("c", "clip"), [(0.1, 2.3), (1.0, 4.0), (16.0, 1.0), (0.01, 2.3), (0.1, 0.01)])
def test_gram_path_bound_in_float32(c, clip):
    """docs/methods.md, error bounds: relative 5e-5 at worst where h >= 1e-2 and √c r <= 4."""
    space = Hyperbolic(c, clip)
    x = points(space, 200, d=16, spread=clip / 4)
    exact, apart = space.distance(x.double()[:, None], x.double()[None]), half_angle(x, x) >= 1e-2
    relative = ((space.pairwise(x).double() - exact) / exact)[apart].abs()
    assert relative.max() < 5e-5
    assert relative.median() < 1e-6
    # Where it is hardest: h just above the bound, norms that differ and norms at the clip.
    u = torch.randn(200, 16, dtype=torch.float64)
    u, across = u / u.norm(dim=1, keepdim=True), torch.randn(200, 16, dtype=torch.float64)
    across -= (across * u).sum(1, keepdim=True) * u
    angle = 2 * torch.tensor(0.0101, dtype=torch.float64).sqrt().asin()
    v = angle.cos() * u + angle.sin() * across / across.norm(dim=1, keepdim=True)
    near = (u * clip * torch.rand(200, 1).clamp_min(0.1)).float(), (v * clip).float()
    exact = space.distance(*(points.double() for points in near))
    assert ((space.pairwise(*near).diagonal().double() - exact) / exact).abs().max() < 5e-5


@pytest.mark.parametrize("c", [1e-4, *CURVATURES, 4.0])
@given(st.integers(0, 10_000), st.sampled_from([0.0, 1e-7, 1e-4, 1e-2, 1.0]))
@settings(max_examples=20, deadline=None)
def test_difference_path_bound_in_float32(c, seed, step):
    """docs/methods.md, error bounds: 1e-6/√c + 1e-6 D everywhere, coincidence included, and finite gradients."""
    space = Hyperbolic(c)
    x = points(space, 8, seed=seed).requires_grad_()
    y = space(x.detach() + step * points(space, 8, seed=seed + 1)).requires_grad_()
    distances = space.distance(x, y)
    exact = space.distance(x.detach().double(), y.detach().double())
    assert ((distances.double() - exact).abs() <= 1e-6 / c**0.5 + 1e-6 * exact).all()
    distances.sum().backward()
    assert torch.isfinite(x.grad).all() and torch.isfinite(y.grad).all()
    # The distance of a unit-speed coordinate: no gradient is steeper than the metric allows at the clip.
    assert space.distance(x, x).abs().max() == 0


def test_near_coincident_points_through_the_gram_matrix():
    space = Hyperbolic(0.1, 2.3)
    x = points(space, 50, spread=5.0)
    near = space(torch.cat([x, x, x + 1e-4 * torch.randn_like(x), x + 1e-7 * torch.randn_like(x)])).requires_grad_()
    distances = space.pairwise(near)
    exact = space.distance(near.detach().double()[:, None], near.detach().double()[None])
    assert (distances.double() - exact).abs().max() < 1e-2
    assert distances.diagonal().abs().max() == 0
    distances.sum().backward()
    assert torch.isfinite(near.grad).all()


def test_curvature_to_zero_gives_twice_the_euclidean_distance():
    space = Hyperbolic(1e-8)
    x = points(space, 100, d=16)
    straight, apart = 2 * torch.cdist(x.double(), x.double()), half_angle(x, x) >= 1e-2
    assert ((space.pairwise(x) - straight) / straight)[apart].abs().max() < 1e-5
    x.requires_grad_()
    space.pairwise(x).sum().backward()
    y = x.detach().double().requires_grad_()
    (2 * (y[:, None] - y[None] + torch.eye(100)[..., None] * 1e-30).norm(dim=-1)).sum().backward()
    assert (x.grad - y.grad).norm() / y.grad.norm() < 1e-4


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("learnable", [False, True])
def test_gradients_against_finite_differences(c, learnable):
    space = Hyperbolic(c, clip=1.5, learnable_curvature=learnable).double()
    x, y = points(space, 4, d=3, dtype=torch.float64), points(space, 3, d=3, seed=1, dtype=torch.float64)
    # A point at the clip, a shared direction and the origin.
    x = torch.cat([x, x[:1] / x[:1].norm() * 1.5, x[:1] * 0.5, x.new_zeros(1, 3)])[[0, 1, 4, 5, 6]]
    inputs = [x.requires_grad_(), y.requires_grad_()]
    parameters = [space.log_curvature] if learnable else []

    def check(function):
        def call(*arguments):
            return (
                torch.func.functional_call(_Call(space, function), {"space.log_curvature": arguments[-1]}, arguments[:-1])
                if learnable
                else function(space, *arguments)
            )

        return torch.autograd.gradcheck(call, (*inputs, *parameters), atol=1e-6)

    # The origin has a cone point of its own under a polar map only for its own direction: distances from it are smooth.
    assert check(lambda s, a, b: s.pairwise(a, b))
    assert check(lambda s, a, b: s.distance(a[:, None], b[None]))
    assert check(lambda s, a, b: s.pairwise(b))


class _Call(torch.nn.Module):
    def __init__(self, space, function):
        super().__init__()
        self.space, self.function = space, function

    def forward(self, *arguments):
        return self.function(self.space, *arguments)


@given(st.integers(0, 10_000), st.sampled_from(CURVATURES))
@settings(max_examples=25, deadline=None)
def test_metric_laws(seed, c):
    space = Hyperbolic(c)
    x = points(space, 12, d=5, seed=seed, dtype=torch.float64)
    d = space.pairwise(x)
    torch.testing.assert_close(d, d.T)
    assert (d.diagonal() == 0).all() and (d >= 0).all()
    assert (d[:, None, :] <= d[:, :, None] + d[None] + 1e-9).all()
    assert (d <= 4 * space.clip).all()


@given(st.integers(0, 10_000), st.sampled_from(CURVATURES))
@settings(max_examples=25, deadline=None)
def test_conversions_are_isometries_and_invert(seed, c):
    space = Hyperbolic(c)
    x = points(space, 6, d=5, seed=seed, dtype=torch.float64)
    for to, back in [
        (space.to_poincare, space.from_poincare),
        (space.to_lorentz, space.from_lorentz),
        (space.to_klein, space.from_klein),
    ]:
        torch.testing.assert_close(back(to(x)), x)
    lorentz = space.to_lorentz(x)
    product = lorentz[:, 1:] @ lorentz[:, 1:].T - lorentz[:, :1] @ lorentz[:, :1].T
    torch.testing.assert_close(product.diagonal(), torch.full((6,), -1 / c, dtype=torch.float64))
    torch.testing.assert_close((-c * product).clamp_min(1).acosh() / c**0.5, space.pairwise(x), atol=1e-5, rtol=1e-5)
    klein, ball = space.to_klein(x), space.to_poincare(x)
    torch.testing.assert_close(klein, 2 * ball / (1 + c * ball.square().sum(-1, keepdim=True)))
    queries, keys = space.lift(x)
    torch.testing.assert_close(queries @ keys.T, -(c**0.5 * space.pairwise(x)).cosh())


@given(st.integers(0, 10_000), st.sampled_from(CURVATURES))
@settings(max_examples=25, deadline=None)
def test_maps_at_any_base_point(seed, c):
    space = Hyperbolic(c)
    x, y = points(space, 6, d=5, seed=seed, dtype=torch.float64), points(space, 6, d=5, seed=seed + 1, dtype=torch.float64)
    v = space.logmap(x, y)
    torch.testing.assert_close(space.expmap(x, v), y)
    length = conformal_factor(space.to_poincare(x), c).squeeze(-1) * v.norm(dim=-1)
    torch.testing.assert_close(length, space.distance(x, y))
    ball = geoopt.PoincareBallExact(c=torch.tensor(c, dtype=torch.float64))
    torch.testing.assert_close(v, ball.logmap(space.to_poincare(x), space.to_poincare(y)))
    torch.testing.assert_close(
        space.to_poincare(space.mobius_add(x, y)), ball.mobius_add(space.to_poincare(x), space.to_poincare(y))
    )
    # Left cancellation, and translations are isometries.
    torch.testing.assert_close(space.mobius_add(-x, space.mobius_add(x, y)), y)
    middle = space.midpoint(x, y)
    torch.testing.assert_close(space.distance(x, middle), space.distance(x, y) / 2)
    torch.testing.assert_close(space.distance(middle, y), space.distance(x, y) / 2)


def test_origin_and_coincident_points_under_every_map():
    space = Hyperbolic()
    zero = torch.zeros(2, 3, requires_grad=True)
    out = [space.to_poincare(zero), space.to_lorentz(zero), space.to_klein(zero), space.from_poincare(zero), space(zero)]
    out += [
        space.expmap(zero, zero),
        space.logmap(zero, zero),
        space.midpoint(zero, zero),
        space.pairwise(zero),
        space.distance(zero, zero),
    ]
    sum(o.sum() for o in out).backward()
    assert all(torch.isfinite(o).all() for o in out) and torch.isfinite(zero.grad).all()
    y = torch.randn(2, 3)
    zero.grad = None
    space.distance(zero, y).sum().backward()
    torch.testing.assert_close(zero.grad, -2 * y / y.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("clipping", ["hard", "soft"])
def test_clipping(clipping):
    space = Hyperbolic(clip=2.0, clipping=clipping)
    v = torch.randn(100, 6, dtype=torch.float64) * 3
    n = v.norm(dim=1, keepdim=True)
    expected = v * (2 / n).clamp_max(1) if clipping == "hard" else 2 * (n / 2).tanh() * v / n
    torch.testing.assert_close(space(v), expected)
    assert torch.autograd.gradcheck(space, (v[:5].requires_grad_(),))
    space.check(space(v.float()).half())


def test_large_norms_without_a_clip_stay_finite():
    space = Hyperbolic(1.0, clip=None)
    x = (torch.nn.functional.normalize(torch.randn(20, 8), dim=1) * torch.linspace(1, 21, 20)[:, None]).requires_grad_()
    exact = space.distance(x.detach().double()[:, None], x.detach().double()[None])
    distances = space.pairwise(x)
    torch.testing.assert_close(distances.double(), exact, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(space.distance(x[:, None], x[None]).double(), exact, rtol=1e-4, atol=1e-4)
    distances.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_fixed_radius_is_a_monotone_function_of_cosine():
    space = Hyperbolic(radius=1.0)
    x = space(torch.randn(50, 8, dtype=torch.float64))
    torch.testing.assert_close(x.norm(dim=1), torch.ones(50, dtype=torch.float64))
    off = ~torch.eye(50, dtype=torch.bool)
    order = (x @ x.T)[off].argsort(descending=True)
    assert (space.pairwise(x)[off][order].diff() >= -1e-12).all()


def test_distances_ignore_autocast():
    space = Hyperbolic()
    x = points(space, 64, d=32)
    plain = space.pairwise(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(space.pairwise(x), plain)
        assert space(x.bfloat16()).dtype == torch.float32
        assert space.pairwise(x.bfloat16()).dtype == torch.float32
    torch.set_float32_matmul_precision("medium")
    try:
        assert torch.equal(space.pairwise(x), plain)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_learned_curvature_stays_in_bounds_and_is_described():
    space = Hyperbolic(0.1, learnable_curvature=True, curvature_bounds=(0.01, 1.0))
    assert space.curvature == pytest.approx(0.1)
    with torch.no_grad():
        space.log_curvature.fill_(50.0)
    assert space.curvature == pytest.approx(1.0)
    assert space.describe()["learnable_curvature"]


def test_telemetry_counts_the_clipped():
    space = Hyperbolic(0.1, 2.3)
    told = space.telemetry(space(torch.cat([torch.ones(30, 4) * 5, torch.ones(70, 4) * 0.1])))
    assert told["clip_fraction"] == pytest.approx(0.3)
    assert told["sqrt_c_norm_q95"] == pytest.approx(0.1**0.5 * 2.3, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"curvature": -1}, "positive"),
        ({"clip": 0}, "clip radius"),
        ({"clipping": "firm"}, "'hard' or 'soft'"),
        ({"radius": -1}, "fixed radius"),
        ({"curvature": 20, "learnable_curvature": True}, "curvature_bounds"),
    ],
)
def test_bad_options_teach(options, words):
    with pytest.raises(ValueError, match=words):
        Hyperbolic(**options)


def test_features_do_not_pass_for_points():
    with pytest.raises(ValueError, match="place them first"):
        Hyperbolic().check(torch.randn(10, 128) * 3)
    with pytest.raises(ValueError, match="outside the ball"):
        Hyperbolic(0.1).from_poincare(torch.ones(2, 20))
    with pytest.raises(ValueError, match="NaN"):
        Hyperbolic().check(torch.full((2, 3), torch.nan))


@pytest.mark.parametrize("c", [0.1, 1.0, 3.0])
def test_ancestor_of_points_of_one_norm_is_the_middle_of_their_geodesic(c):
    space = Hyperbolic(c, None)
    x, y = torch.randn(2, 20, 5, dtype=torch.float64)
    norm = 1.3
    points = [norm * v / v.norm(dim=1, keepdim=True) for v in (x, y)]
    expected = space.radius(space.midpoint(*points))
    torch.testing.assert_close(space.ancestor_depth(x, y, norm=norm), expected)
    matrix = space.pairwise_ancestor_depth(x, y, norm=torch.tensor(norm, dtype=torch.float64))
    torch.testing.assert_close(matrix.diagonal(), expected)
    torch.testing.assert_close(space.pairwise_ancestor_depth(x, norm=norm), space.pairwise_ancestor_depth(x, x, norm=norm))
    # sinh(√c d_o) = sinh η_i sinh η_j sqrt(1 − S²)/sinh(√c D) with η the √c-scaled radius.
    root, u, v = c**0.5, *(p / norm for p in points)
    s = (u * v).sum(1)
    sinh = torch.tensor(2 * root * norm, dtype=torch.float64).sinh()
    direct = sinh**2 * (1 - s**2).sqrt() / (root * space.distance(*points)).sinh()
    torch.testing.assert_close((root * expected).sinh(), direct)


def test_ancestors_of_unequal_radii_are_gromov_products():
    space = Hyperbolic(1.0, None)
    x = torch.tensor([[1.0, 0], [2.0, 0], [-1.0, 0], [0, 0]], dtype=torch.float64)
    # Behind one another the nearer one is the ancestor, and opposite each other the origin.
    expected = torch.tensor([[2.0, 2, 0, 0], [2, 4, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(space.pairwise_ancestor_depth(x), expected, rtol=0, atol=1e-7)
    torch.testing.assert_close(space.pairwise_ancestor_depth(x, x), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(space.ancestor_depth(x[:, None], x[None]), expected)


def test_ancestor_depth_at_coincidence_opposition_and_the_origin():
    space = Hyperbolic(1.0, 4.0)
    x = torch.randn(6, 4)
    for y in (x, -x, torch.zeros(6, 4), x * 7):
        a = x.clone().requires_grad_()
        depth = space.ancestor_depth(a, y, norm=4.0)
        depth.sum().backward()
        assert depth.isfinite().all() and a.grad.isfinite().all()
    torch.testing.assert_close(space.ancestor_depth(x, 3 * x, norm=4.0), torch.full((6,), 8.0))
    assert (space.ancestor_depth(x, -x, norm=4.0) == 0).all()
