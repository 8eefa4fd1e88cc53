"""Laws of search, on a toy whose probabilities are a random table over the last two tokens."""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple, Self

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from s2s.errors import RunError
from s2s.text.special import END, PAD, START, UNKNOWN
from s2s.translation.search.beam import JointState, StepOutput, _top, beam_search, combine
from s2s.translation.search.hypotheses import Hypothesis, SearchOptions
from s2s.translation.search.live import _kept

VOCABULARY, POSITIONS = 6, 4
CONTENT = (UNKNOWN, 4, 5)
NORMALIZATIONS = ("none", "average", "gnmt")
seeds = st.integers(0, 2**32)
fast = settings(max_examples=25, deadline=None)


class ToyState(NamedTuple):
    table: Tensor  # (B, V, V, V): log-probabilities after the last two tokens
    looks: Tensor  # (B, V, S): attention after the last token
    previous: Tensor  # (B, K)

    def reorder(self, parents: Tensor) -> Self:
        return self._replace(previous=self.previous.gather(1, parents))

    def keep(self, sentences: Tensor) -> Self:
        return type(self)(*(part[sentences] for part in self))


def toy_step(tokens: Tensor, state: ToyState) -> StepOutput[ToyState]:
    row = torch.arange(len(tokens))[:, None]
    return StepOutput(
        state.table[row, state.previous, tokens], state.looks[row, tokens], state._replace(previous=tokens)
    )


