"""The losses with proxies restated in float64, term by term, distances by difference."""

import torch

from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

SPACES = {
    "sphere": Sphere,
    "ball": Hyperbolic,
    "curved": lambda: Hyperbolic(1.0, 4.0),
    "soft": lambda: Hyperbolic(clipping="soft"),
    "mixed": lambda: Mixed([Sphere(), Hyperbolic()], [1.0, 3.0]),
    "sliced": lambda: Mixed([Sphere(), Hyperbolic()], [1.0, 0.5], slices=[(0, 4), (2, 6)]),
    "euclidean": Euclidean,
}


def diameter(name):
    return 12.0 if name == "euclidean" else None


def similarity(space, x, y, diameter):
    return 1 - 2 * space.distance(x, y) / (diameter or space.diameter)


def soft_triple(loss, points, labels, diameter=None):
    """The mean of the images' terms, without the merging term."""
    space, proxies, terms = loss.space, loss.proxies().double().view(loss.classes, loss.centres, -1), []
    for x, y in zip(points.double(), labels.tolist(), strict=True):
        s = similarity(space, x, proxies, diameter)
        soft = ((s / loss.gamma).softmax(1) * s).sum(1)
        logits = loss.scale * (soft - loss.margin * (torch.arange(loss.classes) == y))
        terms.append(logits.logsumexp(0) - logits[y])
    return torch.stack(terms).mean()


def proxy_anchor(loss, points, labels, diameter=None):
    proxies = loss.proxies().double()
    s = similarity(loss.space, points.double()[:, None], proxies[None], diameter)
    pull, push = 0.0, 0.0
    for p in range(loss.classes):
        own = labels == p
        pull = pull + (1 + (-loss.scale * (s[own, p] - loss.margin)).exp().sum()).log()
        push = push + (1 + (loss.scale * (s[~own, p] + loss.margin)).exp().sum()).log()
    return pull / len(labels.unique()) + push / loss.classes


def problem(space, classes=5, count=13, features=6, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    points = space(torch.randn(count, features, generator=generator, dtype=torch.float64).to(dtype))
    return points, torch.randint(classes, (count,), generator=generator)
