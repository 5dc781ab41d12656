"""Runs, trained by several processes: each imports torch once and keeps the data set between its runs."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

import torch
from filelock import FileLock

from .. import build
from ..config import Config
from ..errors import InputError
from ..runs import Run
from ..training import resume


@dataclass(frozen=True)
class Failure:
    """Why a run could not be trained, and whether it may be tried again: not where its config cannot be."""

    reason: str
    again: bool = False


#: What a worker answers after Ctrl-C; the run has its checkpoint.
STOPPED = Failure("stopped", again=True)


@dataclass(frozen=True)
class Job:
    """A run to be trained in `folder`; what is there already is gone on with."""

    folder: Path
    config: Config

    @property
    def run(self) -> Run:
        return Run(self.folder)


def work(
    jobs: Iterable[Job],
    finished: Callable[[Job, Failure | None, float], Iterable[Job]],
    processes: int = 1,
    threads: int | None = None,
) -> None:
    """Train all jobs, and those that follow from them.

    Args:
        jobs: what to train; of each folder one.
        finished: called after each job, with its failure if it has one and its seconds; the jobs it returns come next.
        processes: how many work at a time; on a machine with GPUs each has one of them, in turn. 1 is this process itself.
        threads: torch's, of each process; by default they share what torch would take.

    A worker that dies fails its job, and another takes its place. Raises KeyboardInterrupt on Ctrl-C, after every process
    has written its checkpoint. Where this process is killed, the workers end by themselves.
    """
    waiting, free, busy = deque(jobs), [], {}
    if not waiting:
        return
    if processes == 1:
        _work_here(waiting, finished, threads)
        return
    threads = threads or max(1, torch.get_num_threads() // processes)
    try:
        for place in range(processes):
            free.append(_Worker(place, threads))
        while waiting or busy:
            while waiting and free:
                worker = free.pop(0)
                worker.start(waiting.popleft())
                busy[worker.connection] = worker
            for connection in wait(list(busy)):
                worker = busy.pop(connection)
                job, failure, seconds = worker.finish()
                free.append(worker if worker.process.is_alive() else _Worker(worker.place, threads))
                waiting.extendleft(reversed(list(finished(job, failure, seconds))))
    finally:
        # After Ctrl-C, or an error here, the runs under way write their checkpoints; a second Ctrl-C waits for nothing.
        workers = [*busy.values(), *free]
        try:
            for worker in workers:
                worker.stop()
            for worker in workers:
                worker.process.join()
        finally:
            for worker in workers:
                worker.process.kill()


def _work_here(
    waiting: deque[Job], finished: Callable[[Job, Failure | None, float], Iterable[Job]], threads: int | None
) -> None:
    """The same in this process."""
    data, before = _Data(), torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        while waiting:
            job, began = waiting.popleft(), time.monotonic()
            failure = _do(job, data)
            if failure == STOPPED:
                raise KeyboardInterrupt
            waiting.extendleft(reversed(list(finished(job, failure, time.monotonic() - began))))
    finally:
        torch.set_num_threads(before)


class _Worker:
    """One process, and the job that it has."""

    def __init__(self, place: int, threads: int):
        self.place = place
        self.connection, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        # Not a daemon, which may have no children: a run may have workers that decode.
        self.process = context.Process(target=_serve, args=(theirs, threads), daemon=False)
        with _visible_gpu(place):
            self.process.start()
        theirs.close()  # so that the end of the process is the end of the connection
        self._busy = False

    def start(self, job: Job) -> None:
        self._job, self._began, self._busy = job, time.monotonic(), True
        with contextlib.suppress(BrokenPipeError):  # it died while it had nothing to do; `finish` finds out
            self.connection.send(job)

    def finish(self) -> tuple[Job, Failure | None, float]:
        try:
            failure = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            code = self.process.exitcode
            failure = Failure(f"its process ended with {code}: killed, perhaps for lack of memory", again=True)
        self._busy = False
        return self._job, failure, time.monotonic() - self._began

    def stop(self) -> None:
        """Ask it to end: at once where it is free, else after a checkpoint."""
        if self._busy and self.process.pid is not None and self.process.is_alive():
            os.kill(self.process.pid, signal.SIGINT)
        self.connection.close()


@contextlib.contextmanager
def _visible_gpu(place: int):
    """A process started in here sees one GPU, those in turn; where there is none, nothing changes."""
    name = "CUDA_VISIBLE_DEVICES"
    before = os.environ.get(name)
    devices = before.split(",") if before else [str(device) for device in range(torch.cuda.device_count())]
    if not devices:
        yield
        return
    os.environ[name] = devices[place % len(devices)]
    try:
        yield
    finally:
        del os.environ[name]
        os.environ |= {} if before is None else {name: before}


def _serve(connection: Connection, threads: int) -> None:
    """A worker's life: jobs, one after the other, until the other side is gone."""
    # Ctrl-C in a terminal reaches its whole group of processes; this one is told by its parent, once.
    os.setsid()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    data = _Data()
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        while True:
            answer = _do(connection.recv(), data)
            if answer == STOPPED:
                return
            connection.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


class _Data:
    """The data set of the last run, for the next one if it is the same."""

    def __init__(self):
        self._config = self._data = None

    def of(self, config: Config):
        if self._config != config.data:
            self._config, self._data = config.data, build.data(config.data)
        return self._data


def _do(job: Job, data: _Data) -> Failure | None:
    """Train a job to its end."""
    try:
        # A worker whose parent was killed may still be at it for a moment.
        job.folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(job.folder.parent / f".{job.folder.name}.lock"):
            if not job.run.config_path.is_file():
                job.run.begin(job.config)
            resume(job.folder, progress=False, page=False, data=data.of(job.config))
    except KeyboardInterrupt:
        return STOPPED
    except InputError as error:
        return Failure(str(error))
    except Exception as error:
        # A fault, of the package or the machine: it is told in full, and the other runs go on.
        print(f"{job.folder}:\n{traceback.format_exc()}", file=sys.stderr)
        return Failure(f"{type(error).__name__}: {error}", again=True)
    return None
