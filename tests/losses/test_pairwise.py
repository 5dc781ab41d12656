import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from horosphere.losses import PairwiseCrossEntropy, pairwise
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

SPACES = {
    "sphere": Sphere,
    "euclidean": Euclidean,
    "hyperbolic": Hyperbolic,
    "mixed": lambda: Mixed([Sphere(), Hyperbolic()], [1.0, 3.0]),
}


def published(space, points, labels, temperature):
    """Hyp-ViT's loss restated: one ordered pair of subsets at a time, float64, distances by difference."""
    points = points.double()
    classes = sorted(set(labels.tolist()))
    members = [[row for row, label in enumerate(labels.tolist()) if label == c] for c in classes]
    d, total = len(members[0]), 0.0
    for i in range(d):
        for j in range(d):
            if i == j:
                continue
            x, y = points[[rows[i] for rows in members]], points[[rows[j] for rows in members]]
            across, within = -space.distance(x[:, None], y[None]), -space.distance(x[:, None], x[None])
            within = within.masked_fill(torch.eye(len(x), dtype=torch.bool), -torch.inf)
            total = total + cross_entropy(torch.cat([across, within], 1) / temperature, torch.arange(len(x)))
    return total


def over_batch(space, points, labels, temperature):
    """The "batch" loss restated pair by pair."""
    e = (-space.distance(points.double()[:, None], points.double()[None]) / temperature).exp()
    terms = [
        -(e[i, j] / (e[i, j] + e[i, labels != labels[i]].sum())).log()
        for i in range(len(e))
        for j in range(len(e))
        if i != j and labels[i] == labels[j]
    ]
    return torch.stack(terms).mean()


def batch(space, n, d, seed=0, features=8, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n).repeat_interleave(d)[torch.randperm(n * d, generator=generator)] * 7 - 3
    return space(torch.randn(n * d, features, generator=generator, dtype=torch.float64).to(dtype)), labels


