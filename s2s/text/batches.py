"""Batches of a number of padded tokens, cut from length-sorted pools; a seed and an epoch fix their order."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from s2s.text.special import END, PAD, START

Row = Sequence[int] | NDArray[np.integer]
Lengths = NDArray[np.integer]
Indices = NDArray[np.int64]
ROWS = 8
"""Full batches have a multiple of this many rows."""
WINDOW = 1 << 20
"""Most rows that are shuffled at once, for constant memory."""
BLOCK = 512
"""Neighbouring rows that stay in one window where there are several."""
GPU_WIDTH = 8
"""Widths on a GPU are rounded up to a multiple of this: a graph is captured for each."""


class Batch(NamedTuple):
    """Sentence pairs side by side: B rows of S source and T target positions."""

    source: Tensor
    """(B, S) token ids, each row closed by END, then PAD."""
    source_lengths: Tensor
    """(B,) positions of each source row, END included; on the CPU."""
    inputs: Tensor
    """(B, T) tokens fed to the decoder: START, then the target."""
    targets: Tensor
    """(B, T) tokens it should predict: the target, then END."""
    target_lengths: Tensor
    """(B,) positions of each target row, END included; on the CPU."""
    target_tokens: int
    """Positions of all target rows, END included: the divisor of a loss."""

    def to(self, device: torch.device) -> "Batch":
        """The same with its tokens on a device; they are copied to a GPU while it works."""
        return self if device.type == "cpu" else self._map(lambda ids: ids.pin_memory().to(device, non_blocking=True))

    def widened(self, multiple: int) -> "Batch":
        """The same with S and T rounded up to a multiple, filled with PAD."""
        return self._map(lambda ids: functional.pad(ids, (0, -ids.shape[1] % multiple), value=PAD))

    def part(self, taken: slice) -> "Batch":
        """The same with some of its rows."""
        source, source_lengths, inputs, targets, target_lengths = (rows[taken].contiguous() for rows in self[:5])
        return Batch(source, source_lengths, inputs, targets, target_lengths, int(target_lengths.sum()))

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return self._replace(source=change(self.source), inputs=change(self.inputs), targets=change(self.targets))


class BatchSampler:
    """The batches of each epoch, planned from lengths alone.

    An epoch is a function of the seed and its number: a random order is cut into pools, each is sorted by length and
    cut into batches, and these are shuffled. So a run resumes by skipping the batches that it has done. Of more than
    WINDOW rows, blocks in a random order are cut into windows, which are shuffled so one after the other.
    """

    def __init__(
        self,
        sources: Lengths,
        targets: Lengths,
        *,
        batch_tokens: int,
        seed: int,
        pool_sentences: int = 32768,
        rows: Callable[[int], Indices] | None = None,
    ) -> None:
        """Lengths (N,) of each side count no special ids; a batch holds at most `batch_tokens` on either side.

        `rows` gives the indices of an epoch where that is not each once.
        """
        if len(sources) != len(targets):
            raise ValueError(f"{len(sources):,} source lengths, but {len(targets):,} target lengths")
        self._sides = sources, targets
        self._batch_tokens = batch_tokens
        self._seed = seed
        self._pool_sentences = pool_sentences
        self._rows = rows
        self._window = lru_cache(maxsize=1)(self._planned)
        self._count = lru_cache(maxsize=1)(
            lambda epoch: sum(len(self._window(epoch, number)) for number in range(self._windows()))
        )

    def epoch(self, epoch: int) -> list[Indices]:
        """Index arrays of an epoch's batches, in the order of training.

        Every index of the epoch is in one of them. Rows times the longest side, END included, is at most
        `batch_tokens`, except for a pair that is longer than that, which is a batch of its own.
        """
        return list(self.batches(epoch))

    def batches(self, epoch: int, skip: int = 0) -> Iterator[Indices]:
        """The batches of an epoch without the first `skip`, planned as they are asked for."""
        for number in range(self._windows()):
            batches = self._window(epoch, number)
            yield from batches[skip:]
            skip = max(skip - len(batches), 0)

    def count(self, epoch: int) -> int:
        """Number of batches of an epoch."""
        return self._count(epoch)

    def _windows(self) -> int:
        return 1 if self._rows else max(-(-len(self._sides[0]) // WINDOW), 1)

    def _planned(self, epoch: int, number: int) -> list[Indices]:
        """The batches of a window, in the order of training."""
        generator = np.random.Generator(np.random.PCG64([self._seed, epoch]))
        total = len(self._sides[0])
        every: int | Indices = total if self._rows is None else self._rows(epoch)
        if self._windows() > 1:
            blocks = generator.permutation(-(-total // BLOCK))[number * (WINDOW // BLOCK) :][: WINDOW // BLOCK]
            every = (blocks[:, None] * BLOCK + np.arange(BLOCK)).ravel()
            every = every[every < total]
            generator = np.random.Generator(np.random.PCG64([self._seed, epoch, number]))
        order = generator.permutation(every)
        pools = range(0, len(order), self._pool_sentences)
        batches = [*chain.from_iterable(self._pool_batches(order[at : at + self._pool_sentences]) for at in pools)]
        return [batches[position] for position in generator.permutation(len(batches))]

    def padding_share(self, epoch: int) -> float:
        """Share of an epoch's positions, source and target together, that hold PAD."""
        pools = [side[batch] for batch in self.batches(epoch) for side in self._sides]
        used = sum(int(lengths.sum(dtype=np.int64)) + len(lengths) for lengths in pools)
        held = sum(len(lengths) * (int(lengths.max()) + 1) for lengths in pools)
        return 1 - used / held if held else 0.0

    def _pool_batches(self, pool: Indices) -> list[Indices]:
        """Batches of like length, cut from a pool.

        Sentences are sorted by source length, then target length, which rises and falls in turn, so that it does not
        jump where the source length changes. A full batch has a multiple of `ROWS` rows where it can, so that matrix
        products have few different shapes: on the CPU, oneDNN compiles code for each.
        """
        source, target = self._sides[0][pool], self._sides[1][pool].astype(np.int64)
        by_length = np.lexsort((np.where(source % 2 == 0, target, -target), source))
        pool, source, target = pool[by_length], source[by_length], target[by_length]
        longer = np.maximum(source, target) + 1
        batches = []
        start = 0
        while start < len(pool):
            most = max(self._batch_tokens // int(longer[start]), 1)
            width = np.maximum.accumulate(longer[start : start + most])
            held = width * np.arange(1, len(width) + 1)
            rows = max(int(np.searchsorted(held, self._batch_tokens, side="right")), 1)
            if rows > ROWS and start + rows < len(pool):
                rows -= rows % ROWS
            batches.append(pool[start : start + rows])
            start += rows
        return batches


def collate(sources: Sequence[Row], targets: Sequence[Row]) -> Batch:
    """The batch of B pairs of token ids, given without special ids."""
    assert len(sources) == len(targets) > 0, "a batch needs as many sources as targets, and one at least"
    source_lengths, target_lengths = _lengths(sources) + 1, _lengths(targets) + 1
    return Batch(
        source=pad(sources, after=[END]),
        source_lengths=source_lengths,
        inputs=pad(targets, before=[START]),
        targets=pad(targets, after=[END]),
        target_lengths=target_lengths,
        target_tokens=int(target_lengths.sum()),
    )


def collate_lines(lines: Sequence[Row], *, framed: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs (B, T), targets (B, T) and lengths (B,), on the CPU, of a batch of lines.

    `framed` lines begin with START and end with END; of others the first token is only fed, the last only predicted.
    """
    if framed:
        return pad(lines, before=[START]), pad(lines, after=[END]), _lengths(lines) + 1
    return pad([line[:-1] for line in lines]), pad([line[1:] for line in lines]), _lengths(lines) - 1


def pad(rows: Sequence[Row], value: int = PAD, *, before: Sequence[int] = (), after: Sequence[int] = ()) -> Tensor:
    """(B, longest) int64: the rows, each with some tokens before and after it, padded with a value."""
    first = len(before)
    width = first + max(map(len, rows), default=0) + len(after)
    padded = np.full((len(rows), width), value, dtype=np.int64)
    padded[:, :first] = before
    for filled, row in zip(padded, rows, strict=True):
        end = first + len(row)
        filled[first:end] = row
        filled[end : end + len(after)] = after
    return torch.from_numpy(padded)


def _lengths(rows: Sequence[Row]) -> Tensor:
    return torch.tensor([len(row) for row in rows], dtype=torch.int64)
