"""Attention against its formulas, computed for one query and one position at a time."""

import math
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from s2s.nn.attention import Attention, Memory, Score

SCORES: tuple[Score, ...] = get_args(Score)
HIDDEN, ATTENTION, POSITIONS = 4, 3, 4


def build(score: Score, positions: int = POSITIONS) -> tuple[Attention, int]:
    """An attention with random weights, and the size of its memory."""
    memory_size = HIDDEN if score in ("dot", "scaled_dot") else 6
    torch.manual_seed(1)
    attention = Attention(
        score, query_size=HIDDEN, memory_size=memory_size, attention_size=ATTENTION, positions=positions
    )
    for weight in attention.parameters():
        torch.nn.init.normal_(weight)
    return attention, memory_size


def remember(attention: Attention, values: Tensor, lengths: list[int]) -> Memory:
    valid = torch.arange(values.shape[1]) < torch.tensor(lengths)[:, None]
    return Memory(attention.keys(values), values, valid)


def naive_score(attention: Attention, query: Tensor, value: Tensor, position: int) -> float:
    """Luong et al. (2015, section 3.1), Vaswani et al. (2017, section 3.2.1), Bahdanau et al. (2015, A.1.2)."""
    if attention.score == "dot":
        return float(query @ value)
    if attention.score == "scaled_dot":
        return float(query @ value) / math.sqrt(len(query))
    if attention.score == "general":
        return float(query @ attention.key.weight @ value) / math.sqrt(len(query))  # W is stored times sqrt(H)
    if attention.score == "concat":
        hidden = attention.query.weight @ query + attention.key.weight @ value + attention.key.bias
        return float(attention.combine.weight[0] @ torch.tanh(hidden))
    row = attention.position.weight
    return float(row[position] @ query) if position < len(row) else -math.inf


@torch.no_grad()
@pytest.mark.parametrize("size", [1, 4, 7], ids=lambda size: f"{size}-positions")
@pytest.mark.parametrize("score", SCORES)
def test_weights_are_the_softmax_of_the_formula_over_valid_positions(score: Score, size: int) -> None:
    """Seven positions are more than location attention can point at: the rest gets nothing."""
    attention, memory_size = build(score)
    lengths = [size, 1 + size // 2, 1]
    values, queries = torch.randn(3, size, memory_size), torch.randn(3, 2, HIDDEN)
    contexts, weights = attention(queries, remember(attention, values, lengths))
    assert contexts.shape == (3, 2, memory_size)
    assert weights.shape == (3, 2, size)
    for row, length in enumerate(lengths):
        for query in range(2):
            scores = [naive_score(attention, queries[row, query], values[row, s], s) for s in range(length)]
            powers = [math.exp(each - max(scores)) for each in scores]
            expected = torch.tensor([power / sum(powers) for power in powers])
            torch.testing.assert_close(weights[row, query, :length], expected, rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(contexts[row, query], expected @ values[row, :length], rtol=1e-4, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(SCORES),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.integers(1, 3),
    st.integers(1, 12),
    st.sampled_from([1.0, 1e4]),
)
def test_weights_sum_to_one_and_are_zero_where_nothing_is_valid(
    score: Score, lengths: list[int], queries: int, positions: int, size: float
) -> None:
    attention, memory_size = build(score, positions)
    values = size * torch.randn(len(lengths), max(lengths), memory_size)
    memory = remember(attention, values, lengths)
    contexts, weights = attention(size * torch.randn(len(lengths), queries, HIDDEN), memory)
    assert contexts.isfinite().all()
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(len(lengths), queries))
    assert not weights[~memory.valid[:, None].expand_as(weights)].any()
    if score == "location":
        assert not weights[:, :, positions:].any()


@pytest.mark.parametrize("score", SCORES)
def test_what_lies_in_the_padding_changes_nothing_and_gets_no_gradient(score: Score) -> None:
    attention, memory_size = build(score)
    lengths = [6, 2]
    values = torch.randn(2, 6, memory_size, requires_grad=True)
    queries = torch.randn(2, 3, HIDDEN)
    contexts, weights = attention(queries, remember(attention, values, lengths))
    (gradient,) = torch.autograd.grad(contexts.sum(), values)
    assert gradient[1, :2].any()
    assert not gradient[1, 2:].any()
    other = values.detach().clone()
    other[1, 2:] = 100.0
    changed, changed_weights = attention(queries, remember(attention, other, lengths))
    assert torch.equal(changed, contexts)
    assert torch.equal(changed_weights, weights)
    alone, _ = attention(queries[1:], remember(attention, values[1:, :2], [2]))
    torch.testing.assert_close(alone[0], contexts[1])


@pytest.mark.parametrize("score", SCORES)
def test_queries_asked_together_are_answered_as_if_alone(score: Score) -> None:
    attention, memory_size = build(score)
    memory = remember(attention, torch.randn(2, 5, memory_size), [5, 3])
    queries = torch.randn(2, 3, HIDDEN)
    contexts, weights = attention(queries, memory)
    for each in range(3):
        context, weight = attention(queries[:, each : each + 1], memory)
        torch.testing.assert_close(context[:, 0], contexts[:, each])
        torch.testing.assert_close(weight[:, 0], weights[:, each])


@pytest.mark.parametrize("score", SCORES)
def test_memory_of_some_sentences_answers_for_them(score: Score) -> None:
    attention, memory_size = build(score)
    memory = remember(attention, torch.randn(4, 5, memory_size), [5, 3, 1, 4])
    queries = torch.randn(4, 2, HIDDEN)
    staying = torch.tensor([3, 1])
    contexts, _ = attention(queries, memory)
    kept, _ = attention(queries[staying], memory.keep(staying))
    torch.testing.assert_close(kept, contexts[staying])


@pytest.mark.parametrize("score", SCORES)
def test_weights_stay_float32_under_autocast(score: Score) -> None:
    attention, memory_size = build(score)
    with torch.autocast("cpu", torch.bfloat16):
        memory = remember(attention, torch.randn(2, 40, memory_size), [40, 9])
        contexts, weights = attention(torch.randn(2, 3, HIDDEN), memory)
    assert weights.dtype == torch.float32
    assert contexts.isfinite().all()
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(2, 3))


def test_whole_sequences_are_attended_in_float32_under_autocast() -> None:
    attention, memory_size = build("dot")
    values, queries = torch.randn(2, 40, memory_size).bfloat16(), torch.randn(2, 3, HIDDEN).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        contexts, weights = attention(queries, remember(attention, values, [40, 9]))
    _, exact = attention(queries.float(), remember(attention, values.float(), [40, 9]))
    torch.testing.assert_close(weights, exact)  # bfloat16 has three digits
    assert torch.equal(contexts, torch.bmm(exact.bfloat16().float(), values.float()).bfloat16())


@pytest.mark.parametrize("score", ["dot", "scaled_dot"])
def test_dot_between_unequal_sizes_is_an_error_of_the_program(score: Score) -> None:
    with pytest.raises(AssertionError, match="unequal sizes"):
        Attention(score, query_size=4, memory_size=6, attention_size=4, positions=4)
