"""Laws of the sampler and of the batches it makes."""

from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.text.batches import ROWS, BatchSampler, collate, pad
from s2s.text.special import END, PAD, START

LENGTHS = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=80)


def sampler(
    lengths: list[tuple[int, int]], batch_tokens: int = 60, seed: int = 1, pool_sentences: int = 32
) -> BatchSampler:
    source, target = np.array(lengths, dtype=np.int32).T
    return BatchSampler(source, target, batch_tokens=batch_tokens, seed=seed, pool_sentences=pool_sentences)


def random_lengths(count: int) -> list[tuple[int, int]]:
    generator = np.random.default_rng(3)
    source = generator.integers(3, 40, count)
    return list(zip(source.tolist(), (source + generator.integers(0, 9, count)).tolist(), strict=True))


@settings(deadline=None, max_examples=50)
@given(LENGTHS, st.integers(1, 120), st.integers(0, 2**31), st.integers(0, 50), st.integers(1, 100))
def test_each_index_comes_once_and_batches_keep_the_limit(
    lengths: list[tuple[int, int]], batch_tokens: int, seed: int, epoch: int, pool_sentences: int
) -> None:
    batches = sampler(lengths, batch_tokens, seed, pool_sentences).epoch(epoch)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(max(lengths[index]) + 1 for index in batch)
        assert len(batch) * longest <= batch_tokens or len(batch) == 1


def test_the_same_seed_and_epoch_give_the_same_batches_and_others_do_not() -> None:
    lengths = random_lengths(300)

    def order(seed: int, epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in sampler(lengths, seed=seed).epoch(epoch)]

    assert order(1, 4) == order(1, 4)
    assert order(1, 4) != order(1, 5)
    assert order(1, 4) != order(2, 4)
    assert {frozenset(batch) for batch in order(1, 4)} != {frozenset(batch) for batch in order(1, 5)}


def test_batches_are_shuffled_over_the_epoch() -> None:
    lengths = random_lengths(2000)
    means = [np.mean([lengths[index][0] for index in batch]) for batch in sampler(lengths, 400).epoch(0)]
    neighbours = np.corrcoef(means[:-1], means[1:])[0, 1]
    assert abs(neighbours) < 0.3


def test_windows_hold_every_row_once_and_resume_where_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2s.text.batches.WINDOW", 64)
    monkeypatch.setattr("s2s.text.batches.BLOCK", 8)
    planned = sampler(random_lengths(205), 100)
    batches = [batch.tolist() for batch in planned.epoch(3)]
    assert sorted(chain.from_iterable(batches)) == list(range(205))
    assert planned.count(3) == len(batches)
    for skip in (0, 1, len(batches) // 2, len(batches)):
        assert [batch.tolist() for batch in sampler(random_lengths(205), 100).batches(3, skip)] == batches[skip:]
    first = set(chain.from_iterable(planned._window(3, 0)))
    assert len(first) >= 64 - 8
    assert first != set(chain.from_iterable(planned._window(4, 0)))
    assert len({row // 8 for row in first}) == 8
    assert {row // 64 for row in first} == {0, 1, 2, 3}  # from all over the corpus


def test_full_batches_have_a_multiple_of_rows_and_little_padding() -> None:
    lengths = random_lengths(4000)
    planned = sampler(lengths, 1600, pool_sentences=4000)
    batches = planned.epoch(0)
    assert sum(len(batch) > ROWS and len(batch) % ROWS > 0 for batch in batches) <= 1
    assert planned.padding_share(0) < 0.06
    full = sum(sum(max(lengths[index]) + 1 for index in batch) for batch in batches) / (1600 * len(batches))
    assert full > 0.8


def test_padding_share_is_the_share_of_pad_in_the_tensors() -> None:
    lengths = random_lengths(100)
    planned = sampler(lengths, 200)
    padding = positions = 0
    for indices in planned.epoch(2):
        batch = collate(*([[7] * lengths[index][side] for index in indices] for side in (0, 1)))
        for tensor in (batch.source, batch.targets):
            padding += int((tensor == PAD).sum())
            positions += tensor.numel()
    assert padding > 0
    assert planned.padding_share(2) == pytest.approx(padding / positions)


def test_equal_lengths_need_no_padding() -> None:
    assert sampler([(5, 7)] * 40).padding_share(0) == 0


def test_a_pair_longer_than_a_batch_is_a_batch() -> None:
    batches = sampler([(3, 3), (500, 2), (3, 3), (2, 500)], batch_tokens=10).epoch(0)
    assert sorted(batch.tolist() for batch in batches if len(batch) == 1) == [[1], [3]]
    assert len(batches) == 3


def test_no_pairs_give_no_batches() -> None:
    nothing = np.zeros(0, np.int32)
    planned = BatchSampler(nothing, nothing, batch_tokens=10, seed=1)
    assert planned.epoch(0) == []
    assert planned.padding_share(0) == 0


def test_unequal_numbers_of_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="3 source lengths, but 2 target lengths"):
        BatchSampler(np.ones(3, np.int32), np.ones(2, np.int32), batch_tokens=10, seed=1)


def test_a_batch_closes_its_rows_and_shifts_the_inputs() -> None:
    batch = collate([[5, 6], [7]], [np.array([8], np.uint16), np.array([9, 10, 11], np.uint16)])
    assert batch.source.tolist() == [[5, 6, END], [7, END, PAD]]
    assert batch.inputs.tolist() == [[START, 8, PAD, PAD], [START, 9, 10, 11]]
    assert batch.targets.tolist() == [[8, END, PAD, PAD], [9, 10, 11, END]]
    assert batch.source_lengths.tolist() == [3, 2]
    assert batch.target_lengths.tolist() == [2, 4]
    assert (batch.target_tokens, len(batch.source)) == (6, 2)
    assert {tensor.dtype for tensor in batch[:5]} == {torch.int64}


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.integers(4, 70_000), max_size=9), max_size=9), st.integers(-1, 3))
def test_padded_rows_hold_the_rows_and_then_the_value(rows: list[list[int]], value: int) -> None:
    padded = pad(rows, value)
    width = max(map(len, rows), default=0)
    assert padded.shape == (len(rows), width)
    assert padded.tolist() == [row + [value] * (width - len(row)) for row in rows]


def test_a_batch_is_widened_to_a_multiple_with_pad() -> None:
    batch = collate([[5, 6, 7], [8]], [[9] * 8, [5]])
    wide = batch.widened(8)
    assert [tuple(part.shape) for part in (wide.source, wide.inputs, wide.targets)] == [(2, 8), (2, 16), (2, 16)]
    for own, wider in ((batch.source, wide.source), (batch.inputs, wide.inputs), (batch.targets, wide.targets)):
        assert torch.equal(wider[:, : own.shape[1]], own)
        assert (wider[:, own.shape[1] :] == PAD).all()
    assert torch.equal(wide.source_lengths, batch.source_lengths)
    assert wide.widened(8).source.shape == wide.source.shape
