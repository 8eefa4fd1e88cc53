"""The processes that torchrun starts for one training: each computes its rows of every batch, and gradients are summed.

The sum is one all_reduce of one flat gradient at the end of a step. DistributedDataParallel would send parts of it
during the backward pass, which saves nothing where the same cores compute and send; it takes the mean over processes,
whatever their tokens, and wants one backward pass a step and a wrapper around the model.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.rendezvous import rendezvous

from s2s.errors import S2SError, TrainingError
from s2s.nn.rows import Rows
from s2s.process import is_later_rank, require_one_process, started_together

log = logging.getLogger("s2s")
X = TypeVar("X")
Y = TypeVar("Y")
PATIENCE = timedelta(minutes=10)
"""Longest wait for the other processes at one step; only the first one's preparations may take longer."""
POLL_SECONDS = 0.1
RESTARTS = "TORCHELASTIC_RESTART_COUNT"
"""Variable in which torchrun says how often it has started the processes in the place of others (--max-restarts)."""


@dataclass(frozen=True)
class Ranks:
    """This process among those of a training; alone without the `store` of torch by which they meet."""

    rank: int = 0
    count: int = 1
    store: Any = None

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def rows(self, total: int) -> Rows | None:
        """Rows of a batch that are this process's, dealt in turn, since rows of like length lie together."""
        if self.store is None:
            return None
        if self.rank >= total:
            return Rows(slice(0, 1), total, counted=False)
        return Rows(slice(self.rank, None, self.count), total)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type by their sums over all processes."""
        if self.store is None:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        with _connected():
            dist.all_reduce(flat)
        for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def shared(self, work: Callable[[Sequence[X]], Sequence[Y]], items: Sequence[X]) -> list[Y]:
        """What some work gives for each item, in their order; each process does its share."""
        if self.store is None:
            return list(work(items))
        mine, parts = items[self.rank :: self.count], list[Sequence[Y]]([()] * self.count)
        done = list(work(mine)) if mine else []
        with _connected():
            dist.all_gather_object(parts, done)
        turns = (divmod(number, self.count) for number in range(len(items)))
        return [parts[rank][turn] for turn, rank in turns]

    def told(self, value: X) -> X:
        """The value of the first process, which the others wait for."""
        if self.store is None:
            return value
        box = [value]
        with _connected():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Context that the first process leaves before the others enter it."""
        if self.store and not self.first:
            while not self.store.check(["prepared"]):  # not in one call, in which no signal would be heard
                time.sleep(POLL_SECONDS)
        yield
        if self.store and self.first:
            self.store.set("prepared", "")


_present = Ranks()
_failed = False
_groups = 0
"""groups that this process has been in, each with keys of its own in torchrun's store"""


def present() -> Ranks:
    """This process among those of its training, if it is in one."""
    return _present


@contextmanager
def joined(device: str) -> Iterator[str]:
    """Context of a training, in which processes of torchrun are one group -> the device of this process.

    The messages of all but the first are silent. SystemExit where an error follows that of another process.
    """
    global _present, _groups, _failed
    if not started_together() or _present.store:
        require_one_process(started_together())
        yield _own_device(device) if _present.store else device
        return
    _groups, _failed = _groups + 1, False
    with _connected():
        met, rank, count = next(rendezvous("env://", timeout=PATIENCE))
        # torchrun keeps its store, with addresses of processes that have ended, when it starts others in their place
        prefix = f"s2s/{os.environ.get(RESTARTS, 0)}/{_groups}"
        store = dist.PrefixStore(prefix, met)  # type: ignore[attr-defined]
        backend = "cpu:gloo,cuda:nccl" if device != "cpu" and torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
    _present = Ranks(rank, count, store)
    if rank:
        log.addFilter(_nothing)
    try:
        yield _own_device(device)
    except (S2SError, OSError):
        if is_first_to_fail():
            raise
        raise SystemExit(1) from None
    finally:
        log.removeFilter(_nothing)
        _present = Ranks()
        dist.destroy_process_group()


@contextmanager
def alone() -> Iterator[None]:
    """Context in which this process computes by itself, as the first does when the others have ended."""
    global _present
    before, _present = _present, Ranks()
    try:
        yield
    finally:
        _present = before


def is_first_to_fail() -> bool:
    """Whether no process of the training has failed, or been asked to stop, before: there is one message in all."""
    global _failed
    if _failed:
        return False
    _failed = True
    if _present.store is None:
        return not is_later_rank()
    try:
        return bool(_present.store.add("failed", 1) == 1)
    except RuntimeError:  # the store is gone, with the machine that it was on
        return True


def launcher() -> str:
    """The torchrun that started this process, to be known again by those that it starts in the place of others."""
    return f"process {os.getppid()} on {socket.gethostname()}"


def _own_device(device: str) -> str:
    """The device of this process: each has a GPU of its own, if any."""
    if device == "cpu" or not torch.cuda.is_available():
        return device if device.startswith("cuda") else "cpu"
    if device.startswith("cuda:") and os.environ["WORLD_SIZE"] != "1":
        raise S2SError(f"--device {device}: each process has a GPU of its own; leave out the number, or --device")
    return device if device.startswith("cuda:") else f"cuda:{os.environ.get('LOCAL_RANK', 0)}"


@contextmanager
def _connected() -> Iterator[None]:
    try:
        yield
    except RuntimeError as problem:
        said = str(problem).partition("\n")[0].rpartition("] ")[2].partition(". This is")[0]  # what gloo says beside it
        raise TrainingError(
            f"another process of the training has ended or cannot be reached ({said}); start all of them again, with"
            " --resume"
        ) from None


def _nothing(record: logging.LogRecord) -> bool:
    return False
