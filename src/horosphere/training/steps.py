"""What goes on around the steps of a loop: the bar, metrics, checkpoints, Ctrl-C and the profile."""

import json
import math
import sys
import time
from collections.abc import Callable

from torch import Tensor
from tqdm import tqdm

from ..config import LoopConfig
from ..data import Failures
from ..errors import InputError
from ..files import write_text
from ..runs import Run
from .checkpoint import State
from .distributed import total
from .interrupt import Interrupt
from .launch import Fabric
from .metrics import Metrics
from .profile import Profile, table


class Steps:
    """A context around a loop, told of each step by `done`.

    Args:
        fabric, run: where it runs, and where it is kept.
        training: how often it logs and saves, and for how long.
        state: what a checkpoint holds.
        start: steps done before.
        size: images a step, of all processes.
        progress: show a bar.
    """

    def __init__(
        self, fabric: Fabric, run: Run, training: LoopConfig, state: State, *, start: int, size: int, progress: bool
    ):
        self._fabric, self._run, self._training, self._state = fabric, run, training, state
        self._start, self._size = start, size
        self._bar = tqdm(
            total=training.steps * size,
            initial=start * size,
            unit="img",
            desc="training",
            disable=not progress,
            dynamic_ncols=True,
        )
        self._interrupt = Interrupt(f"go on with: horosphere train --resume {run.folder}")
        self.profile = Profile(fabric.device, on=training.profile)

    def __enter__(self) -> "Steps":
        self._metrics = Metrics(self._run, self._start, writes=self._fabric.is_global_zero)
        self._interrupt.__enter__()
        self._began = time.perf_counter()
        self.profile.start()
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self._metrics.__exit__()
        self._bar.close()
        if kind is None and self._training.profile and self._start < self._training.steps and self._fabric.is_global_zero:
            summary = self.profile.summary(self._size)
            write_text(self._run.profile_path, json.dumps(summary, indent=2) + "\n")
            print(table(summary), file=sys.stderr)
        self._interrupt.__exit__(kind)

    def logs(self, step: int) -> bool:
        """Whether metrics are written after `step` steps."""
        return step == self._training.steps or step % self._training.log_every == 0

    def done(
        self,
        step: int,
        value: Tensor,
        norm: Tensor | None,
        entry: Callable[[], dict[str, float]],
        validate: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        """The optimiser has done its `step`-th step: log it, validate, save, stop where Ctrl-C asked for it.

        Args:
            value: the loss, this process's share of it: the sum over processes is the whole.
            norm: the gradient's, where it was taken.
            entry: what else a line of metrics holds; asked for where one is written.
            validate: what validation finds, where this step is to be validated.

        Raises:
            InputError: where loss or gradient are not finite.
            KeyboardInterrupt: where Ctrl-C asked, after a checkpoint was written.
        """
        training, run, profile = self._training, self._run, self.profile
        self._bar.update(self._size)
        logs = self.logs(step)
        saves = step == training.steps or step % training.checkpoint_every == 0
        profile.mark("loop")
        # Here, and only here, the loop waits for the device.
        if logs or saves:
            value = total(value)
            # Under float16 the scaler itself skips steps whose gradients overflow.
            norm_counts = norm is not None and training.precision != "16-mixed"
            if not (math.isfinite(value.item()) and (not norm_counts or math.isfinite(float(norm)))):
                raise InputError(
                    f"the loss is {value.item()} and the gradient's norm {norm} at step {step}: lower optimiser.lr, "
                    f"raise the temperature, or set training.precision to 32-true; {run.folder} keeps its checkpoint"
                )
        if logs:
            self._bar.set_postfix(loss=f"{value.item():.4f}")
            pace = self._size * (step - self._start) / (time.perf_counter() - self._began)
            gradient = {} if norm is None else {"gradient_norm": float(norm)}
            self._metrics.write(step, {"loss": value.item(), "images_per_second": pace, **gradient, **entry()})
        if logs or saves:
            profile.mark("logging")
        if validate is not None:
            self._metrics.write(step, validate())
            profile.mark("validation")
        if self._interrupt.requested:
            # Several processes may be asked at different steps, so they go back to their last common checkpoint.
            if self._fabric.world_size == 1:
                self._state.save(step)
            raise KeyboardInterrupt(self._interrupt.hint)
        if saves:
            self._state.save(step)
            profile.mark("checkpoint")
        profile.mark("loop")
        profile.end_step()


def note_failures(new: Failures, known: dict[str, str]) -> None:
    """One line for each image that cannot be read, however often it is drawn."""
    for name, reason in new:
        if name not in known:
            known[name] = reason
            tqdm.write(f"skipped {name}: {reason}", file=sys.stderr)
