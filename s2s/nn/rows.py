"""Random numbers for the rows of a batch that several processes share.

Each process samples those of all rows and keeps its own. So the number of processes changes no mask and no choice, and
the random states of all processes stay the same.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from torch import Tensor


class Rows(NamedTuple):
    """The rows of a batch that one process computes."""

    taken: slice
    total: int
    """rows of the whole batch"""
    counted: bool = True
    """False where there are fewer rows than processes: the first row is computed once more, and left out of all sums"""


_present: ContextVar[Rows | None] = ContextVar("rows", default=None)


@contextmanager
def only_rows(rows: Rows) -> Iterator[None]:
    """Context in which the batch that is computed has these rows of a larger one."""
    before = _present.set(rows)
    try:
        yield
    finally:
        _present.reset(before)


def for_rows(sample: Callable[[int], Tensor], size: int, dim: int = 0) -> Tensor:
    """What `sample` gives for a number of rows, which lie along `dim`, sampled for the whole batch and cut to `size`.

    `size` is that of the rows at hand, or a multiple of it where each of them stands for several.
    """
    rows = _present.get()
    if rows is None:
        return sample(size)
    each = size // len(range(rows.total)[rows.taken])
    whole = sample(rows.total * each)
    before, after = whole.shape[:dim], whole.shape[dim + 1 :]
    own = whole.view(*before, rows.total, each, *after)[(*[slice(None)] * dim, rows.taken)]
    return own.reshape(*before, size, *after).contiguous()
