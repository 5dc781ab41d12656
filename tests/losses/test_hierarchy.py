import dataclasses
import json
import zipfile

import numpy as np
import pytest
import torch

from horosphere.data import load_data
from horosphere.evaluation import average_linkage, dasgupta_cost, decode, dendrogram_purity, random_dendrogram
from horosphere.losses import ProxyHierarchy
from horosphere.models import Embedder, embed_data
from horosphere.spaces import Hyperbolic, Sphere


def restated(hierarchy, directions, reference, triples):
    """One triple at a time, depths from points in the Lorentz model."""
    space, norm = hierarchy.space, float(hierarchy.norm.detach())
    points = norm * torch.nn.functional.normalize(directions)
    similarity = (1 + torch.nn.functional.normalize(reference) @ torch.nn.functional.normalize(reference).T) / 2
    terms = []
    for i, j, k in triples.T.tolist():
        pairs = [(i, j), (i, k), (j, k)]
        s = torch.stack([similarity[p] for p in pairs])
        depth = torch.stack([space.radius(space.midpoint(points[a], points[b])) for a, b in pairs])
        terms.append(s.sum() - (s * (depth / hierarchy.temperature).softmax(0)).sum())
    return torch.stack(terms).mean()


def test_loss_equals_the_formula():
    torch.manual_seed(0)
    hierarchy = ProxyHierarchy(Hyperbolic(1.0, 2.0), temperature=0.3).double().eval()
    directions, reference = torch.randn(2, 15, 6, dtype=torch.float64)
    triples = hierarchy.draw(Sphere()(reference))
    torch.testing.assert_close(hierarchy(directions, reference), restated(hierarchy, directions, reference, triples))


@pytest.mark.parametrize("space", [Hyperbolic(), Hyperbolic(1.0, None), Hyperbolic(0.5, learnable_curvature=True)])
def test_gradients(space):
    torch.manual_seed(0)
    hierarchy = ProxyHierarchy(space, temperature=0.5).double().eval()
    directions, reference = torch.randn(2, 9, 4, dtype=torch.float64)
    inputs = (directions.requires_grad_(), *hierarchy.parameters())
    assert torch.autograd.gradcheck(lambda d, *_: hierarchy(d, reference), inputs)


def test_norms_and_the_references_gradient_do_not_count():
    hierarchy = ProxyHierarchy(Hyperbolic()).eval()
    directions, reference = torch.randn(2, 20, 6)
    reference.requires_grad_()
    value = hierarchy(directions, reference)
    torch.testing.assert_close(hierarchy(directions * torch.rand(20, 1) * 9, reference * 3), value)
    value.backward()
    assert reference.grad is None and float(hierarchy.raw_norm.grad) != 0


def test_coincident_opposite_and_zero_directions_stay_finite():
    hierarchy = ProxyHierarchy(Hyperbolic(1.0, 4.0))
    x = torch.randn(1, 6)
    for directions in (x.expand(8, 6), torch.cat([x, -x] * 4), torch.zeros(8, 6), 1e4 * torch.randn(8, 6)):
        directions = directions.clone().requires_grad_()
        value = hierarchy(directions, torch.randn(8, 6))
        value.backward()
        assert value.isfinite() and directions.grad.isfinite().all()


@pytest.mark.parametrize("sought", [4096, 30])
def test_half_of_the_triples_are_mutual_neighbours(monkeypatch, sought):
    monkeypatch.setattr("horosphere.losses.hierarchy._SOUGHT", sought)
    torch.manual_seed(0)
    reference = Sphere()(torch.randn(100, 6))
    hierarchy = ProxyHierarchy(Hyperbolic(), neighbours=3)
    i, j, k = hierarchy.draw(reference)
    assert len(i) == 100 and ((i != j) & (i != k) & (j != k)).all()
    assert min(i.min(), j.min(), k.min()) == 0 and max(i.max(), j.max(), k.max()) == 99
    if sought > 100:
        cosine = (reference @ reference.T).fill_diagonal_(-2)
        near = torch.zeros(100, 100, dtype=torch.bool).scatter_(1, cosine.topk(3).indices, True)
        mutual = near & near.T
        assert mutual[i[:50], j[:50]].all() and mutual[i[50:], j[50:]].float().mean() < 0.2
    # All pairs get their turn.
    assert len({*zip(i[:50].tolist(), j[:50].tolist(), strict=True)}) > 20
    assert ProxyHierarchy(Hyperbolic(), triples=10).draw(reference).shape == (3, 10)


def test_triples_depend_on_seed_and_step_and_resume_with_them():
    reference = Sphere()(torch.randn(40, 6))
    directions = torch.randn(40, 6)
    first, again, other = (ProxyHierarchy(Hyperbolic(), seed=seed) for seed in (0, 0, 1))
    torch.rand(7)  # no global generator takes part
    assert first.draw(reference).equal(again.draw(reference))
    assert not first.draw(reference).equal(other.draw(reference))
    before = first.draw(reference)
    first(directions, reference)
    assert not first.draw(reference).equal(before)
    again.load_state_dict(first.state_dict())
    assert first.draw(reference).equal(again.draw(reference))
    again.eval()(directions, reference)
    assert first.draw(reference).equal(again.draw(reference))


