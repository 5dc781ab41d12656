"""The adapter to pytorch-metric-learning: every loss and miner in every space; on the sphere the library is the oracle."""

import inspect

import pytest
import torch
from torch import nn

pytest.importorskip("pytorch_metric_learning", reason="the extra `baselines` is not installed")

from pytorch_metric_learning import losses, miners

from horosphere.errors import InputError
from horosphere.losses import from_pml, library
from horosphere.losses.entropy import spread
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

CLASSES, IMAGES, DIM = 5, 4, 6
SPACES = {
    "sphere": Sphere,
    "hyperbolic": Hyperbolic,
    "euclidean": Euclidean,
    "mixed": lambda: Mixed([Sphere(), Hyperbolic(1.0)], [1.0, 0.5]),
}
BOUNDED = {"sphere", "hyperbolic", "mixed"}
#: What a loss cannot do without.
OPTIONS = {"RankedListLoss": {"margin": 0.4, "Tn": 5}}


def classes_of(module):
    return [name for name, value in vars(module).items() if inspect.isclass(value) and issubclass(value, nn.Module)]


def serves(name, space):
    if name in library.REFUSED:
        return False
    return space == "sphere" or (name not in library.ON_SPHERE and (name not in library.BOUNDED or space in BOUNDED))


LOSSES, MINERS = classes_of(losses), classes_of(miners)
ON_THE_SPHERE = [name for name in LOSSES if serves(name, "sphere")]


