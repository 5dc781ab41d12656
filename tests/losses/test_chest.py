import pytest
import torch

from horosphere.losses import Chest, SoftTriple, from_pml, multi_similarity
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere


def problem(classes=5, dtype=torch.float64):
    torch.manual_seed(0)
    space = Mixed([Sphere(), Hyperbolic()], [1.0, 0.5])
    points = space(torch.randn(2, 13, 6, dtype=dtype).unbind())
    return space, points.requires_grad_(), torch.arange(13) % classes


def make(space, **options):
    torch.manual_seed(1)
    return Chest(space, 5, 3, 6, **options).double()


def test_the_sum_of_its_terms():
    space, points, labels = problem()
    loss = make(space, hyperbolic_weight=0.7, hierarchy_weight=0.3).eval()
    own, theirs = space.split(points)
    expected = loss.spherical(own, labels) + 0.7 * loss.hyperbolic(theirs, labels)
    expected = expected + 0.3 * loss.hierarchy(loss.hyperbolic.proxies.raw[0], loss.spherical.proxies.raw[0])
    torch.testing.assert_close(loss(points, labels), expected)
    (value,) = torch.autograd.grad(loss(points, labels), loss.hierarchy.raw_norm)
    assert value != 0


def test_each_space_alone():
    space, points, labels = problem()
    own, _ = space.split(points)
    loss = make(space, hyperbolic_weight=0, hierarchy_weight=0)
    torch.manual_seed(1)
    alone = SoftTriple(Sphere(), 5, 3, 6).double()
    value = loss(points, labels)
    torch.testing.assert_close(value, alone(own, labels), rtol=0, atol=0)
    (gradient,) = torch.autograd.grad(value, points)
    assert (gradient[:, :6] != 0).any() and (gradient[:, 6:] == 0).all()
    assert len(list(loss.parameters())) == 1
    # With a hierarchy alone the ball's proxies learn where the sphere's are.
    loss = make(space, hyperbolic_weight=0)
    loss(points, labels).backward()
    assert (loss.hyperbolic.proxies.raw[0].grad != 0).any() and (points.grad[:, 6:] == 0).all()


def test_gradients():
    space, *_ = problem()
    loss = make(space, hierarchy_temperature=0.5, multi_similarity="added").eval()
    features = torch.randn(2, 7, 6, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 4, 2, 2, 0, 1, 4])
    # Not to the sphere's proxies: those also say what is alike, and learn nothing from it.
    inputs = (features, *loss.hyperbolic.parameters(), loss.hierarchy.raw_norm)
    assert torch.autograd.gradcheck(lambda f, *_: loss(space(f.unbind()), labels), inputs)


