"""Where the time of a training step goes."""

import time
from collections import deque
from itertools import pairwise
from statistics import fmean, median

import torch
from torch import Tensor

#: The parts of a step, in the loop's order.
PARTS = {
    "data": "waiting for the batch",
    "copy": "the batch to the device",
    "forward": "normalisation, encoder, heads and space",
    "gather": "points of all processes",
    "loss": "the loss of the points",
    "loss backward": "its gradient, down to the points",
    "backward": "from the points' gradient to the parameters'; with batch.chunk the second forward pass too",
    "optimiser": "clipping and the update",
    "logging": "metrics, with the wait for the device",
    "validation": "embedding and judging the held-out classes",
    "checkpoint": "writing the checkpoint",
    "loop": "everything else",
}


class Profile:
    """Times the parts of each step, as marks between them: what ran since the last mark was the part that the next names.

    On a GPU the marks are events in its own stream of work, so that nothing waits for them: a part's time is the device's,
    idle time included. When off, a mark does nothing.
    """

    def __init__(self, device: torch.device, *, on: bool = True):
        self._on, self._cuda = on, device.type == "cuda"
        self._marks: list = []
        self._pending: deque[list] = deque()
        self._steps: list[dict[str, float]] = []

    def start(self) -> None:
        """The first step begins here; each later one where the one before ended."""
        self.mark("")

    def mark(self, part: str) -> None:
        """What ran since the last mark was `part`."""
        if self._on:
            self._marks.append((part, self._now()))

    def mark_gradient(self, x: Tensor, part: str) -> None:
        """Mark `part` in the backward pass, when the gradient of `x` is there."""
        if self._on and x.requires_grad:
            x.register_hook(lambda _: self.mark(part))

    def end_step(self) -> None:
        """The step ends at the last mark."""
        if not self._on:
            return
        self._pending.append(self._marks)
        self._marks = self._marks[-1:]
        while self._pending and (not self._cuda or self._pending[0][-1][1].query()):
            self._read(self._pending.popleft())

    def summary(self, images: int) -> dict:
        """Steps, their median seconds and images a second at `images` a step; for each part median and mean seconds a step,
        and its share of all time.

        The first step, which starts workers and fills caches, is left out where there is another.
        """
        if self._cuda:
            torch.cuda.synchronize()
        while self._pending:
            self._read(self._pending.popleft())
        steps = self._steps[1:] or self._steps
        whole = [sum(step.values()) for step in steps]
        parts = {part: [step.get(part, 0.0) for step in steps] for part in PARTS}
        return {
            "device": "cuda" if self._cuda else "cpu",
            "steps": len(steps),
            "median_seconds": median(whole),
            "mean_seconds": fmean(whole),
            "images_per_second": images / median(whole),
            "parts": {
                part: {
                    "median_seconds": median(times),
                    "mean_seconds": fmean(times),
                    "share": sum(times) / sum(whole),
                }
                for part, times in parts.items()
            },
        }

    def _now(self):
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _read(self, marks: list) -> None:
        times = dict.fromkeys(PARTS, 0.0)
        for (_, before), (part, after) in pairwise(marks):
            times[part] += before.elapsed_time(after) / 1e3 if self._cuda else after - before
        self._steps.append(times)


def table(summary: dict) -> str:
    """A summary as text: a line a part that took any time."""
    lines = [f"{'part of a step':<16}{'median ms':>10}{'share':>8}"]
    for part, figures in summary["parts"].items():
        if figures["share"]:
            lines.append(f"{part:<16}{1e3 * figures['median_seconds']:>10.2f}{figures['share']:>8.1%}  {PARTS[part]}")
    lines.append(
        f"{'step':<16}{1e3 * summary['median_seconds']:>10.2f}{1:>8.1%}  "
        f"{summary['images_per_second']:,.0f} images/s, {summary['steps']} steps on {summary['device']}"
    )
    return "\n".join(lines)