def batch(seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(CLASSES * IMAGES, generator=generator)
    features = torch.randn(len(order), DIM, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    return features, torch.arange(CLASSES).repeat_interleave(IMAGES)[order]


def make(name, space, **options):
    torch.manual_seed(0)
    return from_pml(name, space, classes=CLASSES, dim=DIM, **OPTIONS.get(name, {}), **options)


def learned(loss):
    return [parameter for group in loss.parameter_groups() for parameter in group["params"]]


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
@pytest.mark.parametrize("where", SPACES)
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_and_its_gradient_are_finite_or_it_is_refused(name, where):
    space = SPACES[where]()
    if not serves(name, where):
        with pytest.raises(InputError, match=name):
            make(name, space)
        return
    loss = make(name, space)
    for seed in range(2):
        features, labels = batch(seed)
        value = loss(space(features), labels)
        value.backward()
        assert value.ndim == 0 and value.isfinite() and value > 0
        assert features.grad.isfinite().all() and features.grad.any()
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in learned(loss))
    # Images of one class coincide, as where a class is drawn with replacement.
    features, labels = batch()
    with torch.no_grad():
        features[labels == 0] = features[labels == 0][0]
    value = loss(space(features), labels)
    value.backward()
    assert value.isfinite() and features.grad.isfinite().all()


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
@pytest.mark.parametrize("name", ON_THE_SPHERE)
def test_on_the_sphere_a_loss_is_the_librarys_own(name, dtype, within):
    # P2SGradLoss makes its weights unit vectors to within 1e-7.
    within = max(within, 1e-6) if name == "P2SGradLoss" else within
    space = Sphere()
    loss = make(name, space).to(dtype)
    kind = getattr(losses, name)
    given = dict(OPTIONS.get(name, {}))
    if learned(loss):
        given |= {"num_classes": CLASSES, "descriptors_dim" if name == "P2SGradLoss" else "embedding_size": DIM}
    own = kind(**given)
    for parameter, values in own.named_parameters():
        values.data = getattr(loss.loss, parameter).detach().clone()
    features, labels = batch(dtype=dtype)
    found, expected = loss(space(features), labels), own(nn.functional.normalize(features), labels)
    torch.testing.assert_close(found, expected, rtol=within, atol=0)
    (gradient,), (same,) = (torch.autograd.grad(value, features) for value in (found, expected))
    assert (gradient - same).norm() < within * same.norm()


@pytest.mark.parametrize("where", SPACES)
@pytest.mark.parametrize("name", MINERS)
def test_a_miner_finds_pairs_or_is_refused(name, where):
    space = SPACES[where]()
    if not serves(name, where):
        with pytest.raises(InputError, match=name):
            make("TripletMarginLoss", space, miner=name)
        return
    # In the mixture no negative is as near as the published 0.8 of a sphere.
    loss = make("MarginLoss", space, miner=name, miner_options={"neg_margin": 2.0} if name == "PairMarginMiner" else {})
    features, labels = batch()
    value = loss(space(features), labels)
    value.backward()
    assert value.isfinite() and value > 0 and features.grad.isfinite().all() and features.grad.any()
    anchors, positives, *rest = loss.miner(space(features), labels)
    assert len(anchors) and (labels[anchors] == labels[positives]).all()
    assert len(rest[-1]) and (labels[rest[0] if len(rest) == 2 else anchors] != labels[rest[-1]]).all()


@pytest.mark.parametrize("name", [name for name in MINERS if serves(name, "sphere")])
def test_on_the_sphere_a_miner_is_the_librarys_own(name):
    points, labels = Sphere()(batch()[0]), batch()[1]
    loss, own = make("TripletMarginLoss", Sphere(), miner=name), getattr(miners, name)()
    found, expected = [], []
    for miner, pairs in ((loss.miner, found), (own, expected)):
        torch.manual_seed(3)
        pairs.extend(miner(points, labels))
    assert len(found) == len(expected)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_draws_follow_the_seed_and_the_step_and_disturb_no_others():
    features, labels = batch()
    points = Sphere()(features).detach()
    first, second = (make("MarginLoss", Sphere(), miner="DistanceWeightedMiner") for _ in range(2))
    state = torch.get_rng_state()
    values = [first(points, labels).item() for _ in range(4)]
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert [second(points, labels).item() for _ in range(4)] == values
    assert len(set(values)) > 1
    resumed = make("MarginLoss", Sphere(), miner="DistanceWeightedMiner")
    resumed.seed = -1
    resumed.load_state_dict(first.state_dict())
    assert resumed(points, labels).item() == first(points, labels).item()


def test_proxies_are_points_and_learn_beside_the_space():
    space = Mixed([Sphere(), Hyperbolic(clip=2.0, learnable_curvature=True)], learnable_weights=True)
    for name, proxies in (("NormalizedSoftmaxLoss", "W"), ("ProxyNCALoss", "proxies"), ("SoftTripleLoss", "fc")):
        loss = make(name, space, rate=7.0)
        points = getattr(loss.loss, proxies)
        points = points if name == "ProxyNCALoss" else points.T
        space.check(points.detach())
        torch.testing.assert_close(points[:, DIM:].norm(dim=1), torch.full((len(points),), 1.0))  # half of the clip
        (group,) = loss.parameter_groups()
        assert (group["rate"], group["weight_decay"], len(group["params"])) == (7.0, 0.0, 1)
        features, labels = batch()
        loss(space(features), labels).backward()
        assert group["params"][0].grad.any() and all(parameter.grad.any() for parameter in space.parameters())
    assert make("SupConLoss", space).parameter_groups() == []


def test_margin_learns_a_boundary_for_each_class():
    loss = make("MarginLoss", Sphere(), learn_beta=True, beta=0.9)
    assert loss.loss.beta.tolist() == pytest.approx([0.9] * CLASSES)
    assert [tuple(parameter.shape) for parameter in learned(loss)] == [(CLASSES,)]


def test_distances_are_on_the_scale_of_the_unit_sphere():
    for where, make_space in SPACES.items():
        space = make_space()
        points = space(batch()[0]).detach()
        apart = space.pairwise(points)
        chord, squared, similarity = (
            make("TripletMarginLoss", space, distance=measure).loss.distance(points) for measure in library.MEASURES
        )
        torch.testing.assert_close(squared, chord**2)
        torch.testing.assert_close(similarity, 1 - chord**2 / 2, atol=1e-6, rtol=1e-6)
        if where == "euclidean":
            torch.testing.assert_close(chord, apart)
        else:
            torch.testing.assert_close(squared, 4 * apart / space.diameter)
    farthest = torch.tensor([[2.3, 0.0], [-2.3, 0.0]])
    assert make("TripletMarginLoss", Hyperbolic()).loss.distance(farthest)[0, 1] == pytest.approx(2, rel=1e-5)


def test_shares_of_a_batch_add_up_to_it():
    features, labels = batch()
    points = Hyperbolic()(features)
    whole = make("MultiSimilarityLoss", Hyperbolic(), entropy=0.5)(points, labels)
    shares = [
        make("MultiSimilarityLoss", Hyperbolic(), entropy=0.5)(points, labels, slice(a, a + 5)) for a in (0, 5, 10, 15)
    ]
    torch.testing.assert_close(sum(shares), whole)


CONTRASTIVE = {"distance": "similarity", "pos_margin": 1.0, "neg_margin": 0.5}


def test_a_memory_is_the_librarys_own_and_starts_late():
    loss = make("ContrastiveLoss", Sphere(), memory=50, memory_start=2, **CONTRASTIVE)
    from pytorch_metric_learning.distances import CosineSimilarity

    plain = losses.ContrastiveLoss(1.0, 0.5, distance=CosineSimilarity())
    own = losses.CrossBatchMemory(plain, DIM, memory_size=50)
    for step in range(6):
        features, labels = batch(step)
        points = Sphere()(features)
        expected = plain(points, labels) if step < 2 else own(points, labels)
        torch.testing.assert_close(loss(points, labels), expected)


@pytest.mark.parametrize("seen", [1, 2, 3, 4])
def test_a_memory_goes_on_where_it_was(seen):
    """Before, at and after the turn of the ring, which holds two and a half batches."""
    space = Mixed([Sphere(), Hyperbolic()])
    batches = [batch(seed) for seed in range(6)]
    loss, resumed = (make("ContrastiveLoss", space, memory=50, **CONTRASTIVE) for _ in range(2))
    values = [loss(space(features), labels).item() for features, labels in batches]
    first = make("ContrastiveLoss", space, memory=50, **CONTRASTIVE)
    for features, labels in batches[:seen]:
        first(space(features), labels)
    resumed.load_state_dict(first.state_dict())
    assert [resumed(space(features), labels).item() for features, labels in batches[seen:]] == values[seen:]
    without = [make("ContrastiveLoss", space, **CONTRASTIVE)(space(features), labels).item() for features, labels in batches]
    assert without[1:] != values[1:]


@pytest.mark.parametrize("where", SPACES)
def test_entropy_is_the_log_of_the_nearest_distance(where):
    space = SPACES[where]()
    features, _ = batch(dtype=torch.float64)
    points = space(features)
    apart = space.distance(points[:, None], points[None]) + torch.eye(len(points)) * 1e9
    scaled = apart if where == "euclidean" else 2 * (apart / space.diameter).sqrt()
    expected = -scaled.min(1).values.log().mean()
    torch.testing.assert_close(spread(space, points), expected)
    if where == "sphere":
        gaps = torch.cdist(points, points) + torch.eye(len(points)) * 1e9
        torch.testing.assert_close(expected, -gaps.min(1).values.log().mean())
    with torch.no_grad():
        features[1] = features[0]
    spread(space, space(features)).backward()
    assert features.grad.isfinite().all() and not features.grad[1].any()


def test_entropy_is_added_with_its_weight():
    features, labels = batch()
    points = Sphere()(features)
    plain, with_entropy = (make("SupConLoss", Sphere(), entropy=weight)(points, labels) for weight in (0.0, 0.7))
    torch.testing.assert_close(with_entropy, plain + 0.7 * spread(Sphere(), points))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("MarginLos", {}, "no 'MarginLos' among its losses; did you mean MarginLoss"),
        ("MarginLoss", {"miner": "HDC"}, "no 'HDC' among its miners; did you mean HDCMiner"),
        ("MarginLoss", {"margn": 1.0}, "MarginLoss has no option margn; it has:.* margin"),
        ("MarginLoss", {"distance": "cosine"}, "expected one of distance, squared, similarity"),
        ("FastAPLoss", {"distance": "similarity"}, "FastAPLoss .*requires the distance metric to be LpDistance"),
        ("RankedListLoss", {}, "RankedListLoss with no options.*missing.* 'margin' and 'Tn'"),
        ("FastAPLoss", {"memory": 10}, "FastAPLoss pairs no points of two batches"),
        ("CrossBatchMemory", {}, "give memory="),
        (
            "NormalizedSoftmaxLoss",
            {"temperature": 0},
            "NormalizedSoftmaxLoss with temperature=0: expected a positive number",
        ),
        ("ProxyNCALoss", {"softmax_scale": -9.0}, "softmax_scale=-9.0: expected a positive number"),
        ("FastAPLoss", {"num_bins": 0}, "num_bins=0: expected a positive number"),
        ("NTXentLoss", {"temperature": "high"}, "temperature='high': expected a positive number"),
        ("NormalizedSoftmaxLoss", {"num_classes": 3}, "takes num_classes from classes=: leave the option out"),
        ("SoftTripleLoss", {"embedding_size": 3}, "takes embedding_size from dim="),
        ("VICRegLoss", {}, "two views of an image"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(name, options, message):
    with pytest.raises(InputError, match=message):
        from_pml(name, Sphere(), classes=CLASSES, dim=DIM, **options)


def test_proxies_and_memories_need_to_know_how_many_and_how_wide():
    with pytest.raises(InputError, match="give classes="):
        from_pml("NormalizedSoftmaxLoss", Sphere(), dim=DIM)
    with pytest.raises(InputError, match="give dim="):
        from_pml("NormalizedSoftmaxLoss", Sphere(), classes=CLASSES)
    with pytest.raises(InputError, match="give dim="):
        from_pml("ContrastiveLoss", Sphere(), memory=100)
    features, labels = batch()
    with pytest.raises(InputError, match="memory of 10 points does not hold a batch of 20"):
        make("ContrastiveLoss", Sphere(), memory=10)(Sphere()(features), labels)
    with pytest.raises(ValueError, match="place them first"):
        make("ContrastiveLoss", Sphere())(features, labels)