@pytest.mark.parametrize(
    "options", [{}, {"multi_similarity": "added"}, {"multi_similarity": "alone", "hierarchy_weight": 0}]
)
def test_shares_of_the_anchors_add_up(options):
    space, points, labels = problem()
    loss = make(space, **options).eval()
    inputs = [points, *loss.parameters()]
    whole = loss(points, labels)
    shares = sum(loss(points, labels, slice(a, b)) for a, b in ((0, 5), (5, 5), (5, 13)))
    torch.testing.assert_close(shares, whole)
    for ours, theirs in zip(*(torch.autograd.grad(v, inputs) for v in (shares, whole)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_state_goes_on_where_it_stopped():
    space, points, labels = problem()
    first, again = make(space), make(space)
    first(points, labels)
    again.load_state_dict(first.state_dict())
    assert first(points, labels) == again(points, labels)


def test_all_that_it_learns_has_a_group():
    space, *_ = problem()
    groups = make(space, rate=7.0).parameter_groups()
    learned = {id(p) for p in make(space).parameters()}
    assert sum(len(g["params"]) for g in groups) == len(learned) == 3
    assert all((g["rate"], g["weight_decay"]) == (7.0, 0.0) for g in groups)


def restated(space, points, labels):
    s = 1 - 2 * space.distance(points[:, None], points[None]) / space.diameter
    total, count = 0.0, len(points)
    for i in range(count):
        positives = [s[i, j] for j in range(count) if j != i and labels[j] == labels[i]]
        negatives = [s[i, j] for j in range(count) if labels[j] != labels[i]]
        if positives and negatives:
            pulled = [p for p in positives if p < max(negatives) + 0.1]
            pushed = [n for n in negatives if n > min(positives) - 0.1]
            total = total + (1 + sum((-2 * (p - 0.5)).exp() for p in pulled)).log() / 2 if pulled else total
            total = total + (1 + sum((50 * (n - 0.5)).exp() for n in pushed)).log() / 50 if pushed else total
    return total / count


@pytest.mark.parametrize("make_space", [Sphere, Hyperbolic, lambda: Mixed([Sphere(), Hyperbolic()])])
def test_multi_similarity_equals_the_formula(make_space):
    torch.manual_seed(0)
    space = make_space()
    features = torch.randn(30, 4, dtype=torch.float64, requires_grad=True)
    points = space(features)
    labels = torch.arange(30) % 7
    labels[0] = 99  # without positives
    ours, exact = multi_similarity(space, points, labels), restated(space, points, labels)
    torch.testing.assert_close(ours, exact)
    # Off the sphere the gradient depends on the form of the distance: compare what reaches the features.
    (a,), (b,) = (torch.autograd.grad(v, features, retain_graph=True) for v in (ours, exact))
    torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("make_space", [Sphere, Hyperbolic, lambda: Mixed([Sphere(), Hyperbolic()])])
def test_multi_similarity_is_the_librarys(make_space):
    pytest.importorskip("pytorch_metric_learning", reason="the extra `baselines` is not installed")
    torch.manual_seed(0)
    space, labels = make_space(), torch.arange(30) % 7
    features = (torch.randn(30, 4, dtype=torch.float64) + 0.5).requires_grad_()
    options = {"alpha": 2.0, "beta": 50.0, "base": 0.5, "miner": "MultiSimilarityMiner", "miner_options": {"epsilon": 0.1}}
    library = from_pml("MultiSimilarityLoss", space, **options)
    values = multi_similarity(space, space(features), labels), library(space(features), labels)
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*(torch.autograd.grad(v, features)[0] for v in values), rtol=1e-6, atol=1e-9)


def test_multi_similarity_of_collapsed_points_and_of_one_class():
    for points in (torch.ones(6, 4), torch.zeros(6, 4)):
        for labels in (torch.arange(6) // 2, torch.zeros(6, dtype=torch.long), torch.arange(6)):
            points = Hyperbolic()(points).detach().half().requires_grad_()
            value = multi_similarity(Hyperbolic(), points, labels)
            value.backward()
            assert value.isfinite() and points.grad.isfinite().all()


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: Chest(Sphere(), 5), "a sphere and a ball.*given: Sphere.*SoftTriple"),
        (lambda: Chest(Mixed([Hyperbolic(), Sphere()]), 5), "in this order.*given: Hyperbolic, Sphere"),
        (lambda: Chest(Mixed([Sphere(), Euclidean()]), 5), "given: Sphere, Euclidean"),
        (lambda: Chest(Mixed([Sphere(), Hyperbolic()]), 5, hyperbolic_weight=-1), "hyperbolic_weight=-1"),
        (lambda: Chest(Mixed([Sphere(), Hyperbolic()]), 5, hierarchy_weight=-1), "hierarchy_weight=-1"),
        (lambda: Chest(Mixed([Sphere(), Hyperbolic()]), 5, hierarchy_temperature=0.0), "hierarchy_temperature=0.0"),
        (
            lambda: Chest(Mixed([Sphere(), Hyperbolic()]), 5, multi_similarity="alone", hierarchy_weight=0)(
                7 * torch.eye(4), torch.arange(4)
            ),
            "part 'sphere'.*space\\(features\\)",
        ),
        (
            lambda: Chest(Mixed([Sphere(), Hyperbolic()]), 5, multi_similarity="both"),
            "multi_similarity=both.*none, added, alone",
        ),
        (lambda: Chest(Mixed([Sphere(), Hyperbolic()]), 5, multi_similarity="alone"), "set hierarchy_weight=0"),
        (lambda: Chest(Mixed([Sphere(), Hyperbolic(clip=None)]), 5), "no bound.*clip"),
        (lambda: Chest(Mixed([Sphere(), Hyperbolic()]), 1), "classes=1"),
        (lambda: Chest(Mixed([Sphere(), Hyperbolic()]), 5, 0), "centres=0"),
    ],
)
def test_bad_input_says_what_to_change(call, what):
    with pytest.raises(ValueError, match=what):
        call()