def toy(seed: int, sentences: int, grain: float = 0.0) -> ToyState:
    """Random tables; with a grain the logits are multiples of it, so that ties are common."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(sentences, VOCABULARY, VOCABULARY, VOCABULARY, generator=generator)
    if grain:
        logits = (logits / grain).round() * grain
    looks = torch.randn(sentences, VOCABULARY, POSITIONS, generator=generator).softmax(-1)
    return ToyState(logits.log_softmax(-1), looks, torch.full((sentences, 1), START))


def lengths(*values: int) -> Tensor:
    return torch.tensor(values)


def repeats(tokens: list[int], size: int) -> bool:
    ngrams = [tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)]
    return len(set(ngrams)) < len(ngrams)


def recomputed(
    state: ToyState,
    sentence: int,
    tokens: list[int],
    truncated: bool,
    options: SearchOptions,
    positions: int = POSITIONS,
) -> tuple[list[float], float]:
    """Log-probabilities and score of a hypothesis, straight from the tables."""
    path = [START, START, *tokens, *([] if truncated else [END])]
    logs = [float(state.table[sentence, a, b, c]) for a, b, c in zip(path, path[1:], path[2:], strict=False)]
    divisor = {"none": 1, "average": len(logs), "gnmt": ((5 + len(logs)) / 6) ** options.length_alpha}
    score = sum(logs) / divisor[options.length_normalization]
    if options.coverage_penalty:
        seen = sum(state.looks[sentence, last, :positions] for last in path[1:-1])
        score += options.coverage_penalty * sum(math.log(min(float(total), 1.0)) for total in seen)
    return logs, score


def enumerated(
    state: ToyState, sentence: int, options: SearchOptions, maximum: int, minimum: int = 0
) -> dict[tuple[tuple[int, ...], bool], float]:
    """Every hypothesis there is, with its score."""
    scores = {}
    for length in range(maximum + 1):
        for tokens in itertools.product(CONTENT, repeat=length):
            size = options.no_repeat_ngram
            truncated = length == maximum
            if (size and repeats(list(tokens), size)) or (length < minimum and not truncated):
                continue
            scores[tokens, truncated] = recomputed(state, sentence, list(tokens), truncated, options)[1]
    return scores


def independent_greedy(state: ToyState, sentence: int, maximum: int, minimum: int) -> list[int]:
    tokens: list[int] = []
    while len(tokens) < maximum:
        row = state.table[sentence, ([START, START, *tokens])[-2], ([START, *tokens])[-1]].tolist()
        allowed = [*CONTENT, END] if len(tokens) >= minimum else list(CONTENT)
        best = max(allowed, key=lambda token: (row[token], -token))
        if best == END:
            return tokens
        tokens.append(best)
    return tokens


@fast
@given(seeds, st.sampled_from(NORMALIZATIONS), st.sampled_from([0.0, 1.0]), st.integers(0, 3))
def test_beam_1_is_greedy(seed: int, normalization: str, grain: float, minimum: int) -> None:
    state = toy(seed, 3, grain)
    options = SearchOptions(length_normalization=normalization, keep_attention=True)
    limits = {"max_lengths": lengths(8, 3, 5), "min_lengths": lengths(minimum, 0, minimum)}
    limits["source_lengths"] = lengths(4, 2, 3)
    found = beam_search(toy_step, state, options, beam=1, **limits)
    for sentence, (maximum, least) in enumerate([(8, minimum), (3, 0), (5, minimum)]):
        [each] = found[sentence]
        assert each.tokens == independent_greedy(state, sentence, maximum, least)
        lasts = [START, *each.tokens][: len(each.log_probabilities)]
        looks = [state.looks[sentence, last, : int(limits["source_lengths"][sentence])].numpy() for last in lasts]
        np.testing.assert_array_equal(each.attention, looks)


@fast
@given(seeds, st.sampled_from(NORMALIZATIONS), st.sampled_from([0.0, 0.3]), st.integers(0, 3), st.integers(0, 2))
def test_wide_beam_enumerates(seed: int, normalization: str, penalty: float, minimum: int, size: int) -> None:
    state = toy(seed, 2)
    options = SearchOptions(length_normalization=normalization, coverage_penalty=penalty, no_repeat_ngram=size)
    found = beam_search(
        toy_step, state, options, beam=200, nbest=200, max_lengths=lengths(4, 3), min_lengths=lengths(minimum, 1)
    )
    for sentence, (maximum, least) in enumerate([(4, minimum), (3, 1)]):
        expected = enumerated(state, sentence, options, maximum, least)
        got = {(tuple(each.tokens), each.truncated): each.score for each in found[sentence]}
        assert len(got) == len(found[sentence])
        assert got.keys() == expected.keys()
        assert all(got[key] == pytest.approx(expected[key], abs=1e-4) for key in expected)


@fast
@given(seeds, st.integers(1, 6), st.permutations(range(5)), st.sampled_from([0.0, 1.0]))
def test_result_does_not_depend_on_batch_mates(seed: int, beam: int, order: list[int], grain: float) -> None:
    state = toy(seed, 5, grain)
    options = SearchOptions(
        length_normalization="average", coverage_penalty=0.1, no_repeat_ngram=3, keep_attention=True
    )
    limits, least, sources = lengths(1, 9, 4, 12, 7), lengths(0, 2, 0, 5, 9), lengths(4, 2, 3, 1, 4)

    def search(sentences: list[int]) -> list[list[tuple[object, ...]]]:
        chosen = torch.tensor(sentences)
        found = beam_search(
            toy_step,
            state.keep(chosen),
            options,
            beam=beam,
            nbest=beam,
            max_lengths=limits[chosen],
            min_lengths=least[chosen],
            source_lengths=sources[chosen],
        )
        return [[(*each[:4], each.attention.tolist()) for each in hypotheses] for hypotheses in found]

    together = search(list(range(5)))
    assert [search([sentence])[0] for sentence in range(5)] == together
    assert search(order) == [together[sentence] for sentence in order]


@fast
@given(seeds, st.integers(1, 8), st.sampled_from(NORMALIZATIONS), st.integers(0, 4))
def test_every_hypothesis_keeps_the_rules(seed: int, beam: int, normalization: str, size: int) -> None:
    state = toy(seed, 3)
    options = SearchOptions(length_normalization=normalization, no_repeat_ngram=size, coverage_penalty=0.1)
    limits = [10, 2, 6]
    found = beam_search(
        toy_step,
        state,
        options,
        beam=beam,
        nbest=beam,
        max_lengths=lengths(*limits),
        min_lengths=lengths(0, 1, 3),
        source_lengths=lengths(4, 3, 1),
    )
    for sentence, hypotheses in enumerate(found):
        assert 1 <= len(hypotheses) <= beam
        assert len({tuple(each.tokens) for each in hypotheses}) == len(hypotheses)
        assert [each.score for each in hypotheses] == sorted((each.score for each in hypotheses), reverse=True)
        for each in hypotheses:
            assert len(each.tokens) <= limits[sentence] - (not each.truncated)
            assert not {PAD, START, END} & set(each.tokens)
            assert not (size and repeats(each.tokens, size))
            assert each.truncated or len(each.tokens) >= (0, 1, 3)[sentence]
            logs, score = recomputed(state, sentence, each.tokens, each.truncated, options, (4, 3, 1)[sentence])
            assert each.log_probabilities == logs
            if len(each.tokens) == limits[sentence] or not each.truncated:
                assert each.score == pytest.approx(score, abs=1e-4)
            assert each.log_probability == pytest.approx(sum(logs))


@fast
@given(
    seeds, st.integers(2, 6), st.sampled_from(NORMALIZATIONS), st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 0.2])
)
def test_a_sentence_is_left_only_when_no_better_hypothesis_can_come(
    seed: int, beam: int, normalization: str, grain: float, penalty: float
) -> None:
    """The best few are those of a search that goes on until every slot is empty, as one for all of them does."""
    options = SearchOptions(length_normalization=normalization, coverage_penalty=penalty)
    limits = {"beam": beam, "max_lengths": lengths(9, 5, 12)}
    whole = beam_search(toy_step, toy(seed, 3, grain), options, nbest=beam, **limits)
    for nbest in range(1, beam):
        found = beam_search(toy_step, toy(seed, 3, grain), options, nbest=nbest, **limits)
        assert found == [each[:nbest] for each in whole]


def test_nbest_is_the_head_of_the_beam() -> None:
    state = toy(7, 2)
    whole = beam_search(toy_step, state, SearchOptions(), beam=6, nbest=6, max_lengths=lengths(9, 9))
    assert beam_search(toy_step, state, SearchOptions(), beam=6, nbest=2, max_lengths=lengths(9, 9)) == [
        each[:2] for each in whole
    ]


def test_hypotheses_that_end_leave_their_slots() -> None:
    """With a beam of 2 the second hypothesis goes on alone once the first has ended, though others would be better."""
    table = torch.full((1, VOCABULARY, VOCABULARY, VOCABULARY), -30.0)
    table[0, :, START, END], table[0, :, START, 4] = -0.1, -2.0
    table[0, :, 4, 5], table[0, :, 4, 4], table[0, :, 5, END] = -0.1, -0.2, -0.1
    state = toy(0, 1)._replace(table=table)
    found = beam_search(toy_step, state, SearchOptions(), beam=2, nbest=2, max_lengths=lengths(9))[0]
    assert [each.tokens for each in found] == [[], [4, 5]]


def test_only_end_is_left_when_all_else_is_blocked() -> None:
    options = SearchOptions(no_repeat_ngram=1)
    limits = {"max_lengths": torch.full((4,), 50), "min_lengths": lengths(3, 3, 3, 3)}
    for [hypothesis] in beam_search(toy_step, toy(3, 4), options, beam=1, **limits):
        assert sorted(hypothesis.tokens) == sorted(CONTENT)
        assert not hypothesis.truncated


def test_where_nothing_may_follow_what_there_is_comes_back_truncated() -> None:
    """Three tokens, each allowed once, and END only after ten: the search ends instead of failing or looping."""
    options = SearchOptions(no_repeat_ngram=1, length_normalization="average")
    found = beam_search(
        toy_step, toy(4, 1), options, beam=3, nbest=3, max_lengths=lengths(50), min_lengths=lengths(10)
    )[0]
    assert all(each.truncated and sorted(each.tokens) == sorted(CONTENT) for each in found)
    nothing = toy(4, 1)._replace(table=torch.full((1, VOCABULARY, VOCABULARY, VOCABULARY), -torch.inf))
    empty = [Hypothesis([], [], 0.0, True)]
    assert beam_search(toy_step, nothing, options, beam=1, max_lengths=lengths(5)) == [empty]
    assert beam_search(toy_step, nothing, SearchOptions(), beam=1, max_lengths=lengths(5)) == [empty]


def test_ties_go_to_the_lowest_token() -> None:
    state = toy(0, 1)._replace(table=torch.zeros(1, VOCABULARY, VOCABULARY, VOCABULARY))
    found = beam_search(toy_step, state, SearchOptions(), beam=2, nbest=2, max_lengths=lengths(3))[0]
    assert [(each.tokens, each.truncated) for each in found] == [([], False), ([UNKNOWN] * 3, True)]


@fast
@given(seeds, st.integers(1, 20), st.integers(1, 5), st.sampled_from([1, 63, 64, 700, 1000]), st.booleans())
def test_top_equals_a_stable_sort(seed: int, count: int, width: int, size: int, ties: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores, offsets = torch.randn(4, width, size, generator=generator), torch.randn(4, width, generator=generator)
    if ties:
        scores, offsets = scores.round(), offsets.round()
    scores[0, :, ::2] = -torch.inf
    offsets[1, 1:] = -torch.inf
    count = min(count, width * size)
    expected = (scores + offsets[:, :, None]).flatten(1).sort(dim=1, descending=True, stable=True)
    found = _top(scores, offsets.numpy(), count)
    finite = np.isfinite(found.log_probabilities)
    assert (finite == np.isfinite(expected.values[:, :count].numpy())).all()
    indices = (found.parents * size + found.tokens)[finite]
    assert (indices == expected.indices[:, :count].numpy()[finite]).all()
    own = scores.numpy()[np.nonzero(finite)[0], found.parents[finite], found.tokens[finite]]
    assert (found.log_probabilities[finite] == own).all()


def test_no_sentences_give_no_results() -> None:
    assert beam_search(toy_step, toy(0, 0), SearchOptions(), beam=3, max_lengths=lengths().long()) == []


def test_attention_has_a_row_for_every_token_and_end() -> None:
    state = toy(11, 3)
    options = SearchOptions(keep_attention=True)
    sources = lengths(4, 2, 3)
    found = beam_search(toy_step, state, options, beam=4, nbest=4, max_lengths=lengths(6, 6, 6), source_lengths=sources)
    for sentence, hypotheses in enumerate(found):
        for each in hypotheses:
            lasts = [START, *each.tokens][: len(each.log_probabilities)]
            expected = torch.stack([state.looks[sentence, last, : int(sources[sentence])] for last in lasts])
            assert (each.attention == expected.numpy()).all()


def test_probabilities_that_are_not_numbers_are_refused() -> None:
    state = toy(0, 2)
    state.table[1, START, START, 4] = torch.nan
    with pytest.raises(RunError, match="probabilities that are not numbers"):
        beam_search(toy_step, state, SearchOptions(), beam=2, max_lengths=lengths(5, 5))
    with pytest.raises(RunError, match="probabilities that are not numbers"):
        beam_search(toy_step, state, SearchOptions(), beam=1, max_lengths=lengths(5, 5))


def test_coverage_penalty_needs_attention() -> None:
    def blind(tokens: Tensor, state: ToyState) -> StepOutput[ToyState]:
        return toy_step(tokens, state)._replace(attention=None)

    with pytest.raises(RunError, match=r"coverage_penalty: needs a model with attention \(given 0.2"):
        beam_search(blind, toy(0, 1), SearchOptions(coverage_penalty=0.2), beam=1, max_lengths=lengths(5))


@pytest.mark.parametrize("beam", [1, 4])
def test_an_ensemble_of_one_model_is_the_model(beam: int) -> None:
    search: Callable[..., list[list[Hypothesis]]] = beam_search
    options = SearchOptions(coverage_penalty=0.1)
    limits = {"beam": beam, "nbest": beam, "max_lengths": lengths(7, 4)}
    alone = search(toy_step, toy(5, 2), options, **limits)
    twice = search(combine([toy_step, toy_step]), JointState([toy(5, 2), toy(5, 2)]), options, **limits)
    for one, two in zip(alone, twice, strict=True):
        assert [each.tokens for each in one] == [each.tokens for each in two]
        assert [each.score for each in one] == pytest.approx([each.score for each in two], abs=1e-5)


def test_an_ensemble_averages_probabilities() -> None:
    first, second = toy(1, 2), toy(2, 2)
    output = combine([toy_step, toy_step])(torch.full((2, 1), START), JointState([first, second]))
    mean = (first.table[:, START, START].exp() + second.table[:, START, START].exp()) / 2
    assert torch.allclose(output.log_probabilities[:, 0].exp(), mean, atol=1e-6)
    assert torch.allclose(output.attention[:, 0], (first.looks[:, START] + second.looks[:, START]) / 2)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_on_a_gpu_a_power_of_two_of_rows_stays_and_no_live_one_leaves(rows: list[bool]) -> None:
    live = np.array(rows)
    kept = _kept(live, torch.device("cuda"))
    if kept is None:
        assert not live.any() or 2 * live.sum() > len(live)
        return
    assert set(np.flatnonzero(live)) <= set(kept)
    assert len(kept) < len(live)
    assert len(kept).bit_count() == 1
    assert len(kept) < 2 * live.sum()
    assert list(kept) == sorted(kept)


def rounded_step(tokens: Tensor, state: ToyState) -> StepOutput[ToyState]:
    """Log-probabilities to one half, as a product in a coarse type would give them, and the exact ones on request."""
    output = toy_step(tokens, state)
    table = output.log_probabilities[:, 0].numpy()
    near = (output.log_probabilities * 2).round() / 2
    return output._replace(log_probabilities=near, exact=lambda rows, tokens: table[rows[:, None], tokens])


def test_greedy_search_tells_close_tokens_apart_by_their_exact_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2s.translation.search.beam.UNSURE", 0.0)  # halves are coarser than bfloat16
    limits = {"max_lengths": lengths(9, 12, 12)}
    settled = blind = 0
    for seed in range(20):
        expected, found, unsettled = (
            [each.tokens for [each] in beam_search(step, toy(seed, 3), SearchOptions(), beam=1, **limits)]
            for step in (toy_step, rounded_step, lambda *given: rounded_step(*given)._replace(exact=None))
        )
        settled += sum(one == other for one, other in zip(found, expected, strict=True))
        blind += sum(one == other for one, other in zip(unsettled, expected, strict=True))
    # of 60; three tokens within one half are still told apart wrongly
    assert blind < 50 <= settled
