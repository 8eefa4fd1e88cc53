"""Given pairs are scored by the probabilities that a search has, whatever stands beside them."""

import random
from pathlib import Path

import pytest
import torch
from small_runs import MODELS, TOKENIZERS, phrases, small_run

from s2s import Translator
from s2s.errors import S2SError
from s2s.text.special import END, MASKS, START
from s2s.text.tokenizer import framed
from s2s.translation.engine import TorchEngine, engine_of
from s2s.translation.given import sample, score_given
from s2s.translation.outputs import BLANK

PAIRS = [*phrases()[:9], ("x", phrases()[3][1] * 9), ("who are you? " * 6, "어")]


def slow(translator: Translator, source: str, target: str) -> float:
    """Nats of a target, its tokens fed one by one to each model of an ensemble, alone."""
    rows, nats = translator.source.encode(source), 0.0
    models = engine_of(translator).models
    sentence = torch.tensor([framed(rows)])
    with torch.inference_mode():
        begun = [model.begin(sentence, torch.tensor([sentence.shape[1]])) for model in models]
        states, last = [state for state, _ in begun], START
        for token in framed(translator.target.encode(target)):
            outputs = [
                model.decoder.step(torch.tensor([[last]]), state, memory)
                for model, state, (_, memory) in zip(models, states, begun, strict=True)
            ]
            readouts = [output.readout for output in outputs]
            states = [output.state for output in outputs]
            shares = [
                m.decoder.logits(r).double().softmax(-1)[0, 0, token] for m, r in zip(models, readouts, strict=True)
            ]
            nats -= float(torch.stack(shares).mean().log())
            last = token
    return nats


@pytest.mark.parametrize("name", MODELS)
def test_the_score_is_what_the_models_give_step_by_step_in_any_order_and_batch(name: str, tmp_path: Path) -> None:
    runs = [small_run(tmp_path / str(seed), MODELS[name], TOKENIZERS["characters"], seed=seed) for seed in (1, 2)]
    translator = Translator.load(*runs)
    scores = score_given(translator, PAIRS)
    for pair, score in zip(PAIRS[::5], scores[::5], strict=True):
        assert score.nats == pytest.approx(slow(translator, *pair), rel=1e-5)
        assert score.tokens == len(pair[1]) + 1
    order = random.Random(1).sample(range(len(PAIRS)), len(PAIRS))
    shuffled = score_given(translator.with_batch(3), [PAIRS[index] for index in order])
    assert [each.nats for each in shuffled] == pytest.approx([scores[index].nats for index in order], rel=1e-5)


@pytest.mark.parametrize("tokenizer", ["words", "characters"])
@pytest.mark.parametrize("runs", [1, 2])
def test_a_translation_has_the_score_that_its_search_found(tokenizer: str, runs: int, tmp_path: Path) -> None:
    settings = {"tokenizer": TOKENIZERS[tokenizer], "decoding": {"min_length_ratio": 0.6}}
    opened = Translator.load(*(small_run(tmp_path / str(seed), **settings, seed=seed) for seed in range(runs)))
    engine = engine_of(opened)
    for model in engine.models:
        model.decoder.output.bias[END] += 10  # what is not trained would not end
    translator = Translator(TorchEngine(engine.models, engine.compute), opened.source, opened.target, opened.decoding)
    sources = [source for source, _ in PAIRS]
    found = [
        (source, each)
        for source, each in zip(sources, translator.translate(sources, beam=3), strict=True)
        if [*map(translator.target.token, framed(translator.target.encode(each.text)))] == [*each.tokens]
    ]
    assert sum(len(each.tokens) > 2 for _, each in found) > 2
    scores = score_given(translator, [(source, each.text) for source, each in found])
    assert [-score.nats for score in scores] == pytest.approx([each.log_probability for _, each in found], rel=1e-5)


def test_pieces_that_must_not_change_are_masked_as_in_the_search(tmp_path: Path) -> None:
    opened = Translator.load(small_run(tmp_path / "run", data={"protect": True}))
    numbered, plain = opened.reading.given("call {x} at 10:30", "10:30 {x}"), opened.reading.given("call", "10:30")
    assert numbered == (f"call {MASKS[0]} at {MASKS[1]}", f"{MASKS[1]} {MASKS[0]}")
    assert plain == ("call", "10:30")
    one, other = score_given(opened, [("call {x} at 10:30", "10:30 {x}"), ("call %s at 99:30", "99:30 %s")])
    assert one.nats == pytest.approx(other.nats, rel=1e-6)


def test_unknown_tokens_are_counted_and_a_pair_with_a_blank_side_has_no_tokens(tmp_path: Path) -> None:
    translator = Translator.load(small_run(tmp_path / "run", tokenizer=TOKENIZERS["characters"]))
    blank, empty, known, unknown = score_given(
        translator, [("a", " "), ("", "어"), ("a", "어"), ("a", "어\u2603\u2603")]
    )
    assert blank == empty == (0.0, 0, 0)
    assert (known.tokens, known.unknown_tokens) == (2, 0)
    assert (unknown.tokens, unknown.unknown_tokens) == (4, 2)


def test_a_given_pair_has_no_score_in_int8(tmp_path: Path) -> None:
    translator = Translator.load(small_run(tmp_path / "run"), precision="int8")
    with pytest.raises(S2SError, match="precision int8: the score of a given pair has none, only a translation"):
        score_given(translator, PAIRS)


def test_samples_depend_on_the_seed_and_the_number_of_a_line_and_not_on_its_batch(tmp_path: Path) -> None:
    translator = Translator.load(small_run(tmp_path / "run", tokenizer=TOKENIZERS["characters"]))
    lines = [source for source, _ in PAIRS] + [" "]
    together = sample(translator.with_batch(5), lines, seed=1)
    for number, (line, found) in enumerate(zip(lines, together, strict=True)):
        assert sample(translator, [line], seed=1, first=number)[0].text == found.text
    assert together[-1] == BLANK
    alike = [[found.text for found in sample(translator, ["abc"] * 9, seed=seed)] for seed in (1, 2)]
    assert alike[0] != alike[1]
    assert len(set(alike[0])) > 5
    greedy = translator.translate(lines, beam=1)
    cold = sample(translator, lines, seed=1, temperature=1e-6)
    ends = [[(each.text, "truncated" in each.flags) for each in found] for found in (cold, greedy)]
    assert ends[0] == ends[1]