def test_temperature_is_annealed():
    hierarchy = ProxyHierarchy(Hyperbolic(), 0.01, anneal_from=1.0, anneal_steps=4)
    found = []
    for _ in range(6):
        found.append(hierarchy._temperature())
        hierarchy(torch.randn(5, 3), torch.randn(5, 3))
    np.testing.assert_allclose(found, [1, 10**-0.5, 0.1, 10**-1.5, 0.01, 0.01])


@pytest.mark.parametrize(
    ("space", "norm"), [(Hyperbolic(1.0, 4.0), 3.0), (Hyperbolic(4.0, None), 1.5), (Hyperbolic(1.0, radius=0.7), 0.7)]
)
def test_the_norm_starts_inside_the_clip(space, norm):
    hierarchy = ProxyHierarchy(space)
    assert hierarchy.norm.item() == pytest.approx(norm)
    assert hierarchy.raw_norm.requires_grad == (space.fixed_radius is None)


def test_fewer_than_three_have_no_triples():
    directions = torch.randn(2, 3, requires_grad=True)
    value = ProxyHierarchy(Hyperbolic())(directions, torch.randn(2, 3))
    value.backward()
    assert value == 0 and (directions.grad == 0).all()


@pytest.mark.parametrize(
    "wrong", [{"temperature": 0.0}, {"triples": 1}, {"neighbours": 0}, {"anneal_from": 0.0}, {"anneal_steps": -1}]
)
def test_bad_options_say_what_to_change(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name}=.*: expected"):
        ProxyHierarchy(Hyperbolic(), **wrong)


def test_directions_and_reference_belong_together():
    with pytest.raises(ValueError, match="expected directions"):
        ProxyHierarchy(Hyperbolic())(torch.randn(4, 3), torch.randn(5, 3))


def cluster(reference, steps, *, dim=None, seed=0):
    """A hierarchy learned from nothing over what `reference` says is alike; its ancestors' depths."""
    torch.manual_seed(seed)
    space = Hyperbolic(1.0, 4.0)
    hierarchy = ProxyHierarchy(space, anneal_steps=steps // 2)
    directions = torch.randn(len(reference), dim or 10, requires_grad=True)
    optimiser = torch.optim.Adam([directions, *hierarchy.parameters()], lr=0.05)
    for _ in range(steps):
        optimiser.zero_grad()
        hierarchy(directions, reference).backward()
        optimiser.step()
    return space.pairwise_ancestor_depth(directions.detach(), norm=hierarchy.norm.detach())


def test_a_known_tree_is_found():
    """Twelve leaves: two halves, each of two groups, each of three."""
    torch.manual_seed(0)
    halves, groups, leaves = torch.randn(2, 1, 1, 32), torch.randn(2, 2, 1, 32), torch.randn(2, 2, 3, 32)
    reference = (2 * halves + groups + 0.5 * leaves).view(12, 32)
    depths = cluster(reference, 400)
    group, half = torch.arange(12) // 3, torch.arange(12) // 6
    apart = ~torch.eye(12, dtype=torch.bool)
    within = depths[(group[:, None] == group) & apart]
    between = depths[(half[:, None] == half) & (group[:, None] != group)]
    across = depths[half[:, None] != half]
    assert within.min() > between.max() and between.min() > across.max()
    tree = decode(depths)
    assert dendrogram_purity(tree, group) == dendrogram_purity(tree, half) == 1.0


def test_classes_of_real_images_cluster_as_well_as_by_average_linkage(shared):
    """CIFAR-100's class means of MobileNetV2 features, from ten images each."""
    archive = shared / "cifar100_train10k.zip"
    data = load_data("folder", str(archive))
    data = data.take(np.concatenate([np.flatnonzero(data.labels == label)[:10] for label in range(100)]))
    model = Embedder(
        "mobilenetv2_100",
        Sphere(),
        encoder_options={"pad_type": "same"},
        checkpoint=shared / "weights/mobilenetv2_100.safetensors",
        freeze="all",
    )
    half = (0.5, 0.5, 0.5)  # these weights take [-1, 1]
    model.set_preprocessing(dataclasses.replace(model.preprocessing, mean=half, std=half, size=96, resize=96))
    embedded = embed_data(model, data, batch_size=50)
    encodings = torch.nn.functional.layer_norm(embedded.encodings, embedded.encodings.shape[1:])
    labels = torch.from_numpy(embedded.data.labels)
    means = torch.stack([encodings[labels == label].mean(0) for label in range(100)])

    unit = Sphere()(means).double()
    similarities = ((1 + unit @ unit.T) / 2).numpy()
    decoded, baseline = decode(cluster(means, 600, dim=16)), average_linkage(similarities)
    chance = np.mean([dasgupta_cost(random_dendrogram(100, seed), similarities) for seed in range(10)])
    gain = chance - dasgupta_cost(decoded, similarities)
    assert gain >= 0.9 * (chance - dasgupta_cost(baseline, similarities))

    coarse = json.loads(zipfile.ZipFile(archive).read("classes.json"))["fine_to_coarse"]
    superclasses = [coarse[name.rpartition("/")[2]] for name in data.classes]
    purity = {name: dendrogram_purity(tree, superclasses) for name, tree in (("ours", decoded), ("average", baseline))}
    assert min(purity.values()) > 2 * dendrogram_purity(random_dendrogram(100), superclasses)
