"""The hierarchy over proxies: hyperbolic hierarchical clustering, as a loss of sampled triples."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..spaces import Hyperbolic, Sphere
from ..spaces.precision import full_precision
from .proxies import check

#: Proxies among which mutual neighbours are sought, at most; where there are more, a draw of as many.
_SOUGHT = 4096


class ProxyHierarchy(nn.Module):
    """Hyperbolic hierarchical clustering over points that are learned (HypHC, Chami et al., NeurIPS 2020, Eq. 8 and 9).

    Called as `hierarchy(directions, reference)`: (P, d) vectors in the ball, of which only the directions count, at one
    common norm that is learned here; and (P, e) vectors that say, without a gradient, which of them are alike:
    similarity ½ (1 + cosine). For each sampled triple of similarities s and depths d of its pairs' lowest common ancestors,

        s_ij + s_ik + s_jk − Σ s · softmax(d/temperature),

    and the mean of it: least where the most similar pair joins deepest, a relaxation of Dasgupta's cost. No triples, and so
    0, for fewer than three vectors.

    A step takes min(P, `triples`) of them; in half of them (i, j) are mutual neighbours: each among the other's nearest
    `neighbours`, of all P or of a draw of 4,096. What is drawn is a function of the seed and the step; the step is in the
    `state_dict` and moves on with each call in training mode.

    Args:
        space: the ball; its clip is the largest common norm.
        temperature: of the softmax over depths, in units of distance.
        triples: a step, at most.
        neighbours: how near counts as neighbour.
        anneal_from: temperature of the first step, from which it falls geometrically to `temperature` in `anneal_steps`.
        anneal_steps: 0 for no annealing.
        seed: of the draws.

    Raises:
        ValueError: for an option outside its range.
    """

    def __init__(
        self,
        space: Hyperbolic,
        temperature: float = 0.05,
        triples: int = 4096,
        *,
        neighbours: int = 10,
        anneal_from: float = 1.0,
        anneal_steps: int = 0,
        seed: int = 0,
    ):
        super().__init__()
        check(
            temperature=(temperature, temperature > 0, "a positive number of the space's units of distance"),
            triples=(triples, triples >= 2, "two or more a step"),
            neighbours=(neighbours, neighbours >= 1, "one or more"),
            anneal_from=(anneal_from, anneal_from > 0, "a positive temperature"),
            anneal_steps=(anneal_steps, anneal_steps >= 0, "steps, or 0 for no annealing"),
        )
        self.space, self.temperature, self.triples, self.neighbours = space, float(temperature), triples, neighbours
        self.anneal_from, self.anneal_steps, self.seed, self.step = float(anneal_from), anneal_steps, seed, 0
        # A sigmoid keeps the norm below the clip; it starts at three quarters of it.
        self.raw_norm = nn.Parameter(torch.tensor(math.log(3.0)), requires_grad=space.fixed_radius is None)

    @property
    def norm(self) -> Tensor:
        """The common norm; a fixed radius is the norm itself."""
        if self.space.fixed_radius is not None:
            return self.raw_norm.new_tensor(self.space.fixed_radius)
        if self.space.clip is None:
            return self.raw_norm.exp() / self.space.curvature**0.5
        return self.space.clip * self.raw_norm.sigmoid()

    def forward(self, directions: Tensor, reference: Tensor) -> Tensor:
        if directions.ndim != 2 or reference.ndim != 2 or len(directions) != len(reference):
            raise ValueError(
                f"expected directions (P, d) and reference (P, e); given: {tuple(directions.shape)} and "
                f"{tuple(reference.shape)}"
            )
        if len(directions) < 3:
            return 0 * directions.sum()
        reference = Sphere()(reference.detach())
        triples = self.draw(reference)
        i, j, k = triples
        pairs = torch.stack([torch.stack([i, j]), torch.stack([i, k]), torch.stack([j, k])], 2)  # (2, T, 3)
        x, y = (directions.index_select(0, side.flatten()).unflatten(0, (-1, 3)) for side in pairs)
        a, b = (reference.index_select(0, side.flatten()).unflatten(0, (-1, 3)) for side in pairs)
        similarity = (1 + (a * b).sum(-1)) / 2
        depth = self.space.ancestor_depth(x, y, norm=self.norm)
        cost = similarity.sum(1) - (similarity * (depth / self._temperature()).softmax(1)).sum(1)
        if self.training:
            self.step += 1
        return cost.mean()

    @torch.no_grad()
    def draw(self, reference: Tensor) -> Tensor:
        """Triples (3, T) of this step, each of three different rows of `reference` (P, e), unit vectors."""
        # On the CPU, so that a GPU draws the same; it takes seeds of 32 bits.
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.step) % 2**32)
        count, device = len(reference), reference.device
        amount = min(count, self.triples)
        near = amount // 2
        i = torch.randint(count, (amount,), generator=generator)
        j = (i + torch.randint(1, count, (amount,), generator=generator)) % count
        k = torch.randint(count - 2, (amount,), generator=generator)
        chance = torch.rand(near, generator=generator)
        some = torch.randperm(count, generator=generator)[:_SOUGHT].to(device) if count > _SOUGHT else None
        i, j, k, chance = (drawn.to(device, non_blocking=True) for drawn in (i, j, k, chance))
        first, second = self._mutual(reference if some is None else reference[some], chance)
        i[:near], j[:near] = (first, second) if some is None else (some[first], some[second])
        # k passes over i and j.
        low, high = torch.minimum(i, j), torch.maximum(i, j)
        k += k >= low
        k += k >= high
        return torch.stack([i, j, k])

    def _mutual(self, reference: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
        """Pairs of mutual neighbours, chosen by numbers in [0, 1). The nearest pair of all is one, so there is a pair."""
        with full_precision(reference.device):
            cosine = reference @ reference.mT
        cosine.fill_diagonal_(-torch.inf)
        nearest, neighbours = cosine.topk(min(self.neighbours, len(reference) - 1), 1)
        # Mutual where the pair is as near as the other's farthest neighbour.
        counted = (nearest >= nearest[:, -1][neighbours]).flatten().cumsum(0)
        chosen = torch.searchsorted(counted, (chance * counted[-1]).long() + 1)
        return chosen // neighbours.shape[1], neighbours.flatten()[chosen]

    def _temperature(self) -> float:
        left = max(0.0, 1 - self.step / self.anneal_steps) if self.anneal_steps else 0.0
        return self.temperature * (self.anneal_from / self.temperature) ** left

    def get_extra_state(self) -> dict[str, int]:
        """The step, on which the draws and the temperature depend."""
        return {"step": self.step}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.step = int(state["step"])