@given(st.sampled_from(sorted(SPACES)), st.integers(2, 6), st.integers(2, 5), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_subsets_equal_the_published_loop(name, n, d, seed):
    space = SPACES[name]()
    points, labels = batch(space, n, d, seed)
    expected = published(space, points, labels, 0.2)
    loss = PairwiseCrossEntropy(space, 0.2, reduction="published")(points, labels)
    # Logits reach 150 here, whose rounding alone moves a small loss by some 1e-5 of itself; the bound is tested below.
    torch.testing.assert_close(loss.double(), expected, rtol=2e-4, atol=1e-9)
    mean = PairwiseCrossEntropy(space, 0.2)(points, labels)
    torch.testing.assert_close(mean * d * (d - 1), loss)


@given(st.sampled_from(sorted(SPACES)), st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_batch_negatives_equal_the_definition_for_any_class_sizes(name, seed):
    space = SPACES[name]()
    points, _ = batch(space, 5, 3, seed)
    labels = torch.tensor([0, 0, 1, 2, 2, 2, 2, 3, 0, 5, 5, 0, 2, 3, 0])
    loss = PairwiseCrossEntropy(space, 0.3, negatives="batch")(points, labels)
    torch.testing.assert_close(loss.double(), over_batch(space, points, labels, 0.3), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SPACES)
def test_subsets_and_batch_agree_at_two_images_a_class(name):
    space = SPACES[name]()
    points, labels = batch(space, 9, 2, dtype=torch.float64)
    subsets, whole = (PairwiseCrossEntropy(space, negatives=kind)(points, labels) for kind in ("subsets", "batch"))
    torch.testing.assert_close(subsets, whole)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("d", [2, 9])
def test_float32_bounds(name, d):
    """docs/methods.md, error bounds: the loss to 1e-5 relative, its gradient to 2e-5 relative Frobenius."""
    space = SPACES[name]()
    # The gradient of the features: off the sphere, that of its points depends on the form of the distance.
    features = torch.randn(30 * d, 64, requires_grad=True)
    labels = torch.arange(30).repeat(d)
    loss = PairwiseCrossEntropy(space)(space(features), labels)
    loss.backward()
    exact_features = features.detach().double().requires_grad_()
    exact = published(space, space(exact_features), labels, 0.2) / (d * (d - 1))
    exact.backward()
    assert abs(loss.item() / exact.item() - 1) < 1e-5
    assert (features.grad - exact_features.grad).norm() / exact_features.grad.norm() < 2e-5


@pytest.mark.parametrize("negatives", ["subsets", "batch"])
@pytest.mark.parametrize("name", SPACES)
def test_gradients(name, negatives):
    space = SPACES[name]()
    labels = torch.tensor([5, 1, 3, 3, 1, 5, 1, 5, 3])
    features = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    loss = PairwiseCrossEntropy(space, negatives=negatives)
    assert torch.autograd.gradcheck(lambda f: loss(space(f), labels), (features,))


@pytest.mark.parametrize("negatives", ["subsets", "batch"])
@pytest.mark.parametrize("name", SPACES)
def test_collapsed_and_clipped_batches_stay_finite(name, negatives):
    space = SPACES[name]()
    labels = torch.arange(4).repeat(3)
    for features in (
        torch.zeros(12, 5),
        torch.ones(12, 5) * 100,
        torch.randn(12, 5) * 1e4,
        torch.randn(4, 5).repeat(3, 1) * 9,
    ):
        features.requires_grad_()
        loss = PairwiseCrossEntropy(space, 0.05, negatives=negatives)(space(features), labels)
        loss.backward()
        assert torch.isfinite(loss) and loss >= 0
        assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize("negatives", ["subsets", "batch"])
@pytest.mark.parametrize("name", SPACES)
def test_small_losses_keep_their_digits(name, negatives):
    """A trained batch: positives close, negatives far, a loss near 1e-4."""
    space = SPACES[name]()
    labels = torch.arange(6).repeat(2)
    features = 1.6 * torch.eye(6, 8, dtype=torch.float64)[labels] + 0.05 * torch.randn(12, 8, dtype=torch.float64)
    points = space(features.float())
    loss = PairwiseCrossEntropy(space, 0.2, negatives=negatives)(points, labels)
    exact = published(space, points, labels, 0.2) / 2
    assert exact < 0.02
    assert loss.item() == pytest.approx(exact.item(), rel=2e-5)


@pytest.mark.parametrize(("negatives", "reduction"), [("subsets", "mean"), ("subsets", "published"), ("batch", "mean")])
@pytest.mark.parametrize("name", SPACES)
def test_shares_of_the_anchors_add_up_to_the_loss(name, negatives, reduction):
    space, loss = SPACES[name](), PairwiseCrossEntropy(SPACES[name](), 0.2, reduction, negatives)
    labels = torch.tensor([4, 4, 4, 9, 9, 9, 0, 0, 0, 2, 2, 2])
    if negatives == "batch":
        labels[-1] = 7  # classes of 3, 2 and 1
    features = torch.randn(12, 5, dtype=torch.float64, requires_grad=True)
    whole = loss(space(features), labels)
    parts = [loss(space(features), labels, anchors) for anchors in (slice(0, 3), slice(3, 9), slice(9, 12))]
    torch.testing.assert_close(sum(parts), whole)
    torch.testing.assert_close(
        torch.autograd.grad(sum(parts), features)[0], torch.autograd.grad(whole, features)[0], rtol=1e-6, atol=1e-9
    )
    assert torch.equal(loss(space(features), labels, slice(0, 12)), whole)
    with pytest.raises(ValueError, match="cut a class in two"):
        loss(space(features), labels, slice(0, 4))


@pytest.mark.parametrize("negatives", ["subsets", "batch"])
def test_a_share_without_anchors_or_without_pairs_is_zero(negatives):
    """Another process waits for its gradient."""
    labels = torch.tensor([0, 0, 1, 1, 2, 3] if negatives == "batch" else [0, 0, 1, 1, 2, 2])
    features = torch.randn(6, 5, requires_grad=True)
    for anchors in (slice(0, 0), slice(4, 6))[: 1 + (negatives == "batch")]:
        share = PairwiseCrossEntropy(Hyperbolic(), negatives=negatives)(Hyperbolic()(features), labels, anchors)
        assert share == 0
        assert (torch.autograd.grad(share, features)[0] == 0).all()


def test_copies_far_from_the_origin():
    """Their distance is 0 there too, where inner products even in float64 say 24."""
    space, labels = Hyperbolic(1.0, clip=None), torch.arange(2).repeat_interleave(2)
    directions = torch.nn.functional.normalize(torch.randn(2, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    points = (15 * directions).repeat_interleave(2, 0).requires_grad_()
    loss = PairwiseCrossEntropy(space, 5.0)(points, labels)
    torch.testing.assert_close(loss.double(), published(space, points, labels, 5.0) / 2, rtol=1e-4, atol=1e-9)
    loss.backward()
    assert torch.isfinite(points.grad).all()


@pytest.mark.parametrize("negatives", ["subsets", "batch"])
def test_large_batches_measure_their_positives_in_chunks(monkeypatch, negatives):
    space, labels = Hyperbolic(), torch.arange(20).repeat(3)
    features = torch.randn(60, 5, requires_grad=True)
    results = []
    for chunk in (2**20, 40):
        monkeypatch.setattr(pairwise, "_CHUNK", chunk)
        value = PairwiseCrossEntropy(space, negatives=negatives)(space(features), labels)
        results.append((value, torch.autograd.grad(value, features)[0]))
    for once, in_chunks in zip(*results, strict=True):
        torch.testing.assert_close(once, in_chunks)


def test_order_of_the_classes_does_not_matter_but_order_within_one_does():
    space = Hyperbolic()
    points, labels = batch(space, 4, 3)
    loss = PairwiseCrossEntropy(space)
    by_class = labels.argsort(stable=True)
    torch.testing.assert_close(loss(points[by_class], labels[by_class]), loss(points, labels))
    swapped = by_class.clone()
    swapped[[0, 1]] = by_class[[1, 0]]
    assert loss(points[swapped], labels[swapped]) != loss(points, labels)


def test_weight_zero_trains_as_the_sphere_to_the_bit():
    features = torch.randn(12, 8)
    labels = torch.arange(4).repeat(3)
    gradients = []
    for space in (Sphere(), Mixed([Sphere(), Hyperbolic()], [1.0, 0.0])):
        leaf = features.clone().requires_grad_()
        PairwiseCrossEntropy(space)(space(leaf), labels).backward()
        gradients.append(leaf.grad)
    assert torch.equal(*gradients)


def test_learnable_parts_of_the_space_get_gradients():
    space = Mixed([Sphere(), Hyperbolic(learnable_curvature=True)], [1.0, 1.0], learnable_weights=True).double()
    labels = torch.arange(3).repeat(2)
    points = space(torch.randn(6, 4, dtype=torch.float64))
    loss = PairwiseCrossEntropy(space)
    loss(points, labels).backward()
    for parameter in space.parameters():
        analytic = parameter.grad.flatten()[-1].item()
        with torch.no_grad():
            parameter.flatten()[-1] += 1e-6
            above = loss(points, labels)
            parameter.flatten()[-1] -= 2e-6
            below = loss(points, labels)
            parameter.flatten()[-1] += 1e-6
        assert analytic == pytest.approx(float(above - below) / 2e-6, rel=1e-4)


def test_autocast_changes_nothing():
    space = SPACES["mixed"]()
    points, labels = batch(space, 6, 2)
    loss = PairwiseCrossEntropy(space)
    plain = loss(points, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(points, labels), plain)


@pytest.mark.parametrize("negatives", ["subsets", "batch"])
def test_half_precision_points(negatives):
    space = SPACES["mixed"]()
    points, labels = batch(space, 6, 2)
    loss = PairwiseCrossEntropy(space, negatives=negatives)
    assert loss(points.half(), labels).dtype == torch.float32
    torch.testing.assert_close(loss(points.half(), labels), loss(points, labels), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("labels", "words"),
    [([0, 0, 1, 1, 1], "ClassBalancedSampler"), ([0, 1, 2, 3, 4], "1 to 1 images"), ([0, 0, 0, 0, 0], "at least 2 classes")],
)
def test_batches_without_equal_subsets_teach(labels, words):
    with pytest.raises(ValueError, match=words):
        PairwiseCrossEntropy(Sphere())(Sphere()(torch.randn(5, 4)), torch.tensor(labels))


@pytest.mark.parametrize(("labels", "words"), [([0, 1, 2, 3], "no positives"), ([1, 1, 1, 1], "no negatives")])
def test_batches_without_pairs_teach(labels, words):
    with pytest.raises(ValueError, match=words):
        PairwiseCrossEntropy(Sphere(), negatives="batch")(Sphere()(torch.randn(4, 4)), torch.tensor(labels))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": 0}, "positive"),
        ({"reduction": "sum"}, "published"),
        ({"negatives": "hard"}, "subsets"),
        ({"precision": "half"}, "expected one of float32, tf32, bf16"),
        ({"backend": "cpp"}, "expected one of auto, triton"),
        ({"negatives": "batch", "reduction": "published"}, "published scale"),
    ],
)
def test_bad_options_teach(options, words):
    with pytest.raises(ValueError, match=words):
        PairwiseCrossEntropy(Sphere(), **options)


def test_features_are_refused():
    with pytest.raises(ValueError, match="place them first"):
        PairwiseCrossEntropy(Sphere())(torch.randn(4, 8) * 3, torch.tensor([0, 0, 1, 1]))
