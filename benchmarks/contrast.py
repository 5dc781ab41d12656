"""What the branch of scenes adds to a step of contrast, and the queue: python -m benchmarks.contrast [--threads T].

* one step (query passes, backward, key passes, loss, optimiser, moving average, queues of 4,096) of a ResNet-18 on 16
  images of 96 px: momentum contrast alone (λ = 0), and with scenes (λ = 0.1); best times, taken in turns; the ratio is to
  the first. By passes it is 1.5: forward and backward cost 3 and a key pass 1, so two views cost 8, and a scene with its
  object 4 more. Where a step waits for data, other processes or the optimiser, it is nearer to 1;
* the same on a GPU: ResNet-50, 128 images of 224 px, queues of 65,536, bf16;
* the hyperbolic term of 128 queries against 65,536 keys of 128 columns, forward, and with its gradient; the ratio is to its
  matrix products, one forward and one more for the gradient;
* the same with a distance layer that keeps N × K × D, as published, on 256 keys and multiplied up.
"""

import argparse
from collections.abc import Callable

import torch
from torch import Tensor

from horosphere import build
from horosphere.config import ContrastConfig, SceneBatchConfig, SceneConfig, SceneDataConfig, SceneModelConfig
from horosphere.losses.scene_object import contrast
from horosphere.models import MomentumEncoder
from horosphere.spaces import Hyperbolic
from horosphere.spaces.poincare import mobius_add

from .retrieval import seconds

NO_GPU = "not run: no CUDA device"
QUERIES, KEYS, DIM, FEW = 128, 65_536, 128, 256


class Step:
    """One step on random views."""

    def __init__(self, weight: float, *, encoder: str, images: int, size: int, queue: int, device: str = "cpu"):
        torch.manual_seed(0)
        config = SceneConfig(
            data=SceneDataConfig(size=size, resize=size),
            model=SceneModelConfig(encoder),
            contrast=ContrastConfig(weight=weight, queue=queue),
            batch=SceneBatchConfig(images, norm_groups=1),
        )
        self.projector = build.projector(config).to(device)
        self.key = MomentumEncoder(self.projector)
        self.loss = build.contrast(config, self.projector.model).to(device)
        self.optimiser = torch.optim.SGD(self.projector.parameters(), lr=0.01, momentum=0.9)
        count = 4 if weight else 2
        views = torch.randint(0, 256, (count, images, 3, size, size), dtype=torch.uint8, device=device)
        self.pair, self.scene, self.thing = views[:2], *(views[2:] if weight else (None, None))
        for queue_ in self.loss.queues.values():
            queue_.push(torch.nn.functional.normalize(torch.randn(queue, 128, device=device)))

    def __call__(self) -> None:
        with torch.autocast(self.pair.device.type, torch.bfloat16, enabled=self.pair.is_cuda):
            self.key.update(self.projector)
            queries = self.projector(*self.pair, self.scene)
            keys = self.key(*self.pair, self.thing, step=0)
        self.loss(queries, keys)["loss"].backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.loss.push(self.loss.new_keys(keys))
        if self.pair.is_cuda:
            torch.cuda.synchronize()


def in_turns(calls: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Best seconds of each, so that a busy spell of the machine falls on all."""
    best = dict.fromkeys(calls, float("inf"))
    for call in calls.values():
        call()
    for _ in range(repeats):
        for name, call in calls.items():
            best[name] = min(best[name], seconds(call))
    return best


def steps(repeats: int, note: str, **options) -> list[dict]:
    """Momentum contrast alone, and with scenes."""
    best = in_turns({f"{name}, {note}": Step(weight, **options) for name, weight in (("MoCo", 0.0), ("HCL", 0.1))}, repeats)
    floor = next(iter(best.values()))
    return [{"name": name, "seconds": took, "ratio": took / floor} for name, took in best.items()]


def published_distances(x: Tensor, y: Tensor, c: float) -> Tensor:
    """Distances in the ball, by Möbius addition of every query with every key."""
    apart = mobius_add(-x[:, None].expand(-1, len(y), -1), y[None].expand(len(x), -1, -1), c)
    return 2 / c**0.5 * torch.atanh(c**0.5 * apart.norm(dim=-1))


def queue_term(repeats: int) -> list[dict]:
    """The hyperbolic loss against a whole queue."""
    torch.manual_seed(0)
    space = Hyperbolic(0.05, clip=None)
    queries, own, keys = torch.randn(QUERIES, DIM) / 8, torch.randn(QUERIES, DIM) / 8, torch.randn(KEYS, DIM) / 8
    leaf = queries.clone().requires_grad_()
    logits = torch.empty(QUERIES, KEYS)

    def products(count: int) -> None:
        for turn in range(count):
            if turn % 2:
                torch.mm(logits, keys)
            else:
                torch.mm(queries, keys.mT, out=logits)

    def published() -> None:
        published_distances(space.to_poincare(leaf), space.to_poincare(keys[:FEW]), 0.05).logsumexp(1).sum().backward()

    calls = {
        "one product, 128 × 65,536": lambda: products(1),
        "the hyperbolic term, forward": lambda: contrast(space, queries, own, keys, 0.2),
        "two products": lambda: products(2),
        "the hyperbolic term with its gradient": lambda: contrast(space, leaf, own, keys, 0.2).sum().backward(),
    }
    best = in_turns(calls, repeats)
    best["with its gradient, N × K × D kept, multiplied up"] = seconds(published) * KEYS / FEW
    floors = {"forward": best["one product, 128 × 65,536"], "gradient": best["two products"]}
    return [
        {
            "name": name,
            "seconds": took,
            "ratio": took / floors["gradient" if "gradient" in name or "two" in name else "forward"],
        }
        for name, took in best.items()
    ]


def run(threads: int = 2, repeats: int = 5) -> list[dict]:
    """One row a measurement: `name`, `seconds`, `ratio`; or `name` and `note`, why not."""
    torch.set_num_threads(threads)
    rows = steps(repeats, "ResNet-18, 16 images of 96 px", encoder="resnet18", images=16, size=96, queue=4096)
    note = "ResNet-50, 128 images of 224 px, GPU"
    if torch.cuda.is_available():
        rows += steps(repeats, note, encoder="resnet50", images=128, size=224, queue=KEYS, device="cuda")
    else:
        rows += [{"name": f"{name}, {note}", "note": NO_GPU} for name in ("MoCo", "HCL")]
    return rows + queue_term(repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    for row in run(**vars(parser.parse_args())):
        if "note" in row:
            print(f"{row['name']:<60}{row['note']}")
        else:
            print(f"{row['name']:<60}{1e3 * row['seconds']:10.2f} ms{row['ratio']:9.3f} ×")


if __name__ == "__main__":
    main()
