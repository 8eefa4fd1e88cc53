"""Batches of a number of padded tokens, drawn from length-sorted pools in an order that a seed and an epoch fix."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from s2s.text.special import END, PAD, START

Row = Sequence[int] | NDArray[np.integer]
Indices = NDArray[np.int64]
ROWS = 8
"""Full batches have a multiple of this many rows."""
GPU_WIDTH = 8
"""Positions that are stepped on a GPU are filled up to a multiple of this: a graph is captured for each width."""


class Batch(NamedTuple):
    """Sentence pairs side by side: B rows of S source and T target positions."""

    source: Tensor
    """(B, S) token ids, each row closed by END, then PAD."""
    source_lengths: Tensor
    """(B,) positions of each source row, END included; on the CPU."""
    inputs: Tensor
    """(B, T) what the decoder is fed: START, then the target."""
    targets: Tensor
    """(B, T) what it should answer: the target, then END."""
    target_lengths: Tensor
    """(B,) positions of each target row, END included; on the CPU."""
    target_tokens: int
    """Positions of all target rows, END included: what a loss is divided by."""

    def to(self, device: torch.device) -> "Batch":
        """The same with its tokens there; they travel to a GPU while it works."""
        if device.type == "cpu":
            return self
        moved = (part.pin_memory().to(device, non_blocking=True) for part in (self.source, self.inputs, self.targets))
        source, inputs, targets = moved
        return self._replace(source=source, inputs=inputs, targets=targets)

    def widened(self, multiple: int) -> "Batch":
        """The same with S and T rounded up to a multiple, filled with PAD."""
        source, inputs, targets = (
            functional.pad(part, (0, -part.shape[1] % multiple), value=PAD)
            for part in (self.source, self.inputs, self.targets)
        )
        return self._replace(source=source, inputs=inputs, targets=targets)


class BatchSampler:
    """Plans the batches of each epoch from lengths alone.

    An epoch is a function of the seed and its number. Its order is drawn, cut into pools, sorted by length inside a
    pool and cut into batches, which are then shuffled. So a run resumes by skipping the batches that it has done.
    """

    def __init__(
        self,
        source_lengths: NDArray[np.integer],
        target_lengths: NDArray[np.integer],
        *,
        batch_tokens: int,
        seed: int,
        pool_sentences: int = 32768,
    ) -> None:
        """Takes (N,) tokens of each side without special ids; a batch holds at most `batch_tokens` on either side."""
        if len(source_lengths) != len(target_lengths):
            raise ValueError(f"{len(source_lengths):,} source lengths, but {len(target_lengths):,} target lengths")
        self._source_lengths = np.asarray(source_lengths)
        self._target_lengths = np.asarray(target_lengths)
        self._batch_tokens = batch_tokens
        self._seed = seed
        self._pool_sentences = pool_sentences

    def epoch(self, epoch: int) -> list[Indices]:
        """The index arrays of an epoch's batches, in the order of training.

        Every index is in one of them. Rows times the longest side, END included, is at most `batch_tokens`, except
        for a pair that is longer than that, which is a batch of its own.
        """
        generator = np.random.Generator(np.random.PCG64([self._seed, epoch]))
        order = generator.permutation(len(self._source_lengths))
        batches: list[Indices] = []
        for start in range(0, len(order), self._pool_sentences):
            batches.extend(self._pool_batches(order[start : start + self._pool_sentences]))
        return [batches[position] for position in generator.permutation(len(batches))]

    def padding_share(self, epoch: int) -> float:
        """The share of an epoch's positions, source and target together, that hold PAD."""
        used = int(self._source_lengths.sum(dtype=np.int64)) + int(self._target_lengths.sum(dtype=np.int64))
        used += 2 * len(self._source_lengths)
        held = 0
        for batch in self.epoch(epoch):
            longest = int(self._source_lengths[batch].max()) + int(self._target_lengths[batch].max()) + 2
            held += len(batch) * longest
        return 1 - used / held if held else 0.0

    def _pool_batches(self, pool: Indices) -> list[Indices]:
        """Cuts a pool, given in drawn order, into batches of like length.

        Sentences are sorted by source length, then target length, which rises and falls in turn, so that it does not
        jump where the source length changes. A full batch has a multiple of `ROWS` rows where it can: matrix products
        of few different shapes, since a processor's library prepares code for each shape it meets.
        """
        source, target = self._source_lengths[pool], self._target_lengths[pool].astype(np.int64)
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
    """Puts pairs of token ids, without special ids, side by side."""
    assert len(sources) == len(targets) > 0, "a batch needs as many sources as targets, and one at least"
    source_lengths, target_lengths = _lengths(sources) + 1, _lengths(targets) + 1
    return Batch(
        source=_framed(sources, [], [END]),
        source_lengths=source_lengths,
        inputs=_framed(targets, [START], []),
        targets=_framed(targets, [], [END]),
        target_lengths=target_lengths,
        target_tokens=int(target_lengths.sum()),
    )


def collate_lines(lines: Sequence[Row], *, framed: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs (B, T), targets (B, T) and lengths (B,) on the CPU of lines side by side.

    Framed ones begin with START and close with END; of others the first token is only fed, the last only predicted.
    """
    if framed:
        return _framed(lines, [START], []), _framed(lines, [], [END]), _lengths(lines) + 1
    return pad([line[:-1] for line in lines]), pad([line[1:] for line in lines]), _lengths(lines) - 1


def pad(rows: Sequence[Row], value: int = PAD) -> Tensor:
    """(B, longest) int64: the rows, filled up with a value."""
    return _framed(rows, [], [], value=value)


def _framed(rows: Sequence[Row], before: list[int], after: list[int], *, value: int = PAD) -> Tensor:
    """(B, longest) int64: the rows with some tokens before and after each, filled up with a value."""
    first = len(before)
    width = first + max(map(len, rows), default=0) + len(after)
    framed = np.full((len(rows), width), value, dtype=np.int64)
    framed[:, :first] = before
    for filled, row in zip(framed, rows, strict=True):
        end = first + len(row)
        filled[first:end] = row
        filled[end : end + len(after)] = after
    return torch.from_numpy(framed)


def _lengths(rows: Sequence[Row]) -> Tensor:
    return torch.tensor([len(row) for row in rows], dtype=torch.int64)
